//! The end: wipe at once, then release each credential within the deadline.

use super::{Action, Event, Index, Machine, Phase, Slot, holding::Work, slot::Flight};
use std::time::SystemTime;

impl Machine {
    pub(super) fn stop(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        self.phase = Phase::Stopping;
        self.deadline = Some(now + self.revoke_timeout);
        let patience = self.patience;
        self.slots.iter_mut().for_each(|slot| slot.stop(now, patience));
        self.holding.wipe(now);
        actions.push(Action::Wipe);
        self.end(now, actions);
    }

    pub(super) fn stopping(&mut self, event: Event, now: SystemTime, actions: &mut Vec<Action>) {
        match event {
            Event::Released(_)
            | Event::ReleaseFailed(..)
            | Event::Issued(..)
            | Event::Retired(_)
            | Event::Probed(_)
            | Event::Voided(_)
            | Event::Failed(..) => self.ending(event, now),
            Event::Wiped => self.holding.wiped(),
            Event::WipeFailed => {
                let dice = self.roll();
                self.holding.wipe_failed(dice, now);
            }
            // Asked twice: whoever asks does not want to wait for the network.
            Event::Stop => self.deadline = Some(now),
            Event::Timer
            | Event::Jumped
            | Event::Published
            | Event::PublishFailed
            | Event::Disturbed
            | Event::Refresh
            | Event::Hurry(_) => {}
        }
        self.end(now, actions);
    }

    /// Goes on with the end as far as it can be gone on with at `now`.
    fn end(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        let over = self.deadline.is_some_and(|deadline| deadline <= now);
        let settled = |slot: &Slot| slot.is_released() || slot.release.is_given_up();
        if over || self.slots.iter().all(settled) {
            self.phase = Phase::Ended;
            if !self.holding.is_empty() && !actions.contains(&Action::Wipe) {
                // The last chance for a wipe that failed.
                actions.push(Action::Wipe);
            }
            actions.push(Action::Finish);
            return;
        }
        if let Some((Work::Wipe, at)) = self.holding.next(false, now)
            && at <= now
        {
            self.holding.wipe(now);
            actions.push(Action::Wipe);
        }
        self.release(now, actions);
    }

    /// What concerns a credential that ends, with all of them or alone.
    pub(super) fn ending(&mut self, event: Event, now: SystemTime) {
        match event {
            Event::Released(index) => self.slots[index].release.succeeded(),
            Event::ReleaseFailed(index, fault) => {
                let left = self.deadline.map(|at| at.duration_since(now).unwrap_or_default());
                let dice = self.roll();
                self.slots[index].release.failed(fault, left, dice, now);
            }
            Event::Issued(index, _) => self.slots[index].land_late(Some(Flight::Issue)),
            Event::Retired(index) => self.slots[index].land_late(Some(Flight::Retire)),
            Event::Probed(index) | Event::Voided(index) => self.slots[index].land_late(Some(Flight::Probe)),
            Event::Failed(index, _) => self.slots[index].land_late(None),
            _ => {}
        }
    }

    /// Starts the releases that are due: of all, or of those that leave.
    pub(super) fn release(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        for index in 0..self.slots.len() {
            if self.releases_at(index, now).is_some_and(|at| at <= now) {
                self.slots[index].release.start();
                actions.push(Action::Release(index));
            }
        }
    }

    pub(super) fn releases_at(&self, index: Index, now: SystemTime) -> Option<SystemTime> {
        let slot = &self.slots[index];
        let ends = slot.is_leaving() || self.phase == Phase::Stopping;
        slot.releases_at(now).filter(|_| ends)
    }

    pub(super) fn stopping_wakes_at(&self, now: SystemTime) -> Option<SystemTime> {
        let releases = (0..self.slots.len()).filter_map(|index| self.releases_at(index, now));
        let wipe = self.holding.next(false, now).map(|(_, at)| at);
        releases.chain(wipe).chain(self.deadline).min()
    }
}
