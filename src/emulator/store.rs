//! The APIM subscriptions: written by ARM, read by the gateway, which learns of new keys late.
//!
//! Every change is one step under one lock: look, check the precondition, edit, index. So two writers with the same
//! entity tag never both win, and the gateway never sees half a rotation.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// `properties.state` of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The gateway refuses its keys.
    Suspended,
    /// Good.
    Active,
    /// Past its end.
    Expired,
    /// The default of a create: nobody has approved it.
    Submitted,
    /// Refused.
    Rejected,
    /// Ended by its owner.
    Cancelled,
}

/// One APIM subscription as ARM knows it.
#[derive(Clone)]
pub struct Subscription {
    /// Its name, the `sid`.
    pub sid: String,
    /// The scope below the service: `/products/ID`, `/apis`, `/apis/ID`.
    pub scope: String,
    /// Shown to people.
    pub display_name: String,
    /// Whether its keys are good.
    pub state: State,
    /// The user resource it belongs to, as sent.
    pub owner_id: Option<String>,
    /// Whether its calls may be traced.
    pub allow_tracing: Option<bool>,
    /// Primary key.
    pub primary_key: String,
    /// Secondary key.
    pub secondary_key: String,
    /// Created.
    pub created_at: SystemTime,
    /// `expirationDate`: for audit only; the gateway does not enforce it by itself, but an API's policy may.
    pub expiration_date: Option<SystemTime>,
    /// Why it is in its state.
    pub state_comment: Option<String>,
    /// The entity tag without quotes; another one after each change.
    pub etag: String,
}

/// What the gateway knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Subscription.
    pub sid: String,
    /// Its scope.
    pub scope: String,
    /// Its state.
    pub state: State,
    /// Its name for people.
    pub display_name: String,
    /// Created.
    pub created_at: SystemTime,
    /// `expirationDate`, the policy's `context.Subscription.EndDate`.
    pub expiration_date: Option<SystemTime>,
}

/// What must hold of the stored subscription before a change: the `If-Match` of RFC 9110, section 13.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Nothing; it need not even exist.
    Nothing,
    /// `If-Match: *`: that it exists.
    Any,
    /// That it exists with this entity tag, given without quotes.
    Tag(&'a str),
}

/// Why the store refuses a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such subscription, and the precondition asked for one.
    Missing,
    /// It has another entity tag.
    Modified,
    /// A key is another subscription's, or the primary equals the secondary. Holds the property's name.
    KeyTaken(&'static str),
}

/// A subscription after a change, and whether the change created it.
pub struct Changed {
    /// As it now stands.
    pub subscription: Subscription,
    /// It did not exist before.
    pub created: bool,
}

/// All subscriptions of the service. Names are compared without regard to case, as APIM does.
pub struct Store {
    inner: Mutex<Inner>,
}

struct Inner {
    key_delay: Duration,
    /// By the sid in lower case; ordered, so that pages are stable.
    subscriptions: BTreeMap<String, Subscription>,
    /// By key: one look-up for the gateway however many subscriptions there are.
    keys: HashMap<String, Known>,
    /// The row version from which entity tags are made.
    version: u64,
    /// What the last list found, until something changes: of 50,000 subscriptions the next page is not sought again.
    listing: Option<Listing>,
}

/// The subscriptions that a filter keeps.
struct Listing {
    /// What tells the filter from others.
    filter: String,
    /// Their names in lower case, in order.
    names: Vec<String>,
}

/// A key in the index.
struct Known {
    /// Whose: the sid in lower case.
    owner: String,
    /// When ARM wrote it.
    since: SystemTime,
}

impl Store {
    /// An empty store whose gateway does not know a new or changed key for `key_delay`.
    pub fn new(key_delay: Duration) -> Self {
        let (subscriptions, keys) = (BTreeMap::new(), HashMap::new());
        Self { inner: Mutex::new(Inner { key_delay, subscriptions, keys, version: 0, listing: None }) }
    }

    /// How long the gateway does not know a new or changed key.
    pub fn key_delay(&self) -> Duration {
        self.lock().key_delay
    }

    /// Sets that delay, also for keys that are waiting for it already.
    pub fn set_key_delay(&self, delay: Duration) {
        self.lock().key_delay = delay;
    }

    /// Whose key that is, as far as the gateway knows at `now`.
    ///
    /// Only the good news is late. A key that ARM has replaced, or whose subscription it has deleted or suspended, is
    /// refused at once: the harsher of what APIM may do, and so the one that a client has to survive.
    pub fn holder_of(&self, key: &str, now: SystemTime) -> Option<Holder> {
        let inner = self.lock();
        let known = inner.keys.get(key)?;
        if now < known.since + inner.key_delay {
            return None;
        }
        let subscription = inner.subscriptions.get(&known.owner)?;
        Some(Holder {
            sid: subscription.sid.clone(),
            scope: subscription.scope.clone(),
            state: subscription.state,
            display_name: subscription.display_name.clone(),
            created_at: subscription.created_at,
            expiration_date: subscription.expiration_date,
        })
    }

