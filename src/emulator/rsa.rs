//! RSA key generation, fast enough to happen at each start: ring signs with RSA keys but does not make them.
//!
//! A key takes two primes of 1024 bits, found on a thread each. A window of odd candidates behind a random start is
//! sieved by all small primes, and what is left goes through Miller-Rabin. These keys live as long as the emulator
//! does; no care is taken to be free of timing side channels.

use crate::error::{Class, Error, Result};
use num_bigint::BigUint;
use ring::{rsa::KeyPairComponents, signature::RsaKeyPair};
use std::{sync::LazyLock, thread};

/// The public exponent: 65537, as everywhere.
pub(super) const EXPONENT: u32 = 0x1_0001;

/// Bits of a prime; the modulus has twice as many.
const PRIME_BITS: usize = 1024;

/// Odd numbers looked at behind one random start. Primes lie about 710 apart there, so one window nearly always has one.
const WINDOW: usize = 4096;

/// For random candidates of this size, even 5 rounds leave less than 2^-100 (Damgard, Landrock, Pomerance 1993).
const ROUNDS: usize = 8;

/// The odd primes below 2^13. Each sieves the window once, which is far cheaper than one Miller-Rabin round.
static SMALL_PRIMES: LazyLock<Vec<usize>> = LazyLock::new(|| {
    const LIMIT: usize = 1 << 13;
    let mut composite = vec![false; LIMIT];
    let mut primes = Vec::new();
    for n in (3..LIMIT).step_by(2) {
        if !composite[n] {
            primes.push(n);
            (n * n..LIMIT).step_by(n).for_each(|multiple| composite[multiple] = true);
        }
    }
    primes
});

/// A new 2048-bit key for ring, and its modulus in big-endian bytes.
pub(super) fn generate() -> Result<(RsaKeyPair, Vec<u8>)> {
    loop {
        let (p, q) = thread::scope(|scope| {
            let other = scope.spawn(prime);
            let p = prime();
            let q = other.join().map_err(|_| failed("the thread that looked for a prime panicked"));
            Ok::<_, Error>((p?, q??))
        })?;
        if p != q {
            return assemble(&p, &q);
        }
    }
}

/// A key from its primes.
fn assemble(p: &BigUint, q: &BigUint) -> Result<(RsaKeyPair, Vec<u8>)> {
    // ring wants the larger one first.
    let (p, q) = if p > q { (p, q) } else { (q, p) };
    let one = BigUint::from(1_u8);
    let (p1, q1) = (p - &one, q - &one);
    let inverse = |of: &BigUint, modulus: &BigUint| {
        of.modinv(modulus).ok_or_else(|| failed("two numbers share a divisor that must not"))
    };
    let d = inverse(&BigUint::from(EXPONENT), &(&p1 * &q1))?;
    let modulus = (p * q).to_bytes_be();
    let components = KeyPairComponents {
        public_key: ring::rsa::PublicKeyComponents {
            n: modulus.clone(),
            e: EXPONENT.to_be_bytes()[1..].to_vec(),
        },
        p: p.to_bytes_be(),
        q: q.to_bytes_be(),
        dP: (&d % &p1).to_bytes_be(),
        dQ: (&d % &q1).to_bytes_be(),
        qInv: inverse(q, p)?.to_bytes_be(),
        d: d.to_bytes_be(),
    };
    let key = RsaKeyPair::from_components(&components).map_err(|rejected| failed(&rejected.to_string()))?;
    Ok((key, modulus))
}

/// A random prime of `PRIME_BITS` bits with the two upper ones set, for which 65537 is a valid exponent.
fn prime() -> Result<BigUint> {
    loop {
        let mut bytes = random::<{ PRIME_BITS / 8 }>()?;
        bytes[0] |= 0b1100_0000; // so that the product of two has its full length
        bytes[PRIME_BITS / 8 - 1] |= 1;
        let start = BigUint::from_bytes_be(&bytes);
        for offset in survivors(&start) {
            let candidate = &start + offset;
            let fits = (&candidate - 1_u8) % EXPONENT != BigUint::ZERO;
            // Behind the very last start of that length the sum may be one bit longer.
            if fits && candidate.bits() == PRIME_BITS as u64 && is_probable_prime(&candidate)? {
                return Ok(candidate);
            }
        }
    }
}

/// The even offsets from the odd `start` at which no small prime divides.
fn survivors(start: &BigUint) -> Vec<usize> {
    let mut composite = vec![false; WINDOW];
    for &small in SMALL_PRIMES.iter() {
        let remainder = usize::try_from(start % small).unwrap_or_default();
        // start + 2k = 0 (mod small); halving modulo an odd number adds it once where needed.
        let missing = (small - remainder) % small;
        let first = if missing % 2 == 0 { missing / 2 } else { usize::midpoint(missing, small) };
        (first..WINDOW).step_by(small).for_each(|k| composite[k] = true);
    }
    (0..WINDOW).filter(|&k| !composite[k]).map(|k| 2 * k).collect()
}

/// Miller-Rabin with random bases; `n` is odd and large.
fn is_probable_prime(n: &BigUint) -> Result<bool> {
    let one = BigUint::from(1_u8);
    let minus_one = n - &one;
    let twos = minus_one.trailing_zeros().unwrap_or(0);
    let odd = &minus_one >> twos;
    for _ in 0..ROUNDS {
        // 64 random bits make a base as good as any, and small bases multiply faster.
        let base = BigUint::from(u64::from_be_bytes(random()?) | 2);
        let mut x = base.modpow(&odd, n);
        let mut witness = x != one && x != minus_one;
        for _ in 1..twos {
            if !witness {
                break;
            }
            x = &x * &x % n;
            witness = x != minus_one;
        }
        if witness {
            return Ok(false);
        }
    }
    Ok(true)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| failed(&error.to_string()))?;
    Ok(bytes)
}

fn failed(why: &str) -> Error {
    Error::new(Class::Internal, "Cannot make an RSA key for the emulator").why(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_primes_and_composites() {
        let mersenne = |bits: u32| (BigUint::from(1_u8) << bits) - 1_u8;
        for bits in [89, 521, 607] {
            assert!(is_probable_prime(&mersenne(bits)).unwrap(), "2^{bits}-1 is prime");
        }
        // 2^257-1 has no small divisor; the product has none below 2^61.
        assert!(!is_probable_prime(&mersenne(257)).unwrap());
        assert!(!is_probable_prime(&(mersenne(61) * mersenne(89))).unwrap());
    }

    #[test]
    fn the_sieve_keeps_what_no_small_prime_divides() {
        let start = BigUint::from(1_000_000_001_u64);
        let by_hand: Vec<usize> = (0..WINDOW)
            .map(|k| 2 * k)
            .filter(|offset| SMALL_PRIMES.iter().all(|small| (1_000_000_001 + offset) % small != 0))
            .collect();
        assert_eq!(survivors(&start), by_hand);
    }

    #[test]
    fn a_key_has_its_full_length() {
        let (key, modulus) = generate().unwrap();
        assert_eq!(key.public().modulus_len(), 2 * PRIME_BITS / 8);
        assert_eq!(modulus.len(), 2 * PRIME_BITS / 8);
    }
}
