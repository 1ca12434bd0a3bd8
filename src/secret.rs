//! The one type that holds secrets.

mod page;

use page::Page;
pub use page::{Census, census};
use std::str::FromStr;
use zeroize::Zeroizing;

/// A secret text: no `Debug`, `Display`, `Clone` or `Serialize`; overwritten with zeroes when dropped.
///
/// It lies in memory pages of its own, which are locked into RAM, left out of core files, and not inherited by a child.
/// Where the system allows no more of that, it is an ordinary buffer; [`census`] tells. Neither ever grows, so no stale copy
/// is left by a reallocation.
pub struct Secret(Held);

enum Held {
    Locked(Page),
    Plain(Plain),
}

/// A buffer as long as its content.
struct Plain(Zeroizing<Box<str>>);

impl Secret {
    /// Takes over `text`, and wipes what it was in.
    pub fn new(text: String) -> Self {
        Self::of(&Zeroizing::new(text))
    }

    /// The secret itself. Each call of this is a place for a reviewer to look at.
    pub fn expose(&self) -> &str {
        match &self.0 {
            Held::Locked(page) => page.text(),
            Held::Plain(plain) => &plain.0,
        }
    }

    /// A second copy, as explicit as it can be.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::of(self.expose())
    }

    fn of(text: &str) -> Self {
        Self(Page::hold(text).map_or_else(|| Held::Plain(Plain::hold(text)), Held::Locked))
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_however_long_it_is() {
        for length in [0, 1, 4095, 4096, 4097, 1 << 20, 3 << 20] {
            let text = "ä".repeat(length / 2) + &"a".repeat(length % 2);
            let secret = Secret::new(text.clone());
            assert_eq!(secret.expose(), text);
            assert_eq!(secret.duplicate().expose(), text);
            assert_eq!(text.parse::<Secret>().map(|secret| secret.expose().len()), Ok(text.len()));
        }
    }
}
