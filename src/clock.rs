//! The only reader of the ambient clock, and what to wait by.

mod kernel;
pub mod manual;
mod nap;
pub mod system;

use nix::time::{ClockId, clock_gettime};
use std::{
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The wall clock, now.
#[allow(clippy::disallowed_methods)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// The time since the machine was started, suspends included: it goes on whatever is done to the wall clock.
pub fn since_boot() -> Duration {
    // Every kernel of the last ten years has the first. Without either, time stands still, as it may in a sandbox.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC));
    time.map_or(Duration::ZERO, Duration::from)
}

/// Readings of two clocks that lie no further apart are at the same time.
const AT_ONCE: Duration = Duration::from_millis(1);
/// So often they are read again at most.
const READINGS: u32 = 16;

/// What to wait by.
pub trait Clock: Send {
    /// The wall clock, now. It may be set, forwards and back.
    fn now(&self) -> SystemTime;

    /// The time since some point in the past, suspends included. Nobody can set it.
    fn steady(&self) -> Duration;

    /// Both, read as if at once: a process may be stopped between two readings for any time.
    fn both(&self) -> (SystemTime, Duration) {
        let mut steady = self.steady();
        let mut wall = self.now();
        for _ in 0..READINGS {
            let before = std::mem::replace(&mut steady, self.steady());
            if steady.saturating_sub(before) < AT_ONCE {
                break;
            }
            wall = self.now();
        }
        (wall, steady)
    }

    /// Waits until `until` by the wall clock, and no longer than it is until then by the steady one; without `until` for
    /// ever. It ends early when the clock jumps, and may end early without a reason: whoever waits looks at the time.
    ///
    /// Every poll looks at the clock first, whatever it was polled for. So a task that polls this before anything else does
    /// nothing else after a time that it had to mind. It is meant for one task.
    fn poll_ring(&mut self, context: &mut Context<'_>, until: Option<SystemTime>) -> Poll<Ring>;
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The time has come.
    Due,
    /// The wall clock was set, or the machine was suspended: all that was planned is to be looked at again. This may have
    /// happened to many machines at once.
    Jumped,
}

/// The last second that RFC 3339 can write, at the end of the year 9999, in seconds since the Unix epoch. A claim
/// that lies behind it is no time but a mistake: mostly milliseconds that pass for seconds.
pub const LATEST: u64 = 253_402_300_799;

/// The first second of the year 0.
const EARLIEST: i64 = -62_167_219_200;

/// `when` as a date in UTC, moved to the nearest end of the years 0 to 9999 if it lies outside of them.
///
/// The conversion of the `time` crate panics there instead, and a time may come from whoever sends a request.
pub fn utc(when: SystemTime) -> OffsetDateTime {
    let (nanos, nearest) = match when.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (i128::try_from(after.as_nanos()).ok(), LATEST.cast_signed()),
        Err(before) => (i128::try_from(before.duration().as_nanos()).ok().map(|age| -age), EARLIEST),
    };
    nanos
        .and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok())
        .filter(|when| (0..=9999).contains(&when.year()))
        .or_else(|| OffsetDateTime::from_unix_timestamp(nearest).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Reads RFC 3339 with any offset. `None`: it is something else, or not in the years 0 to 9999 of UTC.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let when = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    // With its offset the year is always one of those; in UTC it may be the one before or after.
    let seconds = when.unix_timestamp();
    let fraction = Duration::from_nanos(when.nanosecond().into());
    let whole = Duration::from_secs(seconds.unsigned_abs());
    if !(EARLIEST..=LATEST.cast_signed()).contains(&seconds) {
        return None;
    }
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    base?.checked_add(fraction)
}

/// `when` as RFC 3339 in UTC with whole seconds, such as `2026-11-24T14:00:00Z`; clamped as by [`utc`].
pub fn rfc3339(when: SystemTime) -> String {
    let when = utc(when);
    let whole = when.replace_nanosecond(0).unwrap_or(when);
    whole.format(&Rfc3339).unwrap_or_else(|_| "out of range".to_owned())
}

/// Seconds since the Unix epoch; 0 for times before it.
pub fn unix(when: SystemTime) -> u64 {
    when.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// The time `seconds` after the Unix epoch, or [`LATEST`] where that is earlier.
pub fn from_unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_too_far_away_to_be_written() {
        assert_eq!(rfc3339(from_unix(LATEST)), "9999-12-31T23:59:59Z");
        assert_eq!(from_unix(1_795_530_309_000), from_unix(LATEST), "milliseconds");
        assert_eq!(from_unix(u64::MAX), from_unix(LATEST));
        let beyond = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::MAX >> 1);
        assert_eq!(rfc3339(beyond), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(from_unix(LATEST) + Duration::from_secs(1)), "9999-12-31T23:59:59Z");
        let year_minus_one = SystemTime::UNIX_EPOCH - Duration::from_secs(62_167_219_201);
        assert_eq!(rfc3339(year_minus_one), "0000-01-01T00:00:00Z");
        assert_eq!(
            rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(u64::MAX >> 1)),
            "0000-01-01T00:00:00Z"
        );
    }

    #[test]
    fn a_date_counts_by_its_year_in_utc() {
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59Z"), Some(from_unix(LATEST)));
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59+01:00"), Some(from_unix(LATEST - 3600)));
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59-01:00"), None);
        assert_eq!(parse_rfc3339("0000-01-01T00:00:00+01:00"), None);
        for text in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:58Z"] {
            assert_eq!(parse_rfc3339(text).map(rfc3339).as_deref(), Some(text));
        }
        let half = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(parse_rfc3339("1969-12-31T23:59:59.5Z"), Some(half));
        assert_eq!(parse_rfc3339("2026-11-24"), None);
    }
}
