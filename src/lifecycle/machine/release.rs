//! The end of one credential at the service.

use super::{
    super::schedule,
    retry::{Fault, Retry, set_back},
};
use std::time::{Duration, SystemTime};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Due,
    /// `overtaken`: a call that may have minted something ended meanwhile, so this release may have come too early.
    UnderWay {
        overtaken: bool,
    },
    Done,
    /// Nothing that the agent can wait for will mend it.
    GivenUp,
}

/// How far the release of a credential is. Releasing is repeatable, and is repeated until it is the last call.
#[derive(Clone, Debug, Default)]
pub(super) struct Release {
    stage: Stage,
    retry: Retry,
    /// The floor after a failure, and what the service asked for: not even the end makes it shorter.
    rest_until: Option<SystemTime>,
}

impl Release {
    /// There is nothing to release.
    pub(super) fn needless() -> Self {
        Self { stage: Stage::Done, ..Self::default() }
    }

    pub(super) fn retry(&self) -> &Retry {
        &self.retry
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::UnderWay { .. })
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.stage == Stage::GivenUp
    }

    /// When it may start; `None` if it must not.
    pub(super) fn starts_at(&self, now: SystemTime) -> Option<SystemTime> {
        let from = self.retry.not_before().max(self.rest_until);
        (self.stage == Stage::Due).then(|| from.map_or(now, |at| at.max(now)))
    }

    pub(super) fn start(&mut self) {
        self.stage = Stage::UnderWay { overtaken: false };
    }

    /// A call that may have minted something has ended.
    pub(super) fn overtaken(&mut self) {
        self.stage = match self.stage {
            Stage::UnderWay { .. } => Stage::UnderWay { overtaken: true },
            Stage::Due | Stage::Done => Stage::Due,
            Stage::GivenUp => Stage::GivenUp,
        };
    }

    pub(super) fn succeeded(&mut self) {
        if let Stage::UnderWay { overtaken } = self.stage {
            self.stage = if overtaken { Stage::Due } else { Stage::Done };
            self.retry.succeed();
        }
    }

    /// It failed, with `left` until the deadline, if there is one. What waiting cannot mend within that is not waited
    /// for; without a deadline it is asked for until it works.
    pub(super) fn failed(&mut self, fault: Fault, left: Option<Duration>, dice: u64, now: SystemTime) {
        if !self.is_under_way() {
            return;
        }
        let in_time = |left| fault.transient && fault.retry_after.is_none_or(|wait| wait < left);
        if left.is_none_or(in_time) {
            self.stage = Stage::Due;
            self.retry.fail(now, fault, schedule::CAP, None, dice);
            let rest = fault.retry_after.map_or(schedule::FLOOR, |wait| schedule::asked(wait, None));
            self.rest_until = Some(now + rest);
        } else {
            self.stage = Stage::GivenUp;
            self.retry.succeed();
        }
    }

    /// There is little time left: it is tried again as soon as the service allows.
    pub(super) fn hurry(&mut self, now: SystemTime) {
        self.retry.hurry(now);
    }

    /// The clock has been set back by `by`.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.retry.set_back(by);
        set_back(&mut self.rest_until, by);
    }
}
