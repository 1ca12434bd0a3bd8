//! Whose identity a credential was issued to, as `status` tells it.

use crate::{
    http::answer::printable,
    identity::{Actor, Subject},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Longest text of a token that is shown, in characters.
const LONGEST: usize = 200;

/// Whose identity it is. Its texts are the token's: printable, and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The source that gave it, such as `ona`.
    pub source: String,
    /// A person's or the workspace's.
    pub actor: Actor,
    /// The subject.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
}

impl From<&Subject> for Identity {
    fn from(subject: &Subject) -> Self {
        Self {
            source: subject.source.to_owned(),
            actor: subject.actor,
            subject: printable(&subject.claims.sub, LONGEST),
            issuer: printable(&subject.claims.iss, LONGEST),
        }
    }
}

/// `ona (workspace) org:…`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.source, actor(self.actor), self.subject)
    }
}

/// As people call it.
pub fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Workspace => "workspace",
        Actor::User => "user",
    }
}

/// As whom an identity was last proved; shared by all that use it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Option<Identity>>>);

impl Seen {
    /// Notes it.
    pub fn set(&self, identity: Identity) {
        *self.lock() = Some(identity);
    }

    /// The last one; `None` before the first.
    pub fn get(&self) -> Option<Identity> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Identity>> {
        // Nobody who holds it panics, and a text is whole in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