    /// One subscription.
    pub fn get(&self, sid: &str) -> Option<Subscription> {
        self.lock().subscriptions.get(&sid.to_lowercase()).cloned()
    }

    /// At most `top` of those that `keep` accepts, after the first `skip`, ordered by sid; and how many it accepts in all.
    /// What it accepts is told by `filter` alone.
    pub fn page(
        &self,
        filter: &str,
        keep: impl Fn(&Subscription) -> bool,
        skip: usize,
        top: usize,
    ) -> (Vec<Subscription>, usize) {
        let mut guard = self.lock();
        let Inner { subscriptions, listing, .. } = &mut *guard;
        let known = listing.take().filter(|listing| listing.filter == filter);
        let listing = listing.insert(known.unwrap_or_else(|| {
            let kept = subscriptions.iter().filter(|(_, candidate)| keep(candidate));
            Listing { filter: filter.to_owned(), names: kept.map(|(name, _)| name.clone()).collect() }
        }));
        let page = listing.names.iter().skip(skip).take(top);
        (page.filter_map(|name| subscriptions.get(name).cloned()).collect(), listing.names.len())
    }

    /// Changes the subscription `sid`, or creates it out of `blank`; without `blank` one that is not there is refused.
    ///
    /// The name and the entity tag are the store's; what `edit` puts there does not count.
    pub fn change(
        &self,
        sid: &str,
        expect: Expect<'_>,
        now: SystemTime,
        blank: Option<Subscription>,
        edit: impl FnOnce(&mut Subscription),
    ) -> Result<Changed, Refused> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let owner = sid.to_lowercase();
        let old = inner.subscriptions.get(&owner).cloned();
        check(old.as_ref(), expect)?;

        let mut new = old.clone().or(blank).ok_or(Refused::Missing)?;
        edit(&mut new);
        new.sid = old.as_ref().map_or_else(|| sid.to_owned(), |old| old.sid.clone());
        inner.check_keys(&owner, &new)?;
        inner.listing = None;
        inner.version += 1;
        new.etag = STANDARD.encode(inner.version.to_be_bytes());

        let new_keys = [&new.primary_key, &new.secondary_key];
        for key in old.iter().flat_map(|old| [&old.primary_key, &old.secondary_key]) {
            if !new_keys.contains(&key) {
                inner.keys.remove(key);
            }
        }
        for key in new_keys {
            // A key that stays, even in the other slot, is known already and does not start to wait again.
            let known = || Known { owner: owner.clone(), since: now };
            inner.keys.entry(key.clone()).or_insert_with(known);
        }
        inner.subscriptions.insert(owner, new.clone());
        Ok(Changed { subscription: new, created: old.is_none() })
    }

    /// Deletes the subscription `sid`, and with it its keys.
    pub fn delete(&self, sid: &str, expect: Expect<'_>) -> Result<(), Refused> {
        let mut inner = self.lock();
        let owner = sid.to_lowercase();
        let old = inner.subscriptions.get(&owner);
        check(old, expect)?;
        let Some(old) = inner.subscriptions.remove(&owner) else { return Err(Refused::Missing) };
        inner.listing = None;
        inner.keys.remove(&old.primary_key);
        inner.keys.remove(&old.secondary_key);
        Ok(())
    }

    /// A panic of another holder of the lock can leave at worst one change half indexed, in an emulator: go on.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A key opens for one subscription only: the gateway looks subscriptions up by it.
    fn check_keys(&self, owner: &str, new: &Subscription) -> Result<(), Refused> {
        let foreign = |key: &str| self.keys.get(key).is_some_and(|known| known.owner != owner);
        if foreign(&new.primary_key) {
            return Err(Refused::KeyTaken("primaryKey"));
        }
        if foreign(&new.secondary_key) || new.primary_key == new.secondary_key {
            return Err(Refused::KeyTaken("secondaryKey"));
        }
        Ok(())
    }
}

