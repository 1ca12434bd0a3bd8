//! What to do next, as a pure state machine: no clock, no I/O, no secrets. The [driver](super::driver) carries it out.
//!
//! ```text
//! due ─► Issue ─► Probe ─► Promote, Publish ─► (grace) Retire ─► … due
//!          ╰─ failed: back off, the published value stays until it expires, then it is dropped
//! Stop ─► Wipe, Release each ─► Finish
//! ```

use super::schedule::{self, Term};
use std::time::{Duration, SystemTime};

/// Index of a credential in the configuration's order.
pub type Index = usize;

/// A failure as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Worth a retry without anybody changing anything.
    pub transient: bool,
    /// The wait that the service asked for.
    pub retry_after: Option<Duration>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent has started, or a timer has rung.
    Timer,
    /// A new value has been issued.
    Issued(Index, Term),
    /// The gateway accepts the new value.
    Probed(Index),
    /// The value before the published one has been ended.
    Retired(Index),
    /// The call in flight for that credential has failed.
    Failed(Index, Fault),
    /// The sink holds what the last `Publish` asked for.
    Published,
    /// The sink could not be written; what it held before still stands.
    PublishFailed,
    /// What was published has been changed by another hand.
    Disturbed,
    /// Somebody wants new values now.
    Refresh,
    /// The workspace ends. A second one ends the wait for revocations.
    Stop,
    /// A credential has been released.
    Released(Index),
    /// A release failed.
    ReleaseFailed(Index, Fault),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a new value.
    Issue(Index),
    /// Ask the gateway about the new value.
    Probe(Index),
    /// End the value before the published one.
    Retire(Index),
    /// The new value takes the place of the current one.
    Promote(Index),
    /// The current value has expired: forget it.
    Drop(Index),
    /// Forget a new value that expired before it was accepted.
    Discard(Index),
    /// Write the current values to the sink as this generation.
    Publish(u64),
    /// Empty the sink, now.
    Wipe,
    /// Revoke at the service.
    Release(Index),
    /// All is done.
    Finish,
}

/// Where the agent is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been published yet.
    Acquiring,
    /// Something is.
    Published,
    /// Wiped; revoking.
    Stopping,
    /// Over.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Issue,
    Probe,
    Retire,
    Release,
}

/// What the machine needs to know of a credential.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// How long the value before stays good after its successor was published.
    pub grace: Duration,
    /// Whether values can be ended one by one.
    pub retires: bool,
}

/// One credential's state.
#[derive(Clone, Debug)]
pub struct Slot {
    spec: Spec,
    current: Option<Term>,
    pending: Option<Term>,
    flight: Option<Flight>,
    failures: u32,
    not_before: Option<SystemTime>,
    renew_at: Option<SystemTime>,
    retire_at: Option<SystemTime>,
    /// A value before the current one is still good at the gateway.
    previous: bool,
    fresh: bool,
    wanted: bool,
    released: bool,
    /// A value ran out then, and no successor has come yet.
    lapsed_at: Option<SystemTime>,
}

impl Slot {
    /// The value that is published, or will be with the next publication.
    pub fn current(&self) -> Option<&Term> {
        self.current.as_ref()
    }

    /// When it is renewed.
    pub fn renews_at(&self) -> Option<SystemTime> {
        self.renew_at
    }

    /// Whether the value before the current one is still good.
    pub fn is_retiring(&self) -> bool {
        self.previous
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a new value is on its way.
    pub fn is_renewing(&self) -> bool {
        self.pending.is_some() || self.flight == Some(Flight::Issue)
    }

    /// When the next attempt after a failure may start.
    pub fn retries_at(&self) -> Option<SystemTime> {
        self.not_before.filter(|_| self.failures > 0)
    }

    /// Until when the value before the current one is kept good.
    pub fn grace_until(&self) -> Option<SystemTime> {
        self.retire_at.filter(|_| self.previous)
    }

    /// When the last value ran out, while no successor has come.
    pub fn lapsed_at(&self) -> Option<SystemTime> {
        self.lapsed_at
    }

    /// Whether a call for this credential is under way.
    pub fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether it has ended at the service.
    pub fn is_released(&self) -> bool {
        self.released
    }

    fn renews_from(&self) -> Option<SystemTime> {
        if self.wanted { Some(SystemTime::UNIX_EPOCH) } else { self.renew_at }
    }

    fn is_due(&self, now: SystemTime) -> bool {
        self.current.is_none() || self.renews_from().is_some_and(|at| at <= now)
    }
}

/// The whole state.
#[derive(Clone, Debug)]
pub struct Machine {
    slots: Vec<Slot>,
    phase: Phase,
    generation: u64,
    /// The current values differ from what the sink holds.
    dirty: bool,
    publishing: bool,
    publish_failures: u32,
    publish_not_before: Option<SystemTime>,
    revoke_timeout: Duration,
    deadline: Option<SystemTime>,
    seed: u64,
    rolls: u64,
}

impl Machine {
    /// A machine for these credentials. `seed` spreads workspaces over time; `revoke_timeout` bounds the end.
    pub fn new(specs: impl IntoIterator<Item = Spec>, revoke_timeout: Duration, seed: u64) -> Self {
        let slots = specs.into_iter().map(|spec| Slot {
            spec,
            current: None,
            pending: None,
            flight: None,
            failures: 0,
            not_before: None,
            renew_at: None,
            retire_at: None,
            previous: false,
            fresh: false,
            wanted: false,
            released: false,
            lapsed_at: None,
        });
        Self {
            slots: slots.collect(),
            phase: Phase::Acquiring,
            generation: 0,
            dirty: false,
            publishing: false,
            publish_failures: 0,
            publish_not_before: None,
            revoke_timeout,
            deadline: None,
            seed,
            rolls: 0,
        }
    }

