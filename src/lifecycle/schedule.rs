//! When to renew and how long to wait after a failure: pure functions of terms, counts and a seed.

use std::time::{Duration, SystemTime};

/// No retry comes sooner than this after the failure.
pub const FLOOR: Duration = Duration::from_secs(1);
/// Exponential growth ends here.
pub const CAP: Duration = Duration::from_mins(1);
/// A probe that only waits for the gateway to learn a key is asked more often.
pub const PROBE_CAP: Duration = Duration::from_secs(8);

const SHORT_LIFE: Duration = Duration::from_mins(10);
const IN_HAND: Duration = Duration::from_mins(5);
/// While nothing is published, a service is not obeyed for longer than this.
const LONGEST_ASKED: Duration = Duration::from_mins(5);
/// Renewals of many workspaces that wake together are spread over this.
const SPREAD: Duration = Duration::from_mins(1);

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

    /// The same life by a clock that has been set back by `by` meanwhile.
    #[must_use]
    pub fn set_back(&self, by: Duration) -> Self {
        let earlier = |at: SystemTime| at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            issued_at: earlier(self.issued_at),
            expires_at: earlier(self.expires_at),
            refresh_at: self.refresh_at.map(earlier),
        }
    }
}

/// When a value is due for renewal.
///
/// At the issuer's own `refresh_in` where it gives one, but not before a fiftieth of the life is over, since an issuer
/// that says "at once" would otherwise be asked without end, and with a tenth of the life in hand. For lives under ten minutes at half; otherwise at 60 %, give or
/// take a tenth of that by `dice`, but so that at least max(5 min, 10 %) of the life is left in hand.
pub fn renew_at(term: &Term, dice: u64) -> SystemTime {
    let life = term.life();
    if let Some(wanted) = term.refresh_at {
        let earliest = term.issued_at + FLOOR.max(life / 50);
        let latest = term.issued_at + life / 10 * 9;
        return wanted.min(latest).max(earliest).min(term.expires_at);
    }
    if life < SHORT_LIFE {
        return term.issued_at + life / 2;
    }
    let share = 0.6 * (0.9 + 0.2 * fraction(dice));
    let latest = life.saturating_sub(IN_HAND.max(life / 10));
    term.issued_at + life.mul_f64(share).min(latest)
}

/// When the grace of the value before `term`'s is over, `term`'s having been published at `now`.
///
/// That is `grace` later, but at most a quarter of the way from the renewal to the expiry: the renewal waits for it and
/// needs the rest of that way for itself.
pub fn grace_ends_at(now: SystemTime, grace: Duration, renew_at: SystemTime, term: &Term) -> SystemTime {
    let renewal = renew_at.max(now);
    let in_hand = term.expires_at.duration_since(renewal).unwrap_or_default();
    (now + grace).min(renewal + in_hand / 4)
}

/// When a renewal that was planned for `renew_at` is due after a suspend or a jump of the clock, with `left` of the value's
/// life left.
///
/// What has come due by the jump has done so for many workspaces at once, so it is spread by `dice` over up to a minute and a
/// quarter of what is left.
pub fn after_a_jump(renew_at: SystemTime, left: Duration, now: SystemTime, dice: u64) -> SystemTime {
    if renew_at > now {
        return renew_at;
    }
    now + SPREAD.min(left / 4).mul_f64(fraction(dice))
}

/// The wait that a service asked for, within reason: at least the floor, and never beyond `left`, the rest of the
/// published value's life, since past that, waiting politely would mean having nothing.
pub fn asked(retry_after: Duration, left: Option<Duration>) -> Duration {
    retry_after.min(left.unwrap_or(LONGEST_ASKED)).max(FLOOR)
}

/// The wait after failure number `failures` (from 1): full jitter between the floor and a doubling ceiling.
///
/// The service's own `retry_after` wins, as [`asked`] bounds it.
pub fn backoff(
    failures: u32,
    cap: Duration,
    retry_after: Option<Duration>,
    left: Option<Duration>,
    dice: u64,
) -> Duration {
    if let Some(wait) = retry_after {
        return asked(wait, left);
    }
    let ceiling = FLOOR.saturating_mul(1 << failures.min(16)).min(cap);
    ceiling.mul_f64(fraction(dice)).max(FLOOR)
}

/// A number in `[0, 1)` from `dice`.
#[allow(clippy::cast_precision_loss)]
fn fraction(dice: u64) -> f64 {
    (mix(dice) >> 11) as f64 / (1u64 << 53) as f64
}

/// `SplitMix64`'s finaliser: spreads neighbouring seeds over all bits.
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
            assert!(left >= Duration::from_mins(5), "{left:?}");
        }
    }

    #[test]
    fn short_lives_renew_at_half() {
        let term = term(20);
        assert_eq!(renew_at(&term, 7), term.issued_at + Duration::from_secs(10));
    }

    #[test]
    fn the_issuer_decides_where_it_speaks_but_not_so_late_that_a_gap_is_certain() {
        let mut term = term(3600);
        term.refresh_at = Some(term.issued_at + Duration::from_secs(99));
        assert_eq!(renew_at(&term, 1), term.issued_at + Duration::from_secs(99));
        term.refresh_at = Some(term.expires_at + Duration::from_secs(99));
        assert_eq!(renew_at(&term, 1), term.issued_at + Duration::from_mins(54));
    }

    #[test]
    fn an_issuer_that_says_at_once_is_given_a_pause() {
        for (life, pause) in [(3600, 72), (20, 1), (1, 1)] {
            let mut term = term(life);
            term.refresh_at = Some(term.issued_at);
            assert_eq!(renew_at(&term, 1), term.issued_at + Duration::from_secs(pause));
        }
    }

    #[test]
    fn a_grace_leaves_room_for_the_renewal() {
        let s = Duration::from_secs;
        let term = term(100);
        let renewal = term.issued_at + s(60);
        let end = |grace| grace_ends_at(term.issued_at, grace, renewal, &term);
        assert_eq!(end(s(20)), term.issued_at + s(20), "as asked for");
        assert_eq!(end(s(99)), term.issued_at + s(70), "a quarter of the 40 s in hand");
        // Published after its renewal was due.
        let late = term.issued_at + s(80);
        assert_eq!(grace_ends_at(late, s(99), renewal, &term), late + s(5));
    }

    #[test]
    fn what_a_jump_has_made_due_is_spread_and_nothing_else() {
        let s = Duration::from_secs;
        let now = SystemTime::UNIX_EPOCH + s(1_000_000);
        assert_eq!(after_a_jump(now + s(1), s(100), now, 7), now + s(1));
        for (left, most) in [(s(4000), s(60)), (s(40), s(10))] {
            let waits: Vec<_> = (0..1000)
                .map(|dice| {
                    after_a_jump(now - s(1), left, now, dice).duration_since(now).expect("not before")
                })
                .collect();
            let (least, longest) = (waits.iter().min().expect("some"), waits.iter().max().expect("some"));
            assert!(*longest <= most && *longest > most.mul_f64(0.9), "{longest:?} of {most:?}");
            assert!(*least < most.mul_f64(0.1), "{least:?}");
        }
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
