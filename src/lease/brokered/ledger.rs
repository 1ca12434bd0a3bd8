//! The tokens that are out. Pure.

use crate::secret::Secret;
use std::{sync::Arc, time::SystemTime};

/// So many tokens are out at most. In a good life there are two.
pub(super) const MOST: usize = 32;

struct Entry {
    token: Arc<Secret>,
    bearer: bool,
    expires_at: SystemTime,
}

/// What has been handed out and not been revoked, oldest first.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    /// The one that the gateway has accepted last: the current one.
    accepted: Option<Arc<Secret>>,
    has_issued: bool,
}

impl Ledger {
    /// Whether another token may be handed out at `now`. In a full ledger those that have expired are given up.
    pub(super) fn has_room(&mut self, now: SystemTime) -> bool {
        if self.entries.len() >= MOST {
            self.entries.retain(|entry| entry.expires_at > now);
        }
        self.entries.len() < MOST
    }

    /// A token has been handed out. Where it could not be revoked, only it is kept, since it is to be probed.
    pub(super) fn issued(&mut self, token: Secret, bearer: bool, expires_at: SystemTime, revocable: bool) {
        if !revocable {
            self.entries.clear();
        }
        self.has_issued = true;
        // A server may answer twice with the same token.
        self.entries.retain(|entry| entry.token.expose() != token.expose());
        self.entries.push(Entry { token: Arc::new(token), bearer, expires_at });
    }

    /// When the last of those that are out ends.
    pub(super) fn latest_end(&self) -> Option<SystemTime> {
        self.entries.iter().map(|entry| entry.expires_at).max()
    }

    /// Whether any token has ever been handed out.
    pub(super) fn has_issued(&self) -> bool {
        self.has_issued
    }

    /// Whether `token` is presented as a bearer token; one that is not known is.
    pub(super) fn is_bearer(&self, token: &Secret) -> bool {
        self.find(token).is_none_or(|entry| entry.bearer)
    }

    /// The gateway accepts `token`: it takes the place of the one before.
    pub(super) fn accepted(&mut self, token: &Secret) {
        self.accepted = self.find(token).map(|entry| Arc::clone(&entry.token));
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Secret>> {
        self.entries.iter().map(|entry| Arc::clone(&entry.token)).collect()
    }

    /// All but the current one. Before one was accepted that is none: who is asked about now may be the first.
    pub(super) fn all_but_accepted(&self) -> Vec<Arc<Secret>> {
        let Some(accepted) = &self.accepted else { return Vec::new() };
        self.all().into_iter().filter(|token| token.expose() != accepted.expose()).collect()
    }

    /// `token` is no longer good for anything.
    pub(super) fn revoked(&mut self, token: &Secret) {
        self.entries.retain(|entry| entry.token.expose() != token.expose());
        self.accepted.take_if(|accepted| accepted.expose() == token.expose());
    }

    /// Nothing of what is out is of any use.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.accepted = None;
    }

    fn find(&self, token: &Secret) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.token.expose() == token.expose())
    }
}