    /// Where the agent is in its life.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The number of the published set; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When a publication that failed is tried again.
    pub fn publishes_at(&self) -> Option<SystemTime> {
        self.publish_not_before
    }

    /// When the agent gives up waiting for revocations; `None` before it stops.
    pub fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// The credentials, in the configuration's order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether every credential is published and good.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Published && !self.dirty && self.slots.iter().all(|slot| slot.current.is_some())
    }

    /// Takes in what happened at `now` and says what to do, in this order.
    pub fn step(&mut self, event: Event, now: SystemTime) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.phase {
            Phase::Ended => {}
            Phase::Stopping => self.stopping(event, now, &mut actions),
            Phase::Acquiring | Phase::Published => {
                if event == Event::Stop {
                    self.stop(now, &mut actions);
                } else {
                    self.take(event, now, &mut actions);
                    self.plan(now, &mut actions);
                }
            }
        }
        actions
    }

    /// When the machine wants its next `Timer`, if nothing else happens.
    pub fn wakes_at(&self) -> Option<SystemTime> {
        match self.phase {
            Phase::Ended => None,
            Phase::Stopping => {
                let retries = self.slots.iter().filter(|slot| slot.flight.is_none() && !slot.released);
                retries.filter_map(|slot| slot.not_before).chain(self.deadline).min()
            }
            Phase::Acquiring | Phase::Published => {
                let publish = (self.dirty && !self.publishing).then_some(self.publish_not_before).flatten();
                self.slots.iter().filter_map(Self::slot_wakes_at).chain(publish).min()
            }
        }
    }

    fn slot_wakes_at(slot: &Slot) -> Option<SystemTime> {
        let idle_pending = slot.pending.as_ref().filter(|_| slot.flight.is_none());
        let expiry = slot.current.iter().chain(idle_pending).map(|term| term.expires_at).min();
        // Only what `plan` will act upon may wake the driver, or it would spin.
        let work = if slot.flight.is_some() {
            None
        } else if slot.pending.is_some() || slot.current.is_none() {
            slot.not_before
        } else if slot.fresh {
            None
        } else {
            let renewal = if slot.previous { None } else { slot.renews_from() };
            let next = renewal.into_iter().chain(slot.retire_at).min();
            next.map(|at| slot.not_before.map_or(at, |rest| rest.max(at)))
        };
        expiry.into_iter().chain(work).min()
    }

    fn take(&mut self, event: Event, now: SystemTime, actions: &mut Vec<Action>) {
        match event {
            Event::Issued(index, term) => {
                let slot = &mut self.slots[index];
                slot.flight = None;
                slot.pending = Some(term);
                slot.not_before = None;
            }
            Event::Probed(index) => {
                let slot = &mut self.slots[index];
                slot.flight = None;
                // A value may have expired while the gateway made up its mind.
                if let Some(term) = slot.pending.take().filter(|term| term.expires_at > now) {
                    slot.failures = 0;
                    slot.not_before = None;
                    slot.previous = slot.spec.retires && slot.current.is_some();
                    slot.current = Some(term);
                    slot.fresh = true;
                    slot.lapsed_at = None;
                    slot.wanted = false;
                    slot.renew_at = None;
                    slot.retire_at = None;
                    self.dirty = true;
                    actions.push(Action::Promote(index));
                } else {
                    // It counts as a failure, or values that live too short would be drawn without a pause.
                    slot.failures += 1;
                    slot.not_before = Some(now + schedule::FLOOR);
                    actions.push(Action::Discard(index));
                }
            }
            Event::Retired(index) => {
                let slot = &mut self.slots[index];
                slot.flight = None;
                slot.retire_at = None;
                slot.previous = false;
                slot.failures = 0;
                slot.not_before = None;
            }
            Event::Failed(index, fault) => self.failed(index, fault, now),
            Event::Published => self.published(now),
            Event::PublishFailed => {
                self.publishing = false;
                self.dirty = true;
                self.publish_failures += 1;
                let dice = self.roll();
                self.publish_not_before =
                    Some(now + schedule::backoff(self.publish_failures, schedule::CAP, None, None, dice));
            }
            Event::Disturbed => self.dirty |= self.generation > 0,
            Event::Refresh => {
                for slot in &mut self.slots {
                    slot.wanted = true;
                    // A person asking is a reason to try at once, but never below the floor.
                    if let Some(at) = slot.not_before.as_mut() {
                        *at = (*at).min(now + schedule::FLOOR);
                    }
                }
            }
            Event::Timer | Event::Stop | Event::Released(_) | Event::ReleaseFailed(..) => {}
        }
    }

    fn failed(&mut self, index: Index, fault: Fault, now: SystemTime) {
        let dice = self.roll();
        let slot = &mut self.slots[index];
        let flight = slot.flight.take();
        slot.failures = slot.failures.saturating_add(1);
        let left = slot.current.and_then(|term| term.expires_at.duration_since(now).ok());
        let cap = if flight == Some(Flight::Probe) { schedule::PROBE_CAP } else { schedule::CAP };
        let wait = schedule::backoff(slot.failures, cap, fault.retry_after, left, dice);
        // What somebody has to mend first is not asked for more than once a minute.
        let wait = if fault.transient { wait } else { wait.max(schedule::CAP) };
        slot.not_before = Some(now + wait);
    }

    fn published(&mut self, now: SystemTime) {
        self.publishing = false;
        self.publish_failures = 0;
        self.publish_not_before = None;
        self.phase = Phase::Published;
        let (seed, mut rolls) = (self.seed, self.rolls);
        for slot in self.slots.iter_mut().filter(|slot| slot.fresh) {
            slot.fresh = false;
            rolls += 1;
            slot.renew_at = slot.current.map(|term| schedule::renew_at(&term, seed.wrapping_add(rolls)));
            slot.retire_at = slot.spec.retires.then(|| now + slot.spec.grace);
        }
        self.rolls = rolls;
    }

    fn plan(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.current.is_some_and(|term| term.expires_at <= now) {
                slot.current = None;
                slot.fresh = false;
                slot.renew_at = None;
                slot.lapsed_at = Some(now);
                self.dirty = true;
                actions.push(Action::Drop(index));
            }
            if slot.flight.is_none() && slot.pending.is_some_and(|term| term.expires_at <= now) {
                slot.pending = None;
                slot.not_before = Some(now + schedule::FLOOR);
                actions.push(Action::Discard(index));
            }
            if slot.flight.is_some() || slot.not_before.is_some_and(|at| at > now) {
                continue;
            }
            // A value whose predecessor is still in its grace waits: the next one would take the predecessor's place.
            let in_grace = slot.previous && slot.current.is_some();
            let next = if slot.pending.is_some() {
                Some((Flight::Probe, Action::Probe(index)))
            } else if slot.retire_at.is_some_and(|at| at <= now) {
                Some((Flight::Retire, Action::Retire(index)))
            } else if slot.is_due(now) && !slot.fresh && !in_grace {
                Some((Flight::Issue, Action::Issue(index)))
            } else {
                None
            };
            if let Some((flight, action)) = next {
                slot.flight = Some(flight);
                actions.push(action);
            }
        }
        // The first set waits until each credential has had its try; later changes are published as they come.
        let complete = self.slots.iter().all(|slot| slot.current.is_some() || slot.failures > 0);
        let may_publish = (self.generation > 0 || complete) && !self.publishing;
        let rested = self.publish_not_before.is_none_or(|at| at <= now);
        let worth = self.generation > 0 || self.slots.iter().any(|slot| slot.current.is_some());
        if self.dirty && may_publish && rested && worth {
            self.dirty = false;
            self.publishing = true;
            self.generation += 1;
            actions.push(Action::Publish(self.generation));
        }
    }

    fn stop(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        self.phase = Phase::Stopping;
        self.deadline = Some(now + self.revoke_timeout);
        actions.push(Action::Wipe);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.current = None;
            slot.pending = None;
            slot.failures = 0;
            slot.not_before = None;
            slot.flight = Some(Flight::Release);
            actions.push(Action::Release(index));
        }
        self.finish_if_done(actions);
    }

    fn stopping(&mut self, event: Event, now: SystemTime, actions: &mut Vec<Action>) {
        match event {
            Event::Released(index) => {
                self.slots[index].flight = None;
                self.slots[index].released = true;
            }
            Event::ReleaseFailed(index, fault) => self.failed(index, Fault { transient: true, ..fault }, now),
            // Asked twice: whoever asks does not want to wait for the network.
            Event::Stop => self.deadline = Some(now),
            _ => {}
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.phase = Phase::Ended;
            actions.push(Action::Finish);
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let waits = slot.not_before.is_some_and(|at| at > now);
            if !slot.released && slot.flight.is_none() && !waits {
                slot.flight = Some(Flight::Release);
                actions.push(Action::Release(index));
            }
        }
        self.finish_if_done(actions);
    }

    fn finish_if_done(&mut self, actions: &mut Vec<Action>) {
        if self.slots.iter().all(|slot| slot.released) {
            self.phase = Phase::Ended;
            actions.push(Action::Finish);
        }
    }

    fn roll(&mut self) -> u64 {
        self.rolls += 1;
        self.seed.wrapping_add(self.rolls)
    }
}
