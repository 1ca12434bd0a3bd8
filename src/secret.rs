//! The one type that holds secrets.

use std::str::FromStr;
use zeroize::Zeroizing;

mod pages;

use pages::Pages;
pub use pages::{Locked, locked};

/// A secret text: no `Debug`, `Display`, `Clone` or `Serialize`; overwritten with zeroes when dropped.
///
/// It lies in pages of its own that are locked in RAM and left out of core files and forks, as long as the kernel grants
/// that; beyond, in a box on the heap. Either is as long as its content needs and never grows, so no stale copy is left by
/// a reallocation.
pub struct Secret(Place);

enum Place {
    Pages(Pages),
    Heap(Zeroizing<Box<str>>),
}

impl Secret {
    /// Takes over `text`: it is moved and the `String` is wiped.
    pub fn new(text: String) -> Self {
        Self::copy(&Zeroizing::new(text))
    }

    /// The secret itself. Each call of this is a place for a reviewer to look at.
    pub fn expose(&self) -> &str {
        match &self.0 {
            Place::Pages(pages) => pages.text(),
            Place::Heap(text) => text,
        }
    }

    /// A second copy, as explicit as it can be.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::copy(self.expose())
    }

    fn copy(text: &str) -> Self {
        if let Some(pages) = Pages::hold(text) {
            return Self(Place::Pages(pages));
        }
        pages::count_heap(1);
        Self(Place::Heap(Zeroizing::new(Box::from(text))))
    }
}

impl Drop for Secret {
    /// Only counts: both places wipe themselves.
    fn drop(&mut self) {
        if matches!(self.0, Place::Heap(_)) {
            pages::count_heap(-1);
        }
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::copy(text))
    }
}

/// Puts pieces together in a buffer that never grows, so that no stale copy of a secret is left by a reallocation.
/// `pieces` is called twice, first to count.
pub(crate) fn assemble(pieces: impl Fn(&mut dyn FnMut(&str))) -> Zeroizing<Vec<u8>> {
    let mut length = 0;
    pieces(&mut |piece| length += piece.len());
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    pieces(&mut |piece| text.extend_from_slice(piece.as_bytes()));
    text
}
