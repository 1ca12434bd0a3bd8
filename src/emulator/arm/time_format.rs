//! Dates as APIM writes and reads them.

use crate::clock;
use std::time::SystemTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 in UTC with up to seven digits of a second (.NET's ticks) and no zeros at the end.
pub(super) fn rfc3339(when: SystemTime) -> String {
    let when = clock::utc(when);
    let ticks = when.nanosecond() / 100;
    when.replace_nanosecond(ticks * 100)
        .ok()
        .and_then(|when| when.format(&Rfc3339).ok())
        .unwrap_or_else(|| "out of range".to_owned())
}

/// Reads RFC 3339 with any offset. A date is refused when its year in UTC is not one of 0 to 9999.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    clock::parse_rfc3339(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;
    use std::time::Duration;

    #[test]
    fn fractions_are_at_most_ticks() {
        let at = |nanos| rfc3339(from_unix(1_795_530_309) + Duration::from_nanos(nanos));
        assert_eq!(at(0), "2026-11-24T14:25:09Z");
        assert_eq!(at(300_000_000), "2026-11-24T14:25:09.3Z");
        assert_eq!(at(123_456_789), "2026-11-24T14:25:09.1234567Z");
        assert_eq!(parse("2026-11-24T15:25:09+01:00"), Some(from_unix(1_795_530_309)));
        assert_eq!(parse("2026-11-24"), None);
    }
}
