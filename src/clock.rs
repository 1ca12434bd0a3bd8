//! The only reader of the ambient clock.

use std::time::SystemTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The wall clock, now.
#[allow(clippy::disallowed_methods)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// `when` as RFC 3339 in UTC with whole seconds, such as `2026-11-24T14:00:00Z`.
pub fn rfc3339(when: SystemTime) -> String {
    let when = OffsetDateTime::from(when);
    let whole = when.replace_nanosecond(0).unwrap_or(when);
    whole.format(&Rfc3339).unwrap_or_else(|_| "out of range".to_owned())
}

/// Seconds since the Unix epoch; 0 for times before it.
pub fn unix(when: SystemTime) -> u64 {
    when.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// The time `seconds` after the Unix epoch.
pub fn from_unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}
