//! When to renew and how long to wait after a failure: pure functions of terms, counts and a seed.

use std::time::{Duration, SystemTime};

/// No retry comes sooner than this after the failure.
pub const FLOOR: Duration = Duration::from_secs(1);
/// Exponential growth ends here.
pub const CAP: Duration = Duration::from_secs(60);
/// A probe that only waits for the gateway to learn a key is asked more often.
pub const PROBE_CAP: Duration = Duration::from_secs(8);

const SHORT_LIFE: Duration = Duration::from_secs(600);
const IN_HAND: Duration = Duration::from_secs(300);

/// The life of one issued value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Issued.
    pub issued_at: SystemTime,
    /// Must not be published from here on.
    pub expires_at: SystemTime,
    /// When the issuer wants it renewed, where it says so.
    pub refresh_at: Option<SystemTime>,
}

impl Term {
    /// How long the value lives in all.
    pub fn life(&self) -> Duration {
        self.expires_at.duration_since(self.issued_at).unwrap_or_default()
    }
}

/// When a value is due for renewal.
///
/// At the issuer's own `refresh_in` where it gives one; for lives under ten minutes at half; otherwise at 60 %, give or
/// take a tenth of that by `dice`, but so that at least max(5 min, 10 %) of the life is left in hand.
pub fn renew_at(term: &Term, dice: u64) -> SystemTime {
    if let Some(wanted) = term.refresh_at {
        return wanted.min(term.expires_at);
    }
    let life = term.life();
    if life < SHORT_LIFE {
        return term.issued_at + life / 2;
    }
    let share = 0.6 * (0.9 + 0.2 * fraction(dice));
    let latest = life.saturating_sub(IN_HAND.max(life / 10));
    term.issued_at + life.mul_f64(share).min(latest)
}

/// The wait after failure number `failures` (from 1): full jitter between the floor and a doubling ceiling.
///
/// The service's own `retry_after` wins where it is longer than the floor, but never beyond `left`, the rest of the
/// published value's life: past that, waiting politely would mean having nothing.
pub fn backoff(
    failures: u32,
    cap: Duration,
    retry_after: Option<Duration>,
    left: Option<Duration>,
    dice: u64,
) -> Duration {
    if let Some(asked) = retry_after {
        let bound = left.unwrap_or(Duration::from_secs(300));
        return asked.min(bound).max(FLOOR);
    }
    let ceiling = FLOOR.saturating_mul(1 << failures.min(16)).min(cap);
    ceiling.mul_f64(fraction(dice)).max(FLOOR)
}

/// A number in `[0, 1)` from `dice`.
#[allow(clippy::cast_precision_loss)]
fn fraction(dice: u64) -> f64 {
    (mix(dice) >> 11) as f64 / (1u64 << 53) as f64
}

/// SplitMix64's finaliser: spreads neighbouring seeds over all bits.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(life: u64) -> Term {
        let issued_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        Term { issued_at, expires_at: issued_at + Duration::from_secs(life), refresh_at: None }
    }

    #[test]
    fn an_hour_is_renewed_around_sixty_per_cent() {
        let term = term(3600);
        let waits: Vec<u64> = (0..1000)
            .map(|dice| renew_at(&term, dice).duration_since(term.issued_at).expect("later").as_secs())
            .collect();
        let (least, most) = (waits.iter().min().expect("some"), waits.iter().max().expect("some"));
        assert!(*least >= 1944 && *most <= 2376, "{least}..{most}");
        assert!(most - least > 400, "jitter spreads: {least}..{most}");
    }

    #[test]
    fn something_stays_in_hand() {
        let term = term(660);
        for dice in 0..100 {
            let left = term.expires_at.duration_since(renew_at(&term, dice)).expect("earlier");
            assert!(left >= Duration::from_secs(300), "{left:?}");
        }
    }

    #[test]
    fn short_lives_renew_at_half() {
        let term = term(20);
        assert_eq!(renew_at(&term, 7), term.issued_at + Duration::from_secs(10));
    }

    #[test]
    fn the_issuer_decides_where_it_speaks_but_not_past_expiry() {
        let mut term = term(3600);
        term.refresh_at = Some(term.issued_at + Duration::from_secs(99));
        assert_eq!(renew_at(&term, 1), term.issued_at + Duration::from_secs(99));
        term.refresh_at = Some(term.expires_at + Duration::from_secs(99));
        assert_eq!(renew_at(&term, 1), term.expires_at);
    }

    #[test]
    fn backoff_keeps_floor_and_cap_and_obeys_the_service_within_life() {
        for failures in 1..40 {
            for dice in 0..50 {
                let wait = backoff(failures, CAP, None, None, dice);
                assert!((FLOOR..=CAP).contains(&wait), "{wait:?}");
            }
        }
        let s = Duration::from_secs;
        assert_eq!(backoff(1, CAP, Some(s(90)), None, 0), s(90));
        assert_eq!(backoff(1, CAP, Some(s(90)), Some(s(30)), 0), s(30));
        assert_eq!(backoff(1, CAP, Some(s(0)), None, 0), FLOOR);
    }
}
