//! Credentials that come and go while the agent lives: the configuration has been changed.
//!
//! A changed credential is one that leaves and one that follows it. What the two mint may bear the same name at the
//! service, so the second begins only when the first has been released; and a value is never published beside settings
//! that it was not minted for, so the first is taken out at once. A change is thus a short gap.

use super::{Index, Machine, Phase, Slot, Spec};
use std::time::SystemTime;

/// Each of these is followed by a [`step`](Machine::step), which plans what comes of it. At the end they do nothing.
impl Machine {
    /// Adds a credential, which begins when `after` has gone. Its index, which may be that of one that has gone.
    pub fn join(&mut self, spec: Spec, after: Option<Index>) -> Option<Index> {
        if self.is_ending() {
            return None;
        }
        let after = after.filter(|index| self.slots.get(*index).is_some_and(|slot| !slot.is_gone()));
        let slot = Slot::following(spec, after);
        let vacant = self.slots.iter().position(Slot::is_gone);
        let index = vacant.unwrap_or(self.slots.len());
        match vacant {
            Some(index) => self.slots[index] = slot,
            None => self.slots.push(slot),
        }
        Some(index)
    }

    /// Takes a credential out of what is published, and releases it however long that takes.
    pub fn leave(&mut self, index: Index, now: SystemTime) {
        self.look_at_the_clock(now);
        let patience = self.patience;
        if !self.is_ending() && !self.slots[index].is_leaving() && self.slots[index].leave(now, patience) {
            self.holding.soil();
        }
    }

    /// Changes what does not touch a credential's values: whether it is required, and its grace from the next one on.
    pub fn respecify(&mut self, index: Index, spec: Spec) {
        self.slots[index].respecify(spec);
    }

    /// What is published besides the values has changed.
    pub fn soil(&mut self) {
        if self.phase == Phase::Published {
            self.holding.soil();
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Ended)
    }

    /// Those that waited for one that has gone.
    pub(super) fn go_ahead(&mut self) {
        for index in 0..self.slots.len() {
            if self.slots[index].after().is_some_and(|before| self.slots[before].is_gone()) {
                self.slots[index].go_ahead();
            }
        }
    }
}
