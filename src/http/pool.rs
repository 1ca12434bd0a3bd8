//! Connections kept after a request, and connections on their way.

use super::origin::Origin;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

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
    since: Instant,
}

/// All connections that no request is using.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Origin, Vec<Entry>>>);

impl Pool {
    /// Takes a connection out, the most recent first, and with it the duty to put it back. Forgets the stale ones of
    /// all origins, since there is no timer that would.
    pub(super) fn take(&self, origin: &Origin) -> Option<Found> {
        let mut entries = self.lock();
        entries.retain(|_, list| {
            list.retain(Entry::is_fresh);
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
        let mut entries = self.lock();
        let list = entries.entry(origin.clone()).or_default();
        list.retain(Entry::is_fresh);
        if !list.is_empty() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        list.push(Entry { found: Found::Coming(receiver), since: Instant::now() });
        Some(sender)
    }

    /// Lets go of those that no request is using.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn put(&self, origin: Origin, found: Found) {
        self.lock().entry(origin).or_default().push(Entry { found, since: Instant::now() });
    }

    /// The lists are whole between any two statements, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_fresh(&self) -> bool {
        let closed = match &self.found {
            Found::Kept(sender) => sender.is_closed(),
            Found::Coming(_) => false,
        };
        !closed && self.since.elapsed() < KEEP
    }
}
