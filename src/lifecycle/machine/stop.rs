//! The end: wipe at once, then release each credential within the deadline.

use super::{Action, Event, Index, Machine, Phase, Slot, holding::Work, slot::Flight};
use std::time::SystemTime;

impl Machine {
    pub(super) fn stop(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        self.phase = Phase::Stopping;
        self.deadline = Some(now + self.revoke_timeout);
        self.patient_until = Some(now + self.patience);
        self.slots.iter_mut().for_each(Slot::stop);
        self.holding.wipe(now);
        actions.push(Action::Wipe);
        self.end(now, actions);
    }

    pub(super) fn stopping(&mut self, event: Event, now: SystemTime, actions: &mut Vec<Action>) {
        match event {
            Event::Released(index) => self.slots[index].release.succeeded(),
            Event::ReleaseFailed(index, fault) => {
                let left = self.deadline.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
                let dice = self.roll();
                self.slots[index].release.failed(fault, left, dice, now);
            }
            Event::Issued(index, _) => self.slots[index].land_late(Some(Flight::Issue)),
            Event::Retired(index) => self.slots[index].land_late(Some(Flight::Retire)),
            Event::Failed(index, _) => self.slots[index].land_late(None),
            Event::Wiped => self.holding.wiped(),
            Event::WipeFailed => {
                let dice = self.roll();
                self.holding.wipe_failed(dice, now);
            }
            // Asked twice: whoever asks does not want to wait for the network.
            Event::Stop => self.deadline = Some(now),
            Event::Timer
            | Event::Probed(_)
            | Event::Voided(_)
            | Event::Published
            | Event::PublishFailed
            | Event::Disturbed
            | Event::Refresh => {}
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
        for index in 0..self.slots.len() {
            if self.releases_at(index, now).is_some_and(|at| at <= now) {
                self.slots[index].release.start();
                actions.push(Action::Release(index));
            }
        }
    }

    /// When the release of this credential starts. A call under way that may mint something is waited for with patience:
    /// a deletion that comes before the creation leaves it behind.
    fn releases_at(&self, index: Index, now: SystemTime) -> Option<SystemTime> {
        let slot = &self.slots[index];
        let patient_until = self.patient_until.filter(|_| slot.is_changing());
        slot.release.starts_at(now).map(|at| patient_until.map_or(at, |until| until.max(at)))
    }

    pub(super) fn stopping_wakes_at(&self, now: SystemTime) -> Option<SystemTime> {
        let releases = (0..self.slots.len()).filter_map(|index| self.releases_at(index, now));
        let wipe = self.holding.next(false, now).map(|(_, at)| at);
        releases.chain(wipe).chain(self.deadline).min()
    }
}
