//! Another configuration comes into force, without dropping what still holds.

use super::{Change, Driver, Entry, Notice, seat::Seat};
use crate::lifecycle::machine::{Event, Index};

impl Driver {
    pub(super) fn reconfigure(&mut self, change: Change) {
        if self.stopped.is_some() {
            return;
        }
        self.mind_the_clock();
        let Change { plan, entries, gateway, further_gateways } = change;
        self.config_error = None;
        let obsolete = plan.removed.iter().chain(&plan.changed);
        for index in obsolete.filter_map(|name| self.wanted(name)).collect::<Vec<_>>() {
            self.leave(index);
        }
        self.order = entries.into_iter().filter_map(|entry| self.take_in(entry)).collect();
        if plan.gateways {
            self.sink.readdress(&gateway, further_gateways);
            self.gateway = gateway;
            self.machine.soil();
        }
        self.tell(&Notice::Reconfigured { plan: &plan });
        self.feed(Event::Timer);
    }

    /// The credential of that name that has not been told to leave.
    fn wanted(&self, name: &str) -> Option<Index> {
        let wanted = self.seats.iter().filter(|(index, _)| !self.machine.slots()[**index].is_leaving());
        wanted.filter(|(_, seat)| seat.entry.about.name == name).map(|(index, _)| *index).next()
    }

    fn leave(&mut self, index: Index) {
        self.machine.leave(index, self.now());
        if let Some(seat) = self.seats.get_mut(&index) {
            seat.vacate();
        }
    }

    /// A credential that is kept goes on as it is; another one begins, as soon as one of its name has gone.
    fn take_in(&mut self, entry: Entry) -> Option<Index> {
        if let Some(index) = self.wanted(&entry.about.name) {
            let seat = self.seats.get_mut(&index)?;
            if seat.entry.about.env != entry.about.env {
                self.machine.soil();
            }
            self.machine.respecify(index, entry.spec());
            let kept = &mut seat.entry;
            (kept.about, kept.identities, kept.grace) = (entry.about, entry.identities, entry.grace);
            return Some(index);
        }
        let same_name = |seat: &Seat| seat.entry.about.name == entry.about.name;
        let before =
            self.seats.iter().filter(|(_, seat)| same_name(seat)).max_by_key(|(_, seat)| seat.serial);
        let before = before.map(|(index, _)| *index);
        let index = self.machine.join(entry.spec(), before)?;
        self.serial += 1;
        self.seats.insert(index, Seat::new(entry, self.serial));
        Some(index)
    }
}
