//! Memory of their own for secrets, and an account of it.

use memmap2::{Advice, MmapMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroize as _;

/// What the process locks at most, in bytes. Lockable memory is scarce and shared with the user's other processes; an
/// agent needs a page or two for each credential, and an emulator with thousands of them has the heap.
const BUDGET: usize = 512 * 1024;

/// The unit in which the kernel locks, in bytes. Where its pages are larger the account is too low, and the kernel's own
/// refusal is the limit.
const PAGE: usize = 4096;

/// The account of the process.
static BOOK: Mutex<Book> = Mutex::new(Book { budget: BUDGET, used: 0, locked: 0, heap: 0, refusal: None });

struct Book {
    /// What may be locked, in bytes; goes down to what the kernel has granted when it refuses more.
    budget: usize,
    /// What is locked, in bytes.
    used: usize,
    /// How many secrets are locked.
    locked: usize,
    /// How many are not.
    heap: usize,
    /// The errno of the kernel's refusal.
    refusal: Option<i32>,
}

/// How many secrets the process holds at this moment, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// In pages that are locked in RAM, and left out of core files and forks.
    pub locked: usize,
    /// On the heap: not locked.
    pub heap: usize,
    /// The errno with which the kernel last refused to lock more. `None` with some on the heap: the agent's own budget.
    pub refusal: Option<i32>,
}

/// The account at this moment.
pub fn locked() -> Locked {
    let book = book();
    Locked { locked: book.locked, heap: book.heap, refusal: book.refusal }
}

/// A secret has come to the heap, or has left it.
pub(super) fn count_heap(change: isize) {
    let mut book = book();
    book.heap = book.heap.saturating_add_signed(change);
}

/// A number is never left half written, so a panic elsewhere does not spoil the account.
fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One text in pages that hold nothing else.
pub(super) struct Pages {
    map: MmapMut,
    length: usize,
}

impl Pages {
    /// A copy of `text`, if the budget and the kernel allow it. The pages are locked before the text is in them.
    pub(super) fn hold(text: &str) -> Option<Self> {
        let size = text.len().div_ceil(PAGE) * PAGE;
        {
            let mut book = book();
            // Nothing is no secret, and the kernel has no pages of that length.
            if size == 0 || book.used + size > book.budget {
                return None;
            }
            book.used += size;
        }
        match Self::map(text) {
            Ok(pages) => {
                book().locked += 1;
                Some(pages)
            }
            Err(error) => {
                let mut book = book();
                book.used -= size;
                // Not asked again for more than this: an emulator would ask a hundred thousand times.
                book.budget = book.used;
                book.refusal = error.raw_os_error();
                None
            }
        }
    }

    fn map(text: &str) -> std::io::Result<Self> {
        let mut map = MmapMut::map_anon(text.len())?;
        map.advise(Advice::DontDump)?;
        map.advise(Advice::DontFork)?;
        map.lock()?;
        map[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { map, length: text.len() })
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.map[..self.length]).expect("it was copied from a str and never changed")
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.map[..self.length].zeroize();
        let mut book = book();
        // Before the pages are gone by a moment: the kernel may then refuse where the account said yes, which is not wrong,
        // only cautious.
        book.used -= self.length.div_ceil(PAGE) * PAGE;
        book.locked -= 1;
    }
}

#[cfg(test)]
mod tests {
    use crate::secret::Secret;

    /// Tests of other modules hold secrets at the same time, so this looks at the pages and not at the account.
    fn flags(secret: &Secret) -> Option<String> {
        let address = secret.expose().as_ptr().addr();
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
        let mut inside = false;
        for line in smaps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let ends = range.and_then(|(from, to)| {
                Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
            });
            if let Some((from, to)) = ends {
                inside = (from..to).contains(&address);
            } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return Some(format!(" {} ", flags.trim()));
            }
        }
        None
    }

    #[test]
    fn a_secret_is_locked_and_left_out_of_core_files_and_forks() {
        let secret = Secret::new("a secret that is as good as any".to_owned());
        if super::locked().refusal.is_some() {
            println!("NOT CHECKED: the kernel refuses to lock memory here");
            return;
        }
        let flags = flags(&secret).expect("its pages are listed");
        for flag in [" lo ", " dd ", " dc "] {
            assert!(flags.contains(flag), "{flag} is not among {flags}");
        }
    }

    #[test]
    fn texts_come_back_whole_whatever_their_length() {
        for length in [0, 1, 4095, 4096, 4097, 600 * 1024] {
            let text = "ä".repeat(length);
            let secret = Secret::new(text.clone());
            assert!(secret.expose() == text && secret.duplicate().expose() == text, "{length}");
        }
    }
}