fn check(old: Option<&Subscription>, expect: Expect<'_>) -> Result<(), Refused> {
    match (expect, old) {
        (Expect::Nothing, _) | (Expect::Any, Some(_)) => Ok(()),
        (Expect::Tag(tag), Some(old)) if old.etag == tag => Ok(()),
        (Expect::Tag(_), Some(_)) => Err(Refused::Modified),
        (Expect::Any | Expect::Tag(_), None) => Err(Refused::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    const T0: u64 = 1_800_000_000;

    fn subscription(primary: &str, secondary: &str) -> Subscription {
        Subscription {
            sid: String::new(),
            scope: "/products/starter".to_owned(),
            display_name: "one".to_owned(),
            state: State::Active,
            owner_id: None,
            allow_tracing: None,
            primary_key: primary.to_owned(),
            secondary_key: secondary.to_owned(),
            created_at: from_unix(T0),
            expiration_date: None,
            state_comment: None,
            etag: String::new(),
        }
    }

    fn put(store: &Store, sid: &str, primary: &str, secondary: &str, at: u64) -> Result<Changed, Refused> {
        put_if(store, sid, Expect::Nothing, primary, secondary, at)
    }

    fn put_if(
        store: &Store,
        sid: &str,
        expect: Expect<'_>,
        primary: &str,
        secondary: &str,
        at: u64,
    ) -> Result<Changed, Refused> {
        let new = subscription(primary, secondary);
        store.change(sid, expect, from_unix(at), Some(new.clone()), |subscription| *subscription = new)
    }

    fn known(store: &Store, key: &str, at: u64) -> bool {
        store.holder_of(key, from_unix(at)).is_some()
    }

    #[test]
    fn a_new_key_is_known_after_the_delay_and_a_replaced_one_no_longer() {
        let store = Store::new(Duration::from_secs(10));
        put(&store, "ws", "p1", "s1", T0).map(|_| ()).unwrap();
        assert!(!known(&store, "p1", T0 + 9));
        assert!(known(&store, "p1", T0 + 10));

        put(&store, "WS", "p2", "s1", T0 + 20).map(|_| ()).unwrap();
        assert!(!known(&store, "p1", T0 + 20), "replaced");
        assert!(!known(&store, "p2", T0 + 29), "not yet spread");
        assert!(known(&store, "s1", T0 + 20), "the other key is untouched and does not wait again");
        assert!(known(&store, "p2", T0 + 30));
        store.set_key_delay(Duration::ZERO);
        assert!(known(&store, "p2", T0 + 20), "a shorter delay counts for waiting keys");

        store.delete("ws", Expect::Any).unwrap();
        assert!(!known(&store, "p2", T0 + 99) && !known(&store, "s1", T0 + 99));
        assert_eq!(store.delete("ws", Expect::Any), Err(Refused::Missing));
    }

    #[test]
    fn keys_may_change_places() {
        let store = Store::new(Duration::from_secs(10));
        put(&store, "ws", "a", "b", T0).map(|_| ()).unwrap();
        put(&store, "ws", "b", "a", T0 + 20).map(|_| ()).unwrap();
        assert!(known(&store, "a", T0 + 20) && known(&store, "b", T0 + 20));
    }

    #[test]
    fn a_key_belongs_to_one_subscription_in_one_slot() {
        let store = Store::new(Duration::ZERO);
        put(&store, "one", "a", "b", T0).map(|_| ()).unwrap();
        assert_eq!(put(&store, "two", "c", "a", T0).err(), Some(Refused::KeyTaken("secondaryKey")));
        assert_eq!(put(&store, "two", "b", "c", T0).err(), Some(Refused::KeyTaken("primaryKey")));
        assert_eq!(put(&store, "two", "c", "c", T0).err(), Some(Refused::KeyTaken("secondaryKey")));
        assert!(store.get("two").is_none(), "a refused create leaves nothing");
        assert!(!known(&store, "c", T0));
    }

    #[test]
    fn of_two_writers_with_one_tag_the_second_loses() {
        let store = Store::new(Duration::ZERO);
        let first = put(&store, "ws", "a", "b", T0).map(|changed| changed.subscription).ok().unwrap();
        assert_eq!(first.etag, "AAAAAAAAAAE=");
        let with_tag = |key: &str| put_if(&store, "ws", Expect::Tag(&first.etag), key, "b", T0).err();
        assert_eq!(with_tag("c"), None);
        assert_eq!(with_tag("d"), Some(Refused::Modified));
        assert_eq!(store.delete("ws", Expect::Tag(&first.etag)), Err(Refused::Modified));
        assert_eq!(put_if(&store, "no", Expect::Any, "x", "y", T0).err(), Some(Refused::Missing));
        let update = store.change("no", Expect::Nothing, from_unix(T0), None, |_| ());
        assert_eq!(update.err(), Some(Refused::Missing));
    }

    #[test]
    fn pages_are_cut_from_the_whole_in_order() {
        let store = Store::new(Duration::ZERO);
        for n in [3, 1, 2, 5, 4] {
            put(&store, &format!("ws-{n}"), &format!("p{n}"), &format!("s{n}"), T0).map(|_| ()).unwrap();
        }
        let sids = |filter: &str, but: &str, skip, top| {
            let (page, count) = store.page(filter, |candidate| candidate.sid != but, skip, top);
            (page.into_iter().map(|subscription| subscription.sid).collect::<Vec<_>>(), count)
        };
        let list =
            |sids: &[&str], count| (sids.iter().map(|sid| (*sid).to_owned()).collect::<Vec<_>>(), count);
        assert_eq!(sids("not 1", "ws-1", 1, 2), list(&["ws-3", "ws-4"], 4));
        assert_eq!(sids("not 1", "ws-1", 3, 2), list(&["ws-5"], 4));
        assert_eq!(sids("not 1", "ws-1", 9, 2), list(&[], 4));
        assert_eq!(sids("not 2", "ws-2", 0, 2), list(&["ws-1", "ws-3"], 4), "another filter, another list");
        store.delete("ws-3", Expect::Any).unwrap();
        assert_eq!(sids("not 2", "ws-2", 0, 2), list(&["ws-1", "ws-4"], 3), "what is gone is not listed");
        put(&store, "ws-0", "p", "s", T0).map(|_| ()).unwrap();
        assert_eq!(sids("not 2", "ws-2", 0, 2), list(&["ws-0", "ws-1"], 4), "what is new is");
    }
}
