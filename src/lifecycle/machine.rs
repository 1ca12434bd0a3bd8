//! What to do next, as a pure state machine: no clock, no I/O, no secrets. The [driver](super::driver) carries it out.
//!
//! ```text
//! due ─► Issue ─► Probe ─► Promote, Publish ─► (grace) Retire ─► … due
//!          ╰─ failed: back off, the published value stays until it expires, then it is dropped
//! Stop ─► Wipe, Release each ─► Finish
//! ```
//!
//! Each credential is a [`Slot`]; the sink's side is told apart from theirs, for a set is published whole. A `Retire` is
//! asked for only when a value before the current one is still good at the service: never after the first publication,
//! but also when that value has expired before its successor came.

mod change;
mod holding;
mod release;
mod retry;
mod slot;
mod stop;

use super::{
    budget::{AGENT, Budget},
    schedule::Term,
};
use holding::{Holding, Work};
pub use retry::Fault;
use slot::Flight;
pub use slot::{Slot, Spec};
use std::time::{Duration, SystemTime};

/// Index of a credential: stable while it lives. At first they are in the configuration's order.
pub type Index = usize;

/// What happened. An answer to a call that was not under way changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent has started, or a timer has rung.
    Timer,
    /// The clock was set, or the machine was suspended. This may have happened to many agents at once.
    Jumped,
    /// A new value has been issued.
    Issued(Index, Term),
    /// The gateway accepts the new value.
    Probed(Index),
    /// The new value has become void before it was accepted.
    Voided(Index),
    /// The value before the published one has been ended.
    Retired(Index),
    /// The call in flight for that credential has failed.
    Failed(Index, Fault),
    /// The sink holds what the last `Publish` asked for.
    Published,
    /// The sink could not be written; what it held before still stands.
    PublishFailed,
    /// The sink is empty.
    Wiped,
    /// The sink could not be emptied.
    WipeFailed,
    /// What was published has been changed by another hand.
    Disturbed,
    /// Somebody wants new values now.
    Refresh,
    /// What that credential failed for may have been mended.
    Hurry(Index),
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
    /// Empty the sink, now. While [`Phase::Published`] that is because it holds what has expired and cannot be written.
    Wipe,
    /// Revoke at the service. It may be asked for again after it succeeded, when a call that may have minted something
    /// ended later.
    Release(Index),
    /// All is done.
    Finish,
}

/// Where the agent is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been published yet.
    Acquiring,
    /// Something has been.
    Published,
    /// Wiped; revoking.
    Stopping,
    /// Over.
    Ended,
}

/// The whole state.
#[derive(Clone, Debug)]
pub struct Machine {
    slots: Vec<Slot>,
    phase: Phase,
    holding: Holding,
    /// Of all credentials together; each has one of its own besides.
    budget: Budget,
    revoke_timeout: Duration,
    patience: Duration,
    deadline: Option<SystemTime>,
    /// The time of the last step.
    seen: Option<SystemTime>,
    seed: u64,
    rolls: u64,
}

impl Machine {
    /// A machine for these credentials. `seed` spreads workspaces over time; `revoke_timeout` bounds the end.
    pub fn new(specs: impl IntoIterator<Item = Spec>, revoke_timeout: Duration, seed: u64) -> Self {
        Self {
            slots: specs.into_iter().map(Slot::new).collect(),
            phase: Phase::Acquiring,
            holding: Holding::default(),
            budget: Budget::new(AGENT),
            revoke_timeout,
            patience: revoke_timeout / 2,
            deadline: None,
            seen: None,
            seed,
            rolls: 0,
        }
    }

