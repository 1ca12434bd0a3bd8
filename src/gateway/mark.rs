//! What tells a subscription of the agent's from one that somebody else made, and when it ends. Pure.
//!
//! The gateway's policy fragment, the emulated gateway and `reap` follow these rules, so that they agree on every
//! subscription. The agent writes the marks in [`crate::lease::subscription_key::naming`].

use crate::clock;
use std::time::{Duration, SystemTime};

/// What a display name of the agent's begins with.
const PREFIX: &str = "apim-agent ";

/// What stands before the date in it.
const UNTIL: &str = " until ";

/// How long a subscription that names no date anywhere can matter after its creation: a key lives at most 24 hours, and
/// the one that is prepared beside it begins within that life.
pub const LONGEST_LIFE: Duration = Duration::from_hours(48);

/// Whether the agent made it: by its id, `ws-` and 32 hexadecimal digits in lower case, and by its display name.
///
/// Both have to fit: people may choose such a name, but hardly such an id.
pub fn is_ours(sid: &str, display_name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = sid.strip_prefix("ws-");
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit))
        && display_name.starts_with(PREFIX)
}

/// When a subscription of the agent's ends: its `expirationDate`, which the agent moves on at each rotation; before the
/// first one the date in its display name; without either, [`LONGEST_LIFE`] after its creation. `None`: nothing says.
pub fn end(
    expiration_date: Option<SystemTime>,
    display_name: &str,
    created: Option<SystemTime>,
) -> Option<SystemTime> {
    expiration_date.or_else(|| named(display_name)).or_else(|| Some(created? + LONGEST_LIFE))
}

/// The date at the end of a display name.
fn named(display_name: &str) -> Option<SystemTime> {
    let (_, date) = display_name.rsplit_once(UNTIL)?;
    clock::parse_rfc3339(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::from_unix, lease::subscription_key::naming};

    const DATE: u64 = 1_795_528_800;

    #[test]
    fn what_the_agent_makes_is_known_and_dated() {
        for (workspace, user) in
            [("ws-1", None), ("until until", Some("ada@example.com")), ("ö", Some("x y"))]
        {
            let sid = naming::sid("https://app.gitpod.io", "sub", workspace, "partner");
            let name = naming::display_name(&workspace.repeat(20), user, from_unix(DATE));
            assert!(is_ours(&sid, &name), "{sid} {name}");
            assert_eq!(end(None, &name, Some(from_unix(1))), Some(from_unix(DATE)));
        }
    }

    #[test]
    fn what_somebody_else_made_is_not() {
        let sid = "ws-0123456789abcdef0123456789abcdef";
        assert!(is_ours(sid, "apim-agent x until 2026-11-24T14:00:00Z"));
        for (sid, name) in [
            (sid, "Starter"),
            (sid, ""),
            (sid, "apim-agent"),
            (sid, "Apim-agent x"),
            (sid, "my apim-agent x"),
            ("ws-frontend", "apim-agent x"),
            ("ws-0123456789abcdef0123456789abcde", "apim-agent x"),
            ("ws-0123456789abcdef0123456789abcdef0", "apim-agent x"),
            ("ws-0123456789ABCDEF0123456789abcdef", "apim-agent x"),
            ("br-0123456789abcdef0123456789abcdef", "apim-agent x"),
            ("master", "apim-agent x"),
            ("", "apim-agent x"),
        ] {
            assert!(!is_ours(sid, name), "{sid} {name}");
        }
    }

    #[test]
    fn the_nearest_word_on_the_end_counts() {
        let name = "apim-agent x until 2026-11-24T14:00:00Z";
        let created = Some(from_unix(1000));
        assert_eq!(end(Some(from_unix(7)), name, created), Some(from_unix(7)));
        assert_eq!(end(None, name, created), Some(from_unix(DATE)));
        for undated in ["apim-agent x", "apim-agent x until tomorrow", "apim-agent x until "] {
            assert_eq!(end(None, undated, created), Some(from_unix(1000 + 48 * 3600)), "{undated}");
            assert_eq!(end(None, undated, None), None, "{undated}");
        }
    }
}
