//! The driver's time: when it wakes, what it takes for now, and what it makes of a clock that is set.

use super::{Driver, Event};
use crate::clock::Ring;
use std::time::{Duration, SystemTime};

/// What the wall clock and the steady one are apart is changed by nothing but a step, and read as exactly as this.
const EXACT: Duration = Duration::from_millis(10);

/// Notices steps of the wall clock, by the steady one.
pub(super) struct Steps {
    wall: SystemTime,
    steady: Duration,
}

impl Steps {
    /// From here on, by [`Clock::both`](crate::clock::Clock::both).
    pub(super) fn since((wall, steady): (SystemTime, Duration)) -> Self {
        Self { wall, steady }
    }

    /// The time that it would be if the wall clock had not been set back since the last look; `None` if it was not.
    pub(super) fn set_back(&mut self, (wall, steady): (SystemTime, Duration)) -> Option<SystemTime> {
        let expected = self.wall + steady.saturating_sub(self.steady);
        let (ahead, behind) = (wall.duration_since(expected), expected.duration_since(wall));
        let stepped = [ahead, behind.clone()].iter().flatten().any(|by| *by > EXACT);
        if stepped {
            *self = Self { wall, steady };
        }
        (stepped && behind.is_ok()).then_some(expected)
    }
}

impl Driver {
    /// The wall clock; from the stop on, the time that has really passed since then. Nothing expires any more then, and
    /// whoever sets the clock must not move the deadline.
    pub(super) fn now(&self) -> SystemTime {
        match self.stopped {
            None => self.clock.now(),
            Some((wall, steady)) => wall + self.clock.steady().saturating_sub(steady),
        }
    }

    /// When the machine wants to be woken, by the wall clock as it stands.
    pub(super) fn wakes_at(&self) -> Option<SystemTime> {
        let at = self.machine.wakes_at()?;
        if self.stopped.is_none() {
            return Some(at);
        }
        Some(self.clock.now() + at.duration_since(self.now()).unwrap_or_default())
    }

    /// The wait is over.
    pub(super) fn rung(&mut self, ring: Ring) {
        self.inspect();
        match ring {
            Ring::Due => self.feed(Event::Timer),
            Ring::Jumped => {
                tracing::debug!("the clock was set, or the machine was suspended");
                self.feed(Event::Jumped);
            }
        }
    }

    /// Has the machine know what time it would be by a clock that nobody sets. Between two steps of an idle agent lie
    /// hours, so the last step's time says little about how far the clock was set back.
    pub(super) fn mind_the_clock(&mut self) {
        if self.stopped.is_none()
            && let Some(expected) = self.steps.set_back(self.clock.both())
        {
            self.machine.expect(expected);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_set_back_by_what_it_lacks_against_the_steady_one() {
        let s = Duration::from_secs;
        let at = |seconds| SystemTime::UNIX_EPOCH + s(1_000_000) + s(seconds);
        let mut steps = Steps::since((at(0), s(5)));
        assert_eq!(steps.set_back((at(3600), s(3605))), None, "time has passed");
        // Ten minutes back, after twenty: later than the last look all the same.
        assert_eq!(steps.set_back((at(3600 + 600), s(3605 + 1200))), Some(at(3600 + 1200)));
        assert_eq!(steps.set_back((at(3600 + 601), s(3605 + 1201))), None, "told once");
        // Forwards is no matter of ours, but back from there is.
        assert_eq!(steps.set_back((at(9000), s(3605 + 1201))), None);
        assert_eq!(steps.set_back((at(8000), s(3605 + 1201))), Some(at(9000)));
        // Small steps add up.
        let mut steps = Steps::since((at(0), s(0)));
        let small = Duration::from_millis(6);
        assert_eq!(steps.set_back((at(1) - small, s(1))), None);
        assert_eq!(steps.set_back((at(2) - 2 * small, s(2))), Some(at(2)));
    }
}
