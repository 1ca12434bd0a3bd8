//! Which subscriptions may be deleted. Pure.

use crate::{clock, gateway::mark};
use serde::Deserialize;
use std::time::SystemTime;

/// A subscription as ARM tells of it: `SubscriptionContract`, version 2024-05-01, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subscription {
    /// Its id within the service, the `sid`.
    #[serde(rename = "name")]
    pub sid: String,
    /// The rest.
    #[serde(default)]
    pub properties: Properties,
}

/// What a subscription is called, and its dates as ARM writes them (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Properties {
    /// For people.
    pub display_name: Option<String>,
    /// Until when it is meant to be good.
    pub expiration_date: Option<String>,
    /// When it was created.
    pub created_date: Option<String>,
}

/// What a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody else made it.
    Foreign,
    /// The agent's, but nothing readable says when it ends.
    Undated,
    /// The agent's, and good until then.
    Alive(SystemTime),
    /// The agent's, and over since then.
    Dead(SystemTime),
}

/// Judges `subscription` as of a time: now, or earlier by the grace that is given to the dead.
///
/// Only [`Verdict::Dead`] allows to delete it. A date that is there and cannot be read makes it undated, whatever the
/// other dates are: the nearest word on its end is one that we do not understand.
pub fn judge(subscription: &Subscription, as_of: SystemTime) -> Verdict {
    let Subscription { sid, properties } = subscription;
    let name = properties.display_name.as_deref().unwrap_or_default();
    if !mark::is_ours(sid, name) {
        return Verdict::Foreign;
    }
    let Ok(expiration) = date(properties.expiration_date.as_deref()) else { return Verdict::Undated };
    // Looked at only where nothing else says it; then an unreadable one is as good as none.
    let created = date(properties.created_date.as_deref()).ok().flatten();
    match mark::end(expiration, name, created) {
        None => Verdict::Undated,
        Some(end) if end <= as_of => Verdict::Dead(end),
        Some(end) => Verdict::Alive(end),
    }
}

