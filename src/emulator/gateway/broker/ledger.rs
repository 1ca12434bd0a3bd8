//! What the broker has minted and not yet ended.

use ring::digest;
use std::{collections::HashMap, time::SystemTime};

/// Subscriptions by their id. Of their keys it knows only hashes.
#[derive(Default)]
pub(super) struct Ledger(HashMap<String, Minted>);

struct Minted {
    key: Vec<u8>,
    client: Option<String>,
    end: SystemTime,
}

impl Ledger {
    /// Notes a subscription, minted for `client`.
    pub(super) fn note(&mut self, sid: String, key: &str, client: Option<&str>, end: SystemTime) {
        self.0.insert(sid, Minted { key: hash(key), client: client.map(str::to_owned), end });
    }

    /// The subscription of that key, and the client that it was minted for.
    pub(super) fn find(&self, key: &str) -> Option<(&str, Option<&str>)> {
        let key = hash(key);
        let found = self.0.iter().find(|(_, minted)| minted.key == key);
        found.map(|(sid, minted)| (sid.as_str(), minted.client.as_deref()))
    }

    /// Whether the life of that subscription is over. One that is not ours has no end here.
    pub(super) fn has_ended(&self, sid: &str, now: SystemTime) -> bool {
        self.0.get(sid).is_some_and(|minted| minted.end <= now)
    }

    /// Forgets a subscription.
    pub(super) fn remove(&mut self, sid: &str) {
        self.0.remove(sid);
    }

    /// Forgets all that have ended, and names them.
    pub(super) fn take_ended(&mut self, now: SystemTime) -> Vec<String> {
        self.0.extract_if(|_, minted| minted.end <= now).map(|(sid, _)| sid).collect()
    }
}

fn hash(key: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, key.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn what_was_minted_is_found_by_its_key_until_it_has_ended() {
        let mut ledger = Ledger::default();
        ledger.note("a".to_owned(), "key-a", None, from_unix(10));
        ledger.note("b".to_owned(), "key-b", Some("client"), from_unix(20));
        assert_eq!(ledger.find("key-a"), Some(("a", None)));
        assert_eq!(ledger.find("key-b"), Some(("b", Some("client"))));
        assert_eq!(ledger.find("a"), None);
        assert!(!ledger.has_ended("a", from_unix(9)) && ledger.has_ended("a", from_unix(10)));
        assert!(!ledger.has_ended("foreign", from_unix(99)));
        assert_eq!(ledger.take_ended(from_unix(10)), ["a"]);
        assert_eq!(ledger.find("key-a"), None);
        ledger.remove("b");
        assert_eq!(ledger.find("key-b"), None);
    }
}
