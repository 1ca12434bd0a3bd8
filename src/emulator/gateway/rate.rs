//! The counters of `rate-limit-by-key`.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, SystemTime},
};

/// `renewal-period`: the length of the sliding window.
pub(super) const PERIOD: Duration = Duration::from_mins(1);

/// Counts calls per caller in a sliding window. Real gateways count less exactly, each node for itself.
pub(super) struct Limiter {
    /// `calls`: how many are let through in a window.
    limit: u32,
    /// When each caller's calls of the last window were let through.
    calls: HashMap<String, VecDeque<SystemTime>>,
}

impl Limiter {
    /// A limiter that lets `limit` calls of each caller through in a window.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, calls: HashMap::new() }
    }

    /// Counts a call: how many more the window allows, or how long to wait. A refused call does not count.
    pub(super) fn count(&mut self, caller: &str, now: SystemTime) -> Result<u32, Duration> {
        if !self.calls.contains_key(caller) {
            self.forget_idle_callers(now);
        }
        let calls = self.calls.entry(caller.to_owned()).or_default();
        calls.retain(|&call| is_recent(call, now));
        let used = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        if used < self.limit {
            calls.push_back(now);
            return Ok(self.limit - used - 1);
        }
        let age = calls.front().and_then(|&oldest| now.duration_since(oldest).ok()).unwrap_or_default();
        Err(PERIOD.saturating_sub(age))
    }

    /// Callers come and go with their subscriptions; without this the table would only grow.
    fn forget_idle_callers(&mut self, now: SystemTime) {
        self.calls.retain(|_, calls| calls.back().is_some_and(|&call| is_recent(call, now)));
    }
}

/// Whether a call lies in the window. One from the future does not: after the clock was set back nobody stays
/// locked out until it has caught up.
fn is_recent(call: SystemTime, now: SystemTime) -> bool {
    now.duration_since(call).is_ok_and(|age| age < PERIOD)
}

/// A wait as `Retry-After` says it: whole seconds, rounded up, so that whoever obeys it is let through.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    const START: u64 = 1_795_478_400;

    fn at(milliseconds: u64) -> SystemTime {
        from_unix(START) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn counts_down_then_refuses_until_the_oldest_call_leaves_the_window() {
        let mut limiter = Limiter::new(2);
        assert_eq!(limiter.count("a", at(0)), Ok(1));
        assert_eq!(limiter.count("a", at(3_000)), Ok(0));
        assert_eq!(limiter.count("a", at(3_500)), Err(Duration::from_millis(56_500)));
        assert_eq!(limiter.count("a", at(59_999)), Err(Duration::from_millis(1)));
        assert_eq!(limiter.count("a", at(60_000)), Ok(0));
        assert_eq!(limiter.count("a", at(60_001)), Err(Duration::from_millis(2_999)));
    }

    #[test]
    fn callers_do_not_share() {
        let mut limiter = Limiter::new(1);
        assert_eq!(limiter.count("a", at(0)), Ok(0));
        assert_eq!(limiter.count("b", at(0)), Ok(0));
        assert!(limiter.count("a", at(1)).is_err());
    }

    #[test]
    fn whoever_waits_as_told_is_let_through() {
        let mut limiter = Limiter::new(1);
        assert!(limiter.count("a", at(250)).is_ok());
        let wait = limiter.count("a", at(700)).unwrap_err();
        assert_eq!(whole_seconds(wait), 60);
        assert!(limiter.count("a", at(700) + Duration::from_secs(whole_seconds(wait))).is_ok());
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(57)), 57);
    }

    #[test]
    fn a_limit_of_zero_refuses_for_a_whole_window() {
        assert_eq!(Limiter::new(0).count("a", at(0)), Err(PERIOD));
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let mut limiter = Limiter::new(1);
        assert!(limiter.count("a", at(3_600_000)).is_ok());
        assert!(limiter.count("a", at(0)).is_ok());
    }

    #[test]
    fn idle_callers_are_forgotten() {
        let mut limiter = Limiter::new(5);
        for caller in 0..100 {
            assert!(limiter.count(&caller.to_string(), at(0)).is_ok());
        }
        assert!(limiter.count("late", at(60_000)).is_ok());
        assert_eq!(limiter.calls.len(), 1);
    }
}
