//! What must hold of every message, whatever it was made of.

use apim_agent::error::Error;

/// A message is shown on terminals and goes to logs: one line, of a length that somebody reads, that steers nothing.
pub fn fit_to_show(text: &str, longest: usize) {
    assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
    assert!(text.chars().count() <= longest, "{} characters", text.chars().count());
}

/// The same of all parts of an error.
pub fn fit_to_tell(error: &Error) {
    for text in [Some(&error.what), error.why.as_ref(), error.fix.as_ref()].into_iter().flatten() {
        fit_to_show(text, 4000);
    }
}

/// The first byte as a choice, and the rest.
pub fn choice(data: &[u8]) -> Option<(usize, &[u8])> {
    data.split_first().map(|(first, rest)| (usize::from(*first), rest))
}

/// Statuses that services answer with; the first byte of an input chooses one.
pub const STATUSES: [u16; 16] =
    [200, 202, 204, 302, 400, 401, 403, 404, 407, 408, 409, 412, 429, 500, 503, 599];
