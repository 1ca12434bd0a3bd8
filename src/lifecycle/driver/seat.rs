//! One credential as the driver knows it: what the machine must not hold.

use super::super::{
    machine::{Index, Machine, Spec},
    status::{AboutCredential, Seen},
};
use crate::{
    error::Error,
    lease::{Lease, Lessor, Released},
    sink::{Item, Missing, layout},
};
use futures_util::stream::AbortHandle;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One credential of the configuration: what it is, and what issues it.
pub struct Entry {
    /// What it is.
    pub about: AboutCredential,
    /// The identities that it needs, by name.
    pub identities: Vec<String>,
    /// As whom the first of them was last proved.
    pub seen: Seen,
    /// How long a value stays good after its successor was published.
    pub grace: Duration,
    /// Issues its leases.
    pub lessor: Arc<dyn Lessor>,
}

impl Entry {
    /// What the machine needs to know of it.
    pub(super) fn spec(&self) -> Spec {
        Spec { grace: self.grace, retires: self.lessor.retires(), required: self.about.required }
    }
}

pub(super) struct Seat {
    pub(super) entry: Entry,
    /// Those that came later have higher ones.
    pub(super) serial: u64,
    pub(super) current: Option<Arc<Lease>>,
    pub(super) pending: Option<Arc<Lease>>,
    /// The last failure, while it lasts, and when it happened.
    pub(super) error: Option<(SystemTime, Error)>,
    /// What releases have achieved so far: one that is repeated finds nothing left to do.
    pub(super) released: Option<Released>,
    /// Gives up the issue that is under way.
    pub(super) issuing: Option<AbortHandle>,
}

impl Seat {
    pub(super) fn new(entry: Entry, serial: u64) -> Self {
        Self { entry, serial, current: None, pending: None, error: None, released: None, issuing: None }
    }

    /// The variables that the current value is published as.
    pub(super) fn variables(&self) -> Vec<String> {
        let current = self.current.as_deref();
        current.map(|lease| layout::names(&self.entry.about.env, &lease.value)).unwrap_or_default()
    }

    /// Forgets the values. An issue that cannot have created anything yet is given up; another one is waited for.
    pub(super) fn vacate(&mut self) {
        (self.current, self.pending, self.error) = (None, None, None);
        if let Some(issuing) = self.issuing.take()
            && !self.entry.lessor.has_begun()
        {
            issuing.abort();
        }
    }
}

/// The credentials by their index in the machine. One that has gone is not among them.
pub(super) type Seats = BTreeMap<Index, Seat>;

/// The state that a notice is about, after what it tells.
pub struct View<'a> {
    /// The machine.
    pub machine: &'a Machine,
    pub(super) seats: &'a Seats,
    pub(super) order: &'a [Index],
}

impl View<'_> {
    /// What that credential is. `None` when it has gone.
    pub fn about(&self, index: Index) -> Option<&AboutCredential> {
        self.seats.get(&index).map(|seat| &seat.entry.about)
    }

    /// The variables that its current value is published as.
    pub fn variables(&self, index: Index) -> Vec<String> {
        self.seats.get(&index).map(Seat::variables).unwrap_or_default()
    }

    /// The credentials that are wanted, in the configuration's order.
    pub fn credentials(&self) -> impl Iterator<Item = (Index, &AboutCredential)> {
        self.order.iter().filter_map(|index| Some((*index, self.about(*index)?)))
    }
}

/// The current values with their expiries, which are the machine's: it knows when the clock was set back.
pub(super) fn live<'a>(
    seats: &'a Seats,
    order: &[Index],
    machine: &Machine,
    now: SystemTime,
) -> Vec<Live<'a>> {
    let live = order.iter().filter_map(|index| {
        let seat = seats.get(index)?;
        let lease = seat.current.as_ref()?;
        let expires_at = machine.slots()[*index].current()?.expires_at;
        Some(Live { index: *index, seat, lease, expires_at })
    });
    live.filter(|one| one.expires_at > now).collect()
}

/// A current value that has not expired.
pub(super) struct Live<'a> {
    pub(super) index: Index,
    pub(super) seat: &'a Seat,
    pub(super) lease: &'a Arc<Lease>,
    pub(super) expires_at: SystemTime,
}

impl<'a> Live<'a> {
    pub(super) fn item(&self) -> Item<'a> {
        let about = &self.seat.entry.about;
        Item { name: &about.name, env: &about.env, value: &self.lease.value }
    }
}

/// Those that have none, each with its last failure.
pub(super) fn missing<'a>(seats: &'a Seats, order: &[Index], live: &[Live<'_>]) -> Vec<Missing<'a>> {
    let without = order.iter().filter(|index| !live.iter().any(|one| one.index == **index));
    let missing = without.filter_map(|index| seats.get(index)).map(|seat| Missing {
        env: &seat.entry.about.env,
        why: seat.error.as_ref().map(|(_, error)| error.what.as_str()),
    });
    missing.collect()
}
