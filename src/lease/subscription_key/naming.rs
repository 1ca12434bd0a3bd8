//! How a workspace's subscription is called, in the URL and on the screen.

use crate::{clock, lease::random};
use ring::digest;
use std::time::SystemTime;

/// APIM takes 1 to 100 characters.
const LONGEST_DISPLAY_NAME: usize = 100;

/// The subscription's id: `ws-` and the first 16 bytes, in hexadecimal, of the SHA-256 over `iss`, `sub`, `workspace` and
/// `credential`, each preceded by its length in bytes as a big-endian `u64`.
///
/// Hashed, since a `sub` commonly holds `:`, which an id must not; with lengths, so that no two lists of four run into
/// the same text. The same workspace always gets the same id: what a crashed agent left behind is taken over and not
/// added to.
pub fn sid(iss: &str, sub: &str, workspace: &str, credential: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [iss, sub, workspace, credential] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("ws-{}", random::hex(&hash.finish().as_ref()[..16]))
}

/// What a person reads in the portal: whose it is and until when it can matter at most.
///
/// At most 100 characters, without control characters; what is too long is cut at the end of workspace and user, never
/// in the date.
pub fn display_name(workspace: &str, user: Option<&str>, until: SystemTime) -> String {
    let whose = match user {
        Some(user) => format!("{workspace} {user}"),
        None => workspace.to_owned(),
    };
    let whose: String = whose.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let until = clock::rfc3339(until);
    let room = LONGEST_DISPLAY_NAME - "apim-agent  until ".len() - until.len();
    let whose = if whose.chars().count() > room {
        whose.chars().take(room - 1).chain(['…']).collect()
    } else {
        whose
    };
    format!("apim-agent {whose} until {until}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_stable_and_allowed() {
        let sid = sid("https://app.gitpod.io", "org:1/project:2", "ws-1", "partner");
        // Computed with Python's hashlib from the rule in the documentation above.
        assert_eq!(sid, "ws-bb0016e541aa0d5d466364839e0ab8d6");
        assert!(!sid.contains(['*', '^', '#', '&', '+', ':', '<', '>', '?']));
    }

    #[test]
    fn no_two_lists_share_an_id() {
        let lists = [["a", "b", "c", "d"], ["ab", "", "c", "d"], ["a", "bc", "", "d"], ["b", "a", "c", "d"]];
        let ids: std::collections::HashSet<_> = lists.iter().map(|[i, s, w, c]| sid(i, s, w, c)).collect();
        assert_eq!(ids.len(), lists.len());
    }

    #[test]
    fn the_display_name_says_whose_and_until_when() {
        let until = clock::from_unix(1_795_528_800);
        let name = display_name("ws-1", Some("ada@example.com"), until);
        assert_eq!(name, "apim-agent ws-1 ada@example.com until 2026-11-24T14:00:00Z");
        assert_eq!(display_name("ws-1", None, until), "apim-agent ws-1 until 2026-11-24T14:00:00Z");
    }

    #[test]
    fn the_display_name_fits_whatever_the_names_are() {
        let until = clock::from_unix(1_795_528_800);
        let name = display_name(&"ö".repeat(300), Some("x\r\ny"), until);
        assert_eq!(name.chars().count(), LONGEST_DISPLAY_NAME);
        assert!(name.ends_with("ö… until 2026-11-24T14:00:00Z"), "{name}");
        let name = display_name("a\nb", Some("x\ty"), until);
        assert!(name.starts_with("apim-agent a b x y until "), "{name}");
    }
}
