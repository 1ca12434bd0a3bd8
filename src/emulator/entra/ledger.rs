//! Values that are handed out and come back: device codes, authorization codes, refresh tokens. Kept by their hash
//! alone, so that memory holds none of them.

use crate::{emulator::random, error::Result};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// How long a value that has expired is still known, so that its holder is told so.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What was handed out, and what it stands for.
pub(super) struct Ledger<T>(Mutex<HashMap<Vec<u8>, Entry<T>>>);

struct Entry<T> {
    until: SystemTime,
    value: T,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Ledger<T> {
    /// A new secret text for `value`, good until `until`. Forgets what has expired for long.
    pub(super) fn issue(&self, value: T, now: SystemTime, until: SystemTime) -> Result<String> {
        let secret = random::text()?;
        let mut entries = self.lock();
        entries.retain(|_, entry| entry.until + REMEMBERED > now);
        entries.insert(hash(&secret), Entry { until, value });
        Ok(secret)
    }

    /// Lets `act` look at, and change, what a secret stands for.
    pub(super) fn with<R>(&self, secret: &str, act: impl FnOnce(Option<&mut T>) -> R) -> R {
        act(self.lock().get_mut(&hash(secret)).map(|entry| &mut entry.value))
    }

    /// The same for the first value that fits.
    pub(super) fn find<R>(&self, fits: impl Fn(&T) -> bool, act: impl FnOnce(Option<&mut T>) -> R) -> R {
        act(self.lock().values_mut().map(|entry| &mut entry.value).find(|value| fits(value)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn a_value_is_found_by_its_secret_until_it_has_expired_for_long() {
        fn see(value: Option<&mut i32>) -> Option<i32> {
            value.copied()
        }
        let ledger = Ledger::default();
        let first = ledger.issue(1, from_unix(0), from_unix(10)).unwrap();
        let second = ledger.issue(2, from_unix(10), from_unix(20)).unwrap();
        assert_ne!(first, second);
        ledger.with(&first, |value| *value.unwrap() = 3);
        assert_eq!(ledger.with(&first, see), Some(3));
        assert_eq!(ledger.find(|value| *value == 2, see), Some(2));
        assert_eq!(ledger.with("guess", see), None);
        ledger.issue(4, from_unix(10 + 3600), from_unix(5000)).unwrap();
        assert_eq!(ledger.with(&first, see), None);
        assert_eq!(ledger.with(&second, see), Some(2));
    }
}
