//! How often something has failed in a row, and when it may be tried again.

use super::super::schedule;
use std::time::{Duration, SystemTime};

/// A failure as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Worth a retry without anybody changing anything.
    pub transient: bool,
    /// The wait that the service asked for.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// One that says nothing but that it may go better next time.
    pub(super) const PLAIN: Self = Self { transient: true, retry_after: None };
}

/// The failures of one kind of call since its last success.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    /// The last one had a reason that waiting does not mend.
    refused: bool,
    not_before: Option<SystemTime>,
}

impl Retry {
    /// Counts a failure and rests after it. `cap` and `left` are those of [`schedule::backoff`].
    pub(super) fn fail(
        &mut self,
        now: SystemTime,
        fault: Fault,
        cap: Duration,
        left: Option<Duration>,
        dice: u64,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.refused = !fault.transient;
        let wait = schedule::backoff(self.failures, cap, fault.retry_after, left, dice);
        // What somebody has to mend first is not asked for more than once a minute.
        let wait = if fault.transient { wait } else { wait.max(schedule::CAP) };
        self.not_before = Some(now + wait);
    }

    /// It succeeded.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Ends the rest, but not the count: half of the way has succeeded.
    pub(super) fn go_on(&mut self) {
        self.not_before = None;
        self.refused = false;
    }

    /// Rests no longer than until `at`.
    pub(super) fn hurry(&mut self, at: SystemTime) {
        if let Some(not_before) = &mut self.not_before {
            *not_before = at.min(*not_before);
        }
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the last failure had a reason that waiting does not mend.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// When it may be tried again; `None` means at any time.
    pub(super) fn not_before(&self) -> Option<SystemTime> {
        self.not_before
    }

    /// The clock has been set back by `by`; see [`set_back`].
    pub(super) fn set_back(&mut self, by: Duration) {
        set_back(&mut self.not_before, by);
    }
}

/// Moves a planned time with a clock that has been set back by `by`, so that the wait until then stays what it was.
pub(super) fn set_back(at: &mut Option<SystemTime>, by: Duration) {
    if let Some(at) = at {
        // Times before what the platform can express are due in any case.
        *at = at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
    }
}
