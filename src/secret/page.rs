//! Memory pages of their own for secrets, locked into RAM.

use super::Plain;
use memmap2::{Advice, MmapMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use zeroize::{Zeroize, Zeroizing};

/// The smallest unit that can be locked; on machines with larger pages more is.
const PAGE: usize = 4096;

/// At most so much is locked. Locked memory is taken from everybody else, and a workspace's own secrets are a fraction of
/// this; the emulator may hold thousands.
const MOST: usize = 512 * 1024;

/// How many secrets there are, by where they lie.
static LOCKED: AtomicUsize = AtomicUsize::new(0);
static PLAIN: AtomicUsize = AtomicUsize::new(0);
/// Bytes that are locked, in whole pages.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// Whether the system has refused to lock something.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// How many secrets this process holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// In pages that cannot be swapped out and are in no core file.
    pub locked: usize,
    /// In ordinary memory.
    pub plain: usize,
    /// The system has refused to lock some: the limit of locked memory (`RLIMIT_MEMLOCK`) is too low.
    pub refused: bool,
}

/// Counts the secrets.
pub fn census() -> Census {
    Census { locked: LOCKED.load(Relaxed), plain: PLAIN.load(Relaxed), refused: REFUSED.load(Relaxed) > 0 }
}

/// A text in locked pages.
pub(super) struct Page {
    map: MmapMut,
    length: usize,
}

impl Page {
    /// `None`: it is empty, or no more can be locked.
    pub(super) fn hold(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let size = text.len().next_multiple_of(PAGE);
        TAKEN
            .fetch_update(Relaxed, Relaxed, |taken| taken.checked_add(size).filter(|sum| *sum <= MOST))
            .ok()?;
        let Ok(mut map) = locked(size).inspect_err(|_| REFUSED.store(1, Relaxed)) else {
            TAKEN.fetch_sub(size, Relaxed);
            return None;
        };
        map[..text.len()].copy_from_slice(text.as_bytes());
        LOCKED.fetch_add(1, Relaxed);
        Some(Self { map, length: text.len() })
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.map[..self.length])
            .expect("it was copied from a text, and nobody else writes to it")
    }
}

fn locked(size: usize) -> std::io::Result<MmapMut> {
    let map = MmapMut::map_anon(size)?;
    map.lock()?;
    map.advise(Advice::DontDump)?;
    map.advise(Advice::DontFork)?;
    Ok(map)
}

impl Drop for Page {
    fn drop(&mut self) {
        // It is unlocked and given back with the mapping.
        self.map.zeroize();
        TAKEN.fetch_sub(self.map.len(), Relaxed);
        LOCKED.fetch_sub(1, Relaxed);
    }
}

impl Plain {
    pub(super) fn hold(text: &str) -> Self {
        PLAIN.fetch_add(1, Relaxed);
        Self(Zeroizing::new(Box::from(text)))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        PLAIN.fetch_sub(1, Relaxed);
    }
}
