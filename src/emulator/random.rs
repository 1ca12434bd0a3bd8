//! Random values for the emulator's secrets, from the system's source.

use crate::error::{Class, Error, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Random bytes.
pub(super) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(Class::Internal, "The emulator cannot make a secret").why(error.to_string())
    })?;
    Ok(bytes)
}

/// 256 random bits as base64url.
pub(super) fn text() -> Result<String> {
    bytes::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}