    /// How long a release waits for a call under way for the same credential; at most half of the time for revocations,
    /// which is also what it is without this.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience.min(self.revoke_timeout / 2);
    }

    /// Where the agent is in its life.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The number of the published set; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.holding.generation()
    }

    /// When a publication that failed is tried again.
    pub fn publishes_at(&self) -> Option<SystemTime> {
        self.holding.publishes_at()
    }

    /// When the agent gives up waiting for revocations; `None` before it stops.
    pub fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// The credentials by their index, also those that leave and those that have gone.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The credentials that are wanted.
    fn wanted(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !slot.is_leaving())
    }

    /// Whether every credential has a good value.
    pub fn is_complete(&self) -> bool {
        self.wanted().all(|slot| slot.current().is_some())
    }

    /// Whether every required credential is published and good.
    pub fn is_ready(&self) -> bool {
        let all_there = self.wanted().all(|slot| slot.current().is_some() || !slot.is_required());
        self.phase == Phase::Published && !self.holding.is_dirty() && all_there
    }

    /// Whether each credential has a value, or has shown that it does not get one at once.
    pub fn is_tried(&self) -> bool {
        self.wanted().all(Slot::has_been_tried)
    }

    /// Whether nothing has been published, and none of the credentials has a value or gets one by waiting.
    pub fn is_hopeless(&self) -> bool {
        let mut wanted = self.wanted().peekable();
        let refused = |slot: &Slot| slot.is_refused() && slot.current().is_none() && !slot.is_in_flight();
        self.phase == Phase::Acquiring && wanted.peek().is_some() && wanted.all(refused)
    }

    /// Takes in what happened at `now` and says what to do, in this order.
    pub fn step(&mut self, event: Event, now: SystemTime) -> Vec<Action> {
        self.look_at_the_clock(now);
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

    /// A call for that credential has failed after so many requests. Told before the call's own event, which plans by it.
    pub fn spend(&mut self, index: Index, requests: u32, now: SystemTime) {
        self.budget.spend(requests, now);
        self.slots[index].spend(requests, now);
    }

    /// Until when the budgets hold back the next call for that credential; `None` if they do not.
    pub fn held_until(&self, index: Index) -> Option<SystemTime> {
        let now = self.seen?;
        let (_, due) = self.slots[index].next(now)?;
        self.budgeted(index).filter(|at| *at > due)
    }

    /// When the budgets allow a call for that credential.
    fn budgeted(&self, index: Index) -> Option<SystemTime> {
        self.slots[index].budgeted().max(self.budget.free_at())
    }

    /// The next call for that credential, and from when.
    fn next_call(&self, index: Index, now: SystemTime) -> Option<(Flight, SystemTime)> {
        let (flight, due) = self.slots[index].next(now)?;
        Some((flight, self.budgeted(index).map_or(due, |at| at.max(due))))
    }

    /// When the machine wants its next `Timer`, if nothing else happens.
    ///
    /// It is asked of the same functions as the plan, so it never names a time at which nothing would be done.
    pub fn wakes_at(&self) -> Option<SystemTime> {
        let now = self.seen.unwrap_or(SystemTime::UNIX_EPOCH);
        match self.phase {
            Phase::Ended => None,
            Phase::Stopping => self.stopping_wakes_at(now),
            Phase::Acquiring | Phase::Published => {
                let calls = (0..self.slots.len()).filter_map(|index| self.next_call(index, now));
                let calls = calls.map(|(_, at)| at);
                let expiries = self.slots.iter().filter_map(Slot::expires_at);
                let releases = (0..self.slots.len()).filter_map(|index| self.releases_at(index, now));
                let sink = self.holding.next(self.may_publish(), now).map(|(_, at)| at);
                calls.chain(expiries).chain(releases).chain(sink).min()
            }
        }
    }

    /// By a clock that nobody sets it would be `at` now. The next step's time is compared with that as with the last one's,
    /// so that nobody gains by a clock that is set back while nothing happens.
    pub fn expect(&mut self, at: SystemTime) {
        self.seen = self.seen.max(Some(at));
    }

    /// A clock that was set back must not make a wait longer, nor a value live longer: all that is planned moves with it.
    fn look_at_the_clock(&mut self, now: SystemTime) {
        if let Some(by) = self.seen.and_then(|seen| seen.duration_since(now).ok()).filter(|by| !by.is_zero())
        {
            self.slots.iter_mut().for_each(|slot| slot.set_back(by));
            self.holding.set_back(by);
            self.budget.set_back(by);
            retry::set_back(&mut self.deadline, by);
        }
        self.seen = Some(now);
    }

    fn take(&mut self, event: Event, now: SystemTime, actions: &mut Vec<Action>) {
        match event {
            Event::Issued(index, _)
            | Event::Probed(index)
            | Event::Voided(index)
            | Event::Retired(index)
            | Event::Failed(index, _)
            | Event::Released(index)
            | Event::ReleaseFailed(index, _)
                if self.slots[index].is_leaving() =>
            {
                self.ending(event, now);
            }
            Event::Issued(index, term) => {
                let slot = &mut self.slots[index];
                if slot.land(Flight::Issue) {
                    slot.issued(term);
                }
            }
            Event::Probed(index) => {
                let slot = &mut self.slots[index];
                if slot.land(Flight::Probe) && slot.accepted(now) {
                    self.holding.soil();
                    actions.push(Action::Promote(index));
                }
            }
            Event::Voided(index) => {
                let dice = self.roll();
                let slot = &mut self.slots[index];
                if slot.land(Flight::Probe) && slot.void(dice, now) {
                    actions.push(Action::Discard(index));
                }
            }
            Event::Retired(index) => {
                let slot = &mut self.slots[index];
                if slot.land(Flight::Retire) {
                    slot.retired();
                }
            }
            Event::Failed(index, fault) => {
                let dice = self.roll();
                self.slots[index].failed(fault, dice, now);
            }
            Event::Published => self.published(now),
            Event::PublishFailed => {
                let dice = self.roll();
                self.holding.publish_failed(dice, now);
            }
            Event::Wiped => self.holding.wiped(),
            Event::WipeFailed => {
                let dice = self.roll();
                self.holding.wipe_failed(dice, now);
            }
            Event::Disturbed => {
                if self.phase == Phase::Published {
                    self.holding.soil();
                }
            }
            Event::Refresh => self.slots.iter_mut().for_each(|slot| slot.refresh(now)),
            Event::Jumped => {
                for index in 0..self.slots.len() {
                    let dice = self.roll();
                    self.slots[index].jumped(dice, now);
                }
            }
            Event::Hurry(index) => self.slots[index].hurry(now),
            Event::Timer | Event::Stop | Event::Released(_) | Event::ReleaseFailed(..) => {}
        }
    }

    fn published(&mut self, now: SystemTime) {
        if !self.holding.published() {
            return;
        }
        self.phase = Phase::Published;
        for index in 0..self.slots.len() {
            let dice = self.roll();
            self.slots[index].published(dice, now);
        }
    }

    /// First what has expired, then the sink, and only then the calls: none begins while a value is out that has run out.
    fn plan(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        self.go_ahead();
        for index in 0..self.slots.len() {
            let dice = self.roll();
            let slot = &mut self.slots[index];
            if slot.lapse(now) {
                self.holding.soil();
                actions.push(Action::Drop(index));
            }
            if slot.discard(dice, now) {
                actions.push(Action::Discard(index));
            }
        }
        match self.holding.next(self.may_publish(), now) {
            Some((Work::Publish, at)) if at <= now => {
                let terms = self.slots.iter().filter_map(Slot::current);
                let generation = self.holding.publish(terms.map(|term| term.expires_at).min());
                actions.push(Action::Publish(generation));
            }
            Some((Work::Wipe, at)) if at <= now => {
                self.holding.wipe(now);
                actions.push(Action::Wipe);
            }
            Some(_) | None => {}
        }
        for index in 0..self.slots.len() {
            if let Some((flight, at)) = self.next_call(index, now)
                && at <= now
            {
                self.slots[index].take_off(flight, now);
                actions.push(match flight {
                    Flight::Issue => Action::Issue(index),
                    Flight::Probe => Action::Probe(index),
                    Flight::Retire => Action::Retire(index),
                });
            }
        }
        // Behind the publication: what is ended at the service is not in the sink any more, if that could be written.
        self.release(now, actions);
    }

    /// The first set waits until each credential has had its try, and has something in it; later changes are published as
    /// they come.
    fn may_publish(&self) -> bool {
        let any = self.wanted().any(|slot| slot.current().is_some());
        self.phase == Phase::Published || (self.is_tried() && any)
    }

    fn roll(&mut self) -> u64 {
        self.rolls += 1;
        self.seed.wrapping_add(self.rolls)
    }
}
