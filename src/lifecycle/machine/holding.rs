//! What the sink holds, and what has to be done with it.

use super::{
    super::schedule,
    retry::{Fault, Retry, set_back},
};
use std::time::{Duration, SystemTime};

/// What the sink is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Publish,
    Wipe,
}

#[derive(Clone, Copy, Debug, Default)]
enum Busy {
    #[default]
    Idle,
    /// Writing a set whose first value expires then.
    Publishing {
        until: Option<SystemTime>,
    },
    Wiping,
}

/// What the sink holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    generation: u64,
    /// The current values differ from it.
    dirty: bool,
    /// When the first of the values that it holds expires; `None` while it holds none.
    until: Option<SystemTime>,
    busy: Busy,
    publishing: Retry,
    wiping: Retry,
}

impl Holding {
    /// The number of the published set; 0 before the first.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn is_empty(&self) -> bool {
        self.until.is_none()
    }

    /// When a publication that failed is tried again.
    pub(super) fn publishes_at(&self) -> Option<SystemTime> {
        self.publishing.not_before()
    }

    pub(super) fn soil(&mut self) {
        self.dirty = true;
    }

    /// What comes next, and from when; never before `now`. Publishing is the better way to be rid of expired values.
    pub(super) fn next(&self, may_publish: bool, now: SystemTime) -> Option<(Work, SystemTime)> {
        if !matches!(self.busy, Busy::Idle) {
            return None;
        }
        let publish = (self.dirty && may_publish)
            .then(|| (Work::Publish, self.publishing.not_before().unwrap_or(now).max(now)));
        let wipe = self
            .until
            .map(|until| (Work::Wipe, self.wiping.not_before().map_or(until, |at| at.max(until)).max(now)));
        // The first of equals.
        publish.into_iter().chain(wipe).min_by_key(|(_, at)| *at)
    }

    /// Begins to write a set whose first value expires at `until`. Its number.
    pub(super) fn publish(&mut self, until: Option<SystemTime>) -> u64 {
        self.dirty = false;
        self.busy = Busy::Publishing { until };
        self.generation + 1
    }

    /// Whether there was a publication that could succeed.
    pub(super) fn published(&mut self) -> bool {
        let Busy::Publishing { until } = self.busy else { return false };
        self.busy = Busy::Idle;
        self.until = until;
        self.generation += 1;
        self.publishing.succeed();
        self.wiping.succeed();
        true
    }

    pub(super) fn publish_failed(&mut self, dice: u64, now: SystemTime) {
        self.busy = Busy::Idle;
        self.dirty = true;
        self.publishing.fail(now, Fault::PLAIN, schedule::CAP, None, dice);
    }

    /// Begins to wipe. Until that is confirmed, it counts as holding what has expired.
    pub(super) fn wipe(&mut self, now: SystemTime) {
        self.busy = Busy::Wiping;
        self.until = Some(now);
    }

    /// Nothing is left; what is current is not published any more.
    pub(super) fn wiped(&mut self) {
        self.busy = Busy::Idle;
        self.dirty = true;
        self.until = None;
        self.wiping.succeed();
    }

    pub(super) fn wipe_failed(&mut self, dice: u64, now: SystemTime) {
        self.busy = Busy::Idle;
        self.wiping.fail(now, Fault::PLAIN, schedule::CAP, None, dice);
    }

    /// The clock has been set back by `by`.
    pub(super) fn set_back(&mut self, by: Duration) {
        if let Busy::Publishing { until } = &mut self.busy {
            set_back(until, by);
        }
        set_back(&mut self.until, by);
        self.publishing.set_back(by);
        self.wiping.set_back(by);
    }
}
