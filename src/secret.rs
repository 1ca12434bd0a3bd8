//! The one type that holds secrets.

use std::str::FromStr;
use zeroize::Zeroizing;

/// A secret text: no `Debug`, `Display`, `Clone` or `Serialize`; overwritten with zeroes when dropped.
///
/// The buffer is exactly as long as its content and never grows, so no stale copy is left by a reallocation.
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes over `text`. A `String` with spare capacity is moved into a buffer of its own size and wiped.
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(Zeroizing::new(Box::from(text.as_str())))
    }

    /// The secret itself. Each call of this is a place for a reviewer to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second copy, as explicit as it can be.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Zeroizing::new(Box::from(self.expose())))
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(Box::from(text))))
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
