//! ARM's throttling, kept to from our side: a token bucket for each kind of request. Pure: the time is an input.
//!
//! Sizes and rates are those of "Understand how Azure Resource Manager throttles requests", for each principal,
//! subscription and region (<https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>).
//! Others may draw on the same budget, so what ARM says is left counts more than what we believe.

use std::time::Duration;
use tokio::time::Instant;

/// A bucket's size, and how many tokens come back each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens in a full bucket.
    pub size: u32,
    /// Tokens that come back each second; at least 1.
    pub per_second: u32,
}

/// What ARM allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// GET.
    pub reads: Rate,
    /// DELETE.
    pub deletes: Rate,
}

impl Budget {
    /// As Azure has it.
    pub const AZURE: Self =
        Self { reads: Rate { size: 250, per_second: 25 }, deletes: Rate { size: 200, per_second: 10 } };
}

/// One kind's bucket. Its level is in thousandths of a token, and may be below zero: others have drawn what we counted on.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    level: i64,
    /// When the level was right.
    at: Instant,
    /// Taken and not yet answered: ARM may not have counted them.
    under_way: u32,
    /// Nothing is sent before this: ARM has asked for it.
    closed_until: Option<Instant>,
}

const TOKEN: i64 = 1000;

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: i64::from(rate.size) * TOKEN, at: now, under_way: 0, closed_until: None }
    }

    /// Takes a token for one request, or says how long to wait before asking again.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if let Some(until) = self.closed_until {
            if now < until {
                return Err(until - now);
            }
            self.closed_until = None;
        }
        if self.level < TOKEN {
            let missing = (TOKEN - self.level).unsigned_abs();
            return Err(Duration::from_millis(missing.div_ceil(self.rate.per_second.max(1).into())));
        }
        self.level -= TOKEN;
        self.under_way += 1;
        Ok(())
    }

    /// The request was never sent.
    pub(super) fn give_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.level = (self.level + TOKEN).min(i64::from(self.rate.size) * TOKEN);
    }

    /// The request is over, and `remaining` are left at ARM if it said so. Those under way are taken off: it may have
    /// said it before it saw them.
    pub(super) fn answered(&mut self, remaining: Option<u32>, now: Instant) {
        self.refill(now);
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(remaining) = remaining {
            let certain = i64::from(remaining) - i64::from(self.under_way);
            self.level = self.level.min(certain * TOKEN);
        }
    }

    /// ARM refused the request, having no tokens left, and wants none for `wait`.
    pub(super) fn refused(&mut self, wait: Duration, now: Instant) {
        self.answered(Some(0), now);
        let until = now + wait;
        self.closed_until = Some(self.closed_until.map_or(until, |earlier| earlier.max(until)));
    }

    fn refill(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.at).as_millis();
        let millis = u32::try_from(millis).unwrap_or(u32::MAX);
        let gain = i64::from(millis) * i64::from(self.rate.per_second);
        self.level = (self.level + gain).min(i64::from(self.rate.size) * TOKEN);
        // Parts of a millisecond count next time.
        self.at += Duration::from_millis(millis.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DELETES: Rate = Budget::AZURE.deletes;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn it_empties_waits_and_refills() {
        let start = Instant::now();
        let mut bucket = Bucket::new(DELETES, start);
        for _ in 0..200 {
            assert_eq!(bucket.take(start), Ok(()));
            bucket.answered(None, start);
        }
        assert_eq!(bucket.take(start), Err(ms(100)));
        assert_eq!(bucket.take(start + ms(60)), Err(ms(40)));
        assert_eq!(bucket.take(start + ms(100)), Ok(()));
        bucket.give_back();
        assert_eq!(bucket.take(start + ms(100)), Ok(()));
        assert_eq!(bucket.take(start + ms(100)), Err(ms(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_arm_says_is_left_counts_less_what_it_may_not_have_seen() {
        let start = Instant::now();
        let mut bucket = Bucket::new(DELETES, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        bucket.answered(Some(2), start);
        assert_eq!(bucket.take(start), Err(ms(100)), "two of ours may be on their way to those two");
        bucket.answered(Some(150), start);
        assert_eq!(bucket.take(start), Err(ms(100)), "good news is what the refill is for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_closes_it_for_as_long_as_it_says() {
        let start = Instant::now();
        let mut bucket = Bucket::new(DELETES, start);
        assert_eq!(bucket.take(start), Ok(()));
        bucket.refused(Duration::from_secs(17), start);
        assert_eq!(bucket.take(start + ms(1)), Err(ms(16_999)));
        assert_eq!(bucket.take(start + ms(17_000)), Ok(()));
    }

    /// ARM's side of the same bucket: it refills from when it has seen a request, and tells of whole tokens.
    struct Arm {
        level: i64,
        at: Duration,
    }

    impl Arm {
        fn count(&mut self, at: Duration) -> Option<u32> {
            let gain = i64::try_from(at.saturating_sub(self.at).as_millis()).unwrap()
                * i64::from(DELETES.per_second);
            self.level = (self.level + gain).min(i64::from(DELETES.size) * TOKEN) - TOKEN;
            self.at = at;
            u32::try_from(self.level.div_euclid(TOKEN)).ok()
        }
    }

    proptest! {
        /// However long requests and answers travel, one after the other: ARM never has to refuse one, though somebody
        /// else has emptied its bucket before.
        #[test]
        fn arm_never_refuses(before in 0_u32..=199, travels in proptest::collection::vec((0_u64..400, 0_u64..400), 300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let start = runtime.block_on(async { Instant::now() });
            let mut arm = Arm { level: (i64::from(DELETES.size) - i64::from(before)) * TOKEN, at: Duration::ZERO };
            let (mut bucket, mut now) = (Bucket::new(DELETES, start), Duration::ZERO);
            for (there, back) in travels {
                while let Err(wait) = bucket.take(start + now) {
                    prop_assert!(wait > Duration::ZERO && wait <= ms(200));
                    now += wait;
                }
                let remaining = arm.count(now + ms(there));
                prop_assert!(remaining.is_some(), "refused at {now:?}");
                now += ms(there + back);
                bucket.answered(remaining, start + now);
            }
        }
    }
}
