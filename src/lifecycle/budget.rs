//! How many requests may be made in vain: a token bucket, as a pure function of the time.
//!
//! The pauses between retries spread the calls of one failure; the budget bounds what all failures together can ask of
//! anybody, however they come about: a service that fails each time at another place, somebody who runs `refresh` in a
//! loop, fifty credentials at once. Requests are counted, since they are what a service has to bear; a call (an issue, a
//! probe, a retirement) makes several. A call is begun only while there is a request left, and is then carried through, if
//! need be on credit: half a call has cost its requests and brought nothing.
//!
//! Only calls that fail are charged. How often calls succeed follows from how long the values live. And what ends values
//! when the agent ends is never held back.

use std::time::{Duration, SystemTime};

/// Of one credential: some ten calls that fail, or thirty questions whether the gateway knows a key by now, and then one
/// request every ten seconds. It is full again as soon as the credential has a new value.
pub const CREDENTIAL: Limits = Limits { burst: 30, every: Duration::from_secs(10), credit: 12 };
/// Of all credentials together: far less than ARM gives one principal (a bucket of 200, ten in a second).
pub const AGENT: Limits = Limits { burst: 120, every: Duration::from_secs(1), credit: 60 };

/// The size of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may be made at once.
    pub burst: u32,
    /// So often there is another one.
    pub every: Duration,
    /// Requests that calls under way may make beyond that. What is made beyond these too (a sign-in that is polled for
    /// minutes, at the pace that the service set) is not held against later calls.
    pub credit: u32,
}

/// A budget of requests.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    /// When it is full again, which says all: each request that was made is one `every` of it. `None`: it is full.
    full_at: Option<SystemTime>,
}

impl Budget {
    /// A full one.
    pub fn new(limits: Limits) -> Self {
        Self { limits, full_at: None }
    }

    /// So many requests have been made in vain by `now`.
    pub fn spend(&mut self, requests: u32, now: SystemTime) {
        if requests == 0 {
            return;
        }
        let Limits { burst, every, credit } = self.limits;
        let deepest = now + every * (burst + credit);
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + every.saturating_mul(requests);
        self.full_at = Some(full_at.min(deepest));
    }

    /// From when on there is a request left; `None`: there is, whenever it is asked.
    pub fn free_at(&self) -> Option<SystemTime> {
        let Limits { burst, every, .. } = self.limits;
        self.full_at.and_then(|at| at.checked_sub(every * burst.saturating_sub(1)))
    }

    /// Makes it full.
    pub fn fill(&mut self) {
        self.full_at = None;
    }

    /// The clock has been set back by `by`.
    pub fn set_back(&mut self, by: Duration) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { burst: 3, every: Duration::from_secs(10), credit: 2 };

    fn at(seconds: u64) -> SystemTime {
        crate::clock::from_unix(1_700_000_000 + seconds)
    }

    fn is_free(budget: &Budget, now: SystemTime) -> bool {
        budget.free_at().is_none_or(|at| at <= now)
    }

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let mut budget = Budget::new(LIMITS);
        for _ in 0..3 {
            assert!(is_free(&budget, at(0)));
            budget.spend(1, at(0));
        }
        assert_eq!(budget.free_at(), Some(at(10)));
        budget.spend(1, at(10));
        assert_eq!(budget.free_at(), Some(at(20)));
        // Rest fills it, and no further than to the burst.
        budget.spend(2, at(1000));
        assert!(is_free(&budget, at(1000)));
        budget.spend(1, at(1000));
        assert_eq!(budget.free_at(), Some(at(1010)));
    }

    #[test]
    fn a_call_is_carried_through_on_credit_and_pays_for_it() {
        let mut budget = Budget::new(LIMITS);
        budget.spend(2, at(0));
        budget.spend(3, at(0));
        assert_eq!(budget.free_at(), Some(at(30)), "two that were lent, and one to begin with");
        budget.spend(1000, at(0));
        assert_eq!(budget.free_at(), Some(at(30)), "no deeper than the credit");
        budget.fill();
        assert!(is_free(&budget, at(0)));
    }

    #[test]
    fn a_thousand_failures_make_few_requests() {
        let mut budget = Budget::new(CREDENTIAL);
        let (mut now, mut requests) = (at(0), 0);
        while now < at(3600) {
            if is_free(&budget, now) {
                budget.spend(4, now);
                requests += 4;
            }
            now += Duration::from_secs(1);
        }
        assert!((360..=30 + 360 + 4).contains(&requests), "{requests} within an hour of a call each second");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_wait_longer() {
        let mut budget = Budget::new(LIMITS);
        budget.spend(3, at(5000));
        budget.set_back(Duration::from_secs(4000));
        assert_eq!(budget.free_at(), Some(at(1010)));
    }
}