/// A date that may be missing; `Err`: it is there and cannot be read.
fn date(text: Option<&str>) -> Result<Option<SystemTime>, ()> {
    text.map(|text| clock::parse_rfc3339(text).ok_or(())).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::from_unix, lease::subscription_key::naming};
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: u64 = 1_795_528_800; // 2026-11-24T14:00:00Z
    const SID: &str = "ws-0123456789abcdef0123456789abcdef";

    fn subscription(name: &str, expiration: Option<&str>, created: Option<&str>) -> Subscription {
        Subscription {
            sid: SID.to_owned(),
            properties: Properties {
                display_name: Some(name.to_owned()),
                expiration_date: expiration.map(str::to_owned),
                created_date: created.map(str::to_owned),
            },
        }
    }

    #[test]
    fn the_table() {
        use Verdict::{Alive, Dead, Foreign, Undated};
        let (past, future) = ("2026-11-24T13:59:59.1234567Z", "2026-11-24T15:00:01+01:00");
        let (was, will) = (from_unix(NOW - 1), from_unix(NOW + 1));
        let ticks = Duration::from_nanos(123_456_700);
        let (in_past, in_future) =
            ("apim-agent x until 2026-11-24T13:59:59Z", "apim-agent x until 2026-11-24T14:00:01Z");
        let (old, young) = (Some("2026-11-22T14:00:00Z"), Some("2026-11-22T14:00:01Z"));
        for (name, expiration, created, verdict) in [
            // The resource's own date beats the name's, which beats the age.
            (in_future, Some(past), young, Dead(was + ticks)),
            (in_past, Some(future), old, Alive(will)),
            (in_past, None, young, Dead(was)),
            (in_future, None, old, Alive(will)),
            ("apim-agent x", None, old, Dead(from_unix(NOW))),
            ("apim-agent x", None, young, Alive(will)),
            // What cannot be dated is kept.
            ("apim-agent x", None, None, Undated),
            ("apim-agent x", None, Some("yesterday"), Undated),
            (in_past, Some("yesterday"), old, Undated),
            (in_past, Some(""), old, Undated),
            // What somebody else made is kept, however old it is.
            ("Starter", Some(past), old, Foreign),
            ("", Some(past), old, Foreign),
        ] {
            let found = judge(&subscription(name, expiration, created), from_unix(NOW));
            assert_eq!(found, verdict, "{name} {expiration:?} {created:?}");
        }
        let nameless = Subscription { sid: SID.to_owned(), properties: Properties::default() };
        assert_eq!(judge(&nameless, from_unix(NOW)), Foreign);
    }

    #[test]
    fn arms_words_are_read() {
        let text = r#"{"id": "/subscriptions/…", "type": "Microsoft.ApiManagement/service/subscriptions", "name": "ws-1",
            "properties": {"scope": "/…/apis", "displayName": null, "state": "active", "createdDate": "2026-11-24T14:00:00Z",
            "expirationDate": null, "notificationDate": null}}"#;
        let read: Subscription = serde_json::from_str(text).unwrap();
        assert_eq!(read.sid, "ws-1");
        assert_eq!(read.properties.created_date.as_deref(), Some("2026-11-24T14:00:00Z"));
        assert_eq!(read.properties.expiration_date, None);
        assert!(serde_json::from_str::<Subscription>(r#"{"name": "master"}"#).is_ok());
        assert!(serde_json::from_str::<Subscription>(r#"{"properties": {}}"#).is_err());
    }

    proptest! {
        /// Whatever the fields hold, nothing is deleted that is not ours and past an end that one of them names.
        #[test]
        fn nothing_but_the_dead_is_dead(
            sid in prop_oneof![Just(SID.to_owned()), "ws-[0-9a-f]{31,33}", ".{0,40}"],
            name in prop_oneof!["apim-agent .{0,20}", "apim-agent x until 20[0-9]{2}-11-24T14:00:00Z", ".{0,40}"],
            expiration in proptest::option::of(prop_oneof!["20[0-9]{2}-11-24T14:00:00Z", ".{0,12}"]),
            created in proptest::option::of(prop_oneof!["20[0-9]{2}-11-24T14:00:00Z", ".{0,12}"]),
        ) {
            let properties =
                Properties { display_name: Some(name.clone()), expiration_date: expiration.clone(), created_date: created.clone() };
            let verdict = judge(&Subscription { sid: sid.clone(), properties }, from_unix(NOW));
            if let Verdict::Dead(end) = verdict {
                prop_assert!(sid.len() == 35 && sid.starts_with("ws-") && name.starts_with("apim-agent "));
                prop_assert!(end <= from_unix(NOW));
                let says = |text: &str| clock::parse_rfc3339(text) == Some(end);
                let by_age = created.as_deref().and_then(clock::parse_rfc3339).is_some_and(|at| at + mark::LONGEST_LIFE == end);
                let by_name = name.rsplit_once(" until ").is_some_and(|(_, date)| says(date));
                match expiration {
                    Some(text) => prop_assert!(says(&text)),
                    None => prop_assert!(by_name || by_age),
                }
            }
        }

        /// What an agent has just named or dated is alive until then, and dead from then on.
        #[test]
        fn an_agents_own_lives_to_its_date(left in -100_000_i64..100_000, dated: bool, workspace in ".{1,50}") {
            let end = from_unix(NOW.saturating_add_signed(left));
            let name = naming::display_name(&workspace, None, if dated { from_unix(NOW - 7) } else { end });
            let date = clock::rfc3339(end);
            let found = judge(&subscription(&name, dated.then_some(date.as_str()), None), from_unix(NOW));
            prop_assert_eq!(found, if left <= 0 { Verdict::Dead(end) } else { Verdict::Alive(end) });
        }
    }
}
