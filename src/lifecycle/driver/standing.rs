//! What stands in the sink: the last set that could be written, and so all that anybody is given.
//!
//! A newer value that could not be written is not part of it. Whoever got that would hold something else than the file of
//! the same generation does, perhaps with the name of a file that is not there, and would never be told of its end.

use super::{super::machine::Index, Driver, Values, seat::live};
use crate::{lease::Lease, sink::Item};
use std::{sync::Arc, time::SystemTime};

/// The last set that was published; empty before that, and when the sink has been wiped.
#[derive(Default)]
pub(super) struct Standing {
    gateway: Option<String>,
    values: Vec<Stands>,
}

/// One value of it.
struct Stands {
    index: Index,
    /// That of its seat: the index may be another one's by now.
    serial: u64,
    env: String,
    lease: Arc<Lease>,
    expires_at: SystemTime,
}

impl Driver {
    /// What has just been written, which is what is current at `now`.
    pub(super) fn stands(&mut self, now: SystemTime) {
        let values = live(&self.seats, &self.order, &self.machine, now).into_iter().map(|one| Stands {
            index: one.index,
            serial: one.seat.serial,
            env: one.seat.entry.about.env.clone(),
            lease: Arc::clone(one.lease),
            expires_at: one.expires_at,
        });
        let values = values.collect();
        self.standing = Standing { gateway: Some(self.gateway.clone()), values };
    }

    /// The values that are published. What has expired meanwhile, or belongs to a credential that is not wanted any more,
    /// is left out, even if the sink still holds it because it cannot be written.
    pub(super) fn values(&self) -> Values {
        let now = self.now();
        let standing: Vec<_> =
            self.standing.values.iter().filter_map(|one| self.standing_at(one, now)).collect();
        let items: Vec<_> = standing.iter().map(|(item, _)| *item).collect();
        Values {
            gateway: self.standing.gateway.as_ref().unwrap_or(&self.gateway).clone(),
            generation: self.machine.generation(),
            expires_at: standing.iter().map(|(_, expires_at)| *expires_at).min(),
            values: self.sink.variables(&items),
        }
    }

    fn standing_at<'a>(&'a self, one: &'a Stands, now: SystemTime) -> Option<(Item<'a>, SystemTime)> {
        let seat = self.seats.get(&one.index).filter(|seat| seat.serial == one.serial)?;
        if !self.order.contains(&one.index) {
            return None;
        }
        // Nothing is current any more once that has expired, by the machine's word, which knows when the clock was set back.
        let is_current = Arc::ptr_eq(seat.current.as_ref()?, &one.lease);
        let told = self.machine.slots()[one.index].current().filter(|_| is_current);
        let expires_at = told.map_or(one.expires_at, |term| term.expires_at);
        let item = Item { name: &seat.entry.about.name, env: &one.env, value: &one.lease.value };
        (expires_at > now).then_some((item, expires_at))
    }
}
