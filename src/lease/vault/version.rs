//! Which version of an object was handed out last.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Empty until something is handed out.
#[derive(Default)]
pub struct HandedOut(Mutex<Option<String>>);

impl HandedOut {
    /// Takes it down, and says so when it is another version than before. `called` is as in `the secret NAME`.
    pub fn note(&self, called: &str, version: &str) {
        let mut last = self.lock();
        match last.as_deref() {
            Some(before) if before == version => return,
            Some(before) => tracing::info!("{called}: version {version} after {before}"),
            None => tracing::info!("{called}: version {version}"),
        }
        *last = Some(version.to_owned());
    }

    /// Whether anything was handed out.
    pub fn is_any(&self) -> bool {
        self.lock().is_some()
    }

    /// A name is whole whatever happened while it was being written.
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
