//! What is drawn from the system's random source: keys and pauses.

use crate::{
    error::{Class, Error, Result},
    secret::Secret,
};
use std::{fmt::Write as _, time::Duration};
use zeroize::Zeroizing;

/// A subscription key: 256 bits as 64 lower-case hexadecimal digits, which APIM, headers and env files all take as they
/// are. (APIM's own keys are half as long.)
pub fn key() -> Result<Secret> {
    let mut bits = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bits).map_err(unavailable)?;
    Ok(Secret::new(hex(&*bits)))
}

/// A duration drawn evenly from `[ceiling / 2, ceiling)`: peers that failed together come back apart.
pub fn pause(ceiling: Duration) -> Result<Duration> {
    let dice = getrandom::u32().map_err(unavailable)?;
    Ok(ceiling.mul_f64(0.5 + f64::from(dice) / (2.0 * (f64::from(u32::MAX) + 1.0))))
}

/// Lower-case hexadecimal digits, in a buffer that never grew.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn unavailable(error: getrandom::Error) -> Error {
    Error::new(Class::Internal, "the system's random source gave nothing").why(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_lower_hex_digits_and_never_the_same() {
        let (one, two) = (key().expect("random"), key().expect("random"));
        assert_eq!(one.expose().len(), 64);
        assert!(one.expose().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        assert!(one.expose() != two.expose());
    }

    #[test]
    fn hex_keeps_leading_zeroes() {
        assert_eq!(hex(&[0, 1, 0xab, 0xff]), "0001abff");
    }

    #[test]
    fn a_pause_lies_in_the_upper_half() {
        let ceiling = Duration::from_millis(100);
        for _ in 0..1000 {
            let pause = pause(ceiling).expect("random");
            assert!((ceiling / 2..ceiling).contains(&pause), "{pause:?}");
        }
        assert_eq!(super::pause(Duration::ZERO).expect("random"), Duration::ZERO);
    }
}
