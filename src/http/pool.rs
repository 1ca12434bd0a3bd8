//! Connections kept after a request, and connections on their way.

use super::origin::Origin;
use crate::clock;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// Our end of a connection.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// A connection that lay idle for longer is not used again. Servers and the boxes between keep one for a minute or
/// more, and nothing of ours asks twice within minutes once the first credentials are out.
const KEEP: Duration = Duration::from_secs(30);

/// A connection to be had.
pub(super) enum Found {
    Kept(Sender),
    Coming(oneshot::Receiver<Sender>),
}

impl Found {
    /// The connection; `None` if the one that was on its way did not make it.
    pub(super) async fn sender(self) -> Option<Sender> {
        match self {
            Self::Kept(sender) => Some(sender),
            Self::Coming(receiver) => receiver.await.ok(),
        }
    }
}

struct Entry {
    found: Found,
    /// By [`clock::since_boot`], so that what lay through a suspend is stale: whoever is at the other end, or in between, has
    /// forgotten it.
    since: Duration,
}

/// All connections that no request is using.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Origin, Vec<Entry>>>);

impl Pool {
    /// Takes a connection out, the most recent first, and with it the duty to put it back. Forgets the stale ones of
    /// all origins, since there is no timer that would.
    pub(super) fn take(&self, origin: &Origin) -> Option<Found> {
        let now = clock::since_boot();
        let mut entries = self.lock();
        entries.retain(|_, list| {
            list.retain(|entry| entry.is_fresh(now));
            !list.is_empty()
        });
        entries.get_mut(origin)?.pop().map(|entry| entry.found)
    }

    /// Puts a connection back after its answer was read whole. One that the server wants closed shows that at its
    /// next use.
    pub(super) fn keep(&self, origin: Origin, sender: Sender) {
        if !sender.is_closed() {
            self.put(origin, Found::Kept(sender));
        }
    }

    /// Announces a connection; `None` if there is one to be had already.
    pub(super) fn expect(&self, origin: &Origin) -> Option<oneshot::Sender<Sender>> {
        let now = clock::since_boot();
        let mut entries = self.lock();
        let list = entries.entry(origin.clone()).or_default();
        list.retain(|entry| entry.is_fresh(now));
        if !list.is_empty() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        list.push(Entry { found: Found::Coming(receiver), since: now });
        Some(sender)
    }

    /// Lets go of those that no request is using.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn put(&self, origin: Origin, found: Found) {
        self.lock().entry(origin).or_default().push(Entry { found, since: clock::since_boot() });
    }

    /// The lists are whole between any two statements, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_fresh(&self, now: Duration) -> bool {
        let closed = match &self.found {
            Found::Kept(sender) => sender.is_closed(),
            Found::Coming(_) => false,
        };
        !closed && now.saturating_sub(self.since) < KEEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lay_idle_for_too_long_is_not_used_again() {
        let (_sender, receiver) = oneshot::channel();
        let entry = Entry { found: Found::Coming(receiver), since: KEEP };
        assert!(entry.is_fresh(KEEP) && entry.is_fresh(KEEP + KEEP / 2));
        // A night's sleep counts, although no timer has run in it.
        assert!(!entry.is_fresh(2 * KEEP) && !entry.is_fresh(1000 * KEEP));
    }
}
