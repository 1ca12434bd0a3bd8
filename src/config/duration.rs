//! Durations as people write them: `500ms`, `90s`, `10m`, `1h`.

use std::time::Duration;

/// Reads a whole number and one unit of `ms`, `s`, `m` or `h`. The error is what is allowed, for a message.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds_each = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60 * 1000),
        "h" => Some(60 * 60 * 1000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    number
        .zip(milliseconds_each)
        .and_then(|(number, each)| number.checked_mul(each))
        .map(Duration::from_millis)
        .ok_or_else(|| "allowed is a whole number with ms, s, m or h".to_owned())
}

/// `duration` in the largest unit that holds it whole, so that [`parse`] reads it back (to the millisecond).
pub fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_each_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("90s", 90_000), ("10m", 600_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "+1s",
            "1.5h",
            "1h30m",
            " 1s",
            "1s ",
            "1S",
            "1d",
            "1 s",
            "99999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(milliseconds in 0u64..1_000_000_000_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }
    }
}
