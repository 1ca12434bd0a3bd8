//! ARM's throttling: a token bucket for each principal and kind of operation. Pure.
//!
//! Sizes and rates are those of Azure's "Understand how Azure Resource Manager throttles requests", per subscription,
//! service principal and region.

use http::Method;
use std::time::{Duration, SystemTime};

/// The kind of operation that a bucket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// GET and HEAD.
    Reads,
    /// PUT, PATCH and POST.
    Writes,
    /// DELETE.
    Deletes,
}

impl Kind {
    pub(super) fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }

    /// As ARM names it in headers and messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
        }
    }

    /// The header that tells how many tokens are left, at the level of an APIM service's Azure subscription or of the
    /// tenant.
    pub(super) fn remaining(self, in_subscription: bool) -> &'static str {
        match (in_subscription, self) {
            (true, Self::Reads) => "x-ms-ratelimit-remaining-subscription-reads",
            (true, Self::Writes) => "x-ms-ratelimit-remaining-subscription-writes",
            (true, Self::Deletes) => "x-ms-ratelimit-remaining-subscription-deletes",
            (false, Self::Reads) => "x-ms-ratelimit-remaining-tenant-reads",
            (false, Self::Writes) => "x-ms-ratelimit-remaining-tenant-writes",
            (false, Self::Deletes) => "x-ms-ratelimit-remaining-tenant-deletes",
        }
    }

    /// Tokens in a full bucket.
    fn size(self) -> u64 {
        match self {
            Self::Reads => 250,
            Self::Writes | Self::Deletes => 200,
        }
    }

    /// Tokens that come back each second in Azure.
    fn rate(self) -> u64 {
        match self {
            Self::Reads => 25,
            Self::Writes | Self::Deletes => 10,
        }
    }
}

/// One bucket. Tokens are counted in thousandths, so that a millisecond brings back a whole number of them.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    kind: Kind,
    /// Tokens that come back each second.
    rate: u64,
    level: u64,
    at: SystemTime,
}

const TOKEN: u64 = 1000;

impl Bucket {
    /// A full bucket, which fills up again `refill` times as fast as Azure's.
    pub(super) fn new(kind: Kind, refill: u32, now: SystemTime) -> Self {
        Self { kind, rate: kind.rate() * u64::from(refill), level: kind.size() * TOKEN, at: now }
    }

    /// Takes a token: how many are left, or how long until there is one. A clock that went back refills nothing.
    pub(super) fn take(&mut self, now: SystemTime) -> Result<u64, Duration> {
        let elapsed = now.duration_since(self.at).unwrap_or_default();
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let gain = millis.saturating_mul(self.rate);
        self.level = self.level.saturating_add(gain).min(self.kind.size() * TOKEN);
        // Only the whole milliseconds are accounted for; the rest counts next time.
        self.at = if elapsed.is_zero() { now } else { self.at + Duration::from_millis(millis) };
        match self.level.checked_sub(TOKEN) {
            Some(rest) => {
                self.level = rest;
                Ok(rest / TOKEN)
            }
            None => Err(Duration::from_millis((TOKEN - self.level).div_ceil(self.rate.max(1)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn it_empties_refuses_and_refills() {
        let start = from_unix(1_800_000_000);
        let mut bucket = Bucket::new(Kind::Writes, 1, start);
        assert_eq!(bucket.take(start), Ok(199));
        for left in (0..199).rev() {
            assert_eq!(bucket.take(start), Ok(left));
        }
        assert_eq!(bucket.take(start), Err(Duration::from_millis(100)));
        let soon = start + Duration::from_millis(60);
        assert_eq!(bucket.take(soon), Err(Duration::from_millis(40)));
        assert_eq!(bucket.take(start + Duration::from_millis(100)), Ok(0), "exactly after the wait it told");
        assert!(bucket.take(start + Duration::from_millis(100)).is_err());
        assert_eq!(bucket.take(start + Duration::from_hours(1)), Ok(199), "never more than full");
    }

    #[test]
    fn parts_of_a_millisecond_add_up() {
        let start = from_unix(1_800_000_000);
        let mut bucket = Bucket::new(Kind::Reads, 1, start);
        while bucket.take(start).is_ok() {}
        let mut now = start;
        let refused = std::iter::repeat_with(|| {
            now += Duration::from_micros(400);
            bucket.take(now)
        })
        .take_while(Result::is_err)
        .count();
        assert_eq!(refused, 99, "a token each 40 ms, asked every 0.4 ms");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_goes_on_from_there() {
        let start = from_unix(1_800_000_000);
        let mut bucket = Bucket::new(Kind::Deletes, 1, start);
        while bucket.take(start).is_ok() {}
        let earlier = start - Duration::from_mins(1);
        assert!(bucket.take(earlier).is_err());
        assert_eq!(bucket.take(earlier + Duration::from_secs(1)), Ok(9));
    }
}
