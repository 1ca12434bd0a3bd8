//! Carries out what the [machine](super::machine) decides: calls the lessors, writes the sink, tells the observer.

mod asked;
mod call;
mod notice;
mod reconfigure;
mod refusal;
mod report;
mod seat;
mod standing;
mod telling;
mod time;

use super::{
    machine::{Action, Event, Fault, Index, Machine, Slot},
    schedule::Term,
};
use crate::{
    clock::Clock,
    error::{Class, Error},
    sink::{Set, Sink},
};
use asked::Waiting;
use call::{Call, Done, Flights, fault, fly};
use futures_util::StreamExt;
pub use notice::{Notice, Observer};
pub use report::{Change, Command, Outcome, Report, Reported, Values};
pub use seat::{Entry, View};
use seat::{Live, Seat, Seats, live, missing};
use standing::Standing;
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    time::{Duration, SystemTime},
};
use telling::Detail;
use time::Steps;
use tokio::{sync::mpsc, time::Instant};

/// How a driver paces itself.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bounds the end.
    pub revoke_timeout: Duration,
    /// A release waits at most so long for a call that is under way for the same credential.
    pub patience: Duration,
    /// Spreads workspaces over time.
    pub seed: u64,
}

/// Runs one set of credentials through its life.
pub struct Driver {
    seats: Seats,
    /// Those that are wanted, in the configuration's order.
    order: Vec<Index>,
    /// That of the seat that came last.
    serial: u64,
    gateway: String,
    sink_error: Option<(SystemTime, Error)>,
    config_error: Option<(SystemTime, Error)>,
    machine: Machine,
    sink: Box<dyn Sink>,
    standing: Standing,
    observer: Box<dyn Observer>,
    clock: Box<dyn Clock>,
    steps: Steps,
    /// Calls that may have an effect at the service. They are waited for at the end, within the deadline.
    flights: Flights,
    /// Calls without an effect. They hold leases, and are given up at the end.
    probes: Flights,
    waiting: Waiting,
    /// When the end began, by both times of the clock.
    stopped: Option<(SystemTime, Duration)>,
    /// Why it ends before anybody asked.
    refusal: Option<Error>,
    /// See [`Outcome::missing`].
    missing: Option<Error>,
    finished: bool,
}

impl Driver {
    /// A driver for `entries`, in the configuration's order; `gateway` is that whose URL is published.
    pub fn new(
        entries: Vec<Entry>,
        pace: Pace,
        gateway: String,
        sink: Box<dyn Sink>,
        observer: Box<dyn Observer>,
        clock: Box<dyn Clock>,
    ) -> Self {
        let mut machine = Machine::new(entries.iter().map(Entry::spec), pace.revoke_timeout, pace.seed);
        machine.set_patience(pace.patience);
        let order: Vec<_> = (0..entries.len()).collect();
        let seats = order.iter().zip(entries).map(|(index, entry)| (*index, Seat::new(entry, 0)));
        Self {
            seats: seats.collect(),
            order,
            serial: 0,
            gateway,
            sink_error: None,
            config_error: None,
            machine,
            sink,
            standing: Standing::default(),
            observer,
            steps: Steps::since(clock.both()),
            clock,
            flights: Flights::new(),
            probes: Flights::new(),
            waiting: Waiting::default(),
            stopped: None,
            refusal: None,
            missing: None,
            finished: false,
        }
    }

    /// Drives until all is released or the deadline for that has passed.
    ///
    /// It ends by itself only while nothing has been published and every credential has been refused for a reason that
    /// waiting does not mend: a person reads that now.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Outcome {
        self.feed(Event::Timer);
        let mut listening = true;
        while !self.finished {
            let until = self.wakes_at();
            tokio::select! {
                // The time comes first: after a suspend, what has expired is out before a call goes on or begins.
                biased;
                ring = poll_fn(|context| self.clock.poll_ring(context, until)) => self.rung(ring),
                command = commands.recv(), if listening => {
                    listening = command.is_some();
                    self.obey(command);
                }
                Some((index, done, requests)) = self.flights.next() => self.land(index, done, requests),
                Some((index, done, requests)) = self.probes.next() => self.land(index, done, requests),
            }
        }
        self.outcome()
    }

    fn outcome(self) -> Outcome {
        let unreleased = self.seats.into_iter().filter_map(|(index, seat)| {
            let slot = &self.machine.slots()[index];
            let silent = || {
                let what = "no answer before the deadline for revocations";
                let late = "a call that may have created it was still under way";
                let error = Error::new(Class::Unavailable, what);
                if slot.is_changing() { error.why(late) } else { error }
            };
            let error = || seat.error.map_or_else(silent, |(_, error)| error);
            (!slot.is_released()).then(|| (seat.entry.about.name, error()))
        });
        let unreleased = unreleased.collect();
        // After the end, an error of the sink is that of a wipe.
        let fatal = self.refusal.or(self.sink_error.map(|(_, error)| error));
        Outcome { unreleased, fatal, missing: self.missing }
    }

    fn feed(&mut self, event: Event) {
        self.happened(event, Detail::Nothing);
    }

    fn happened(&mut self, event: Event, detail: Detail) {
        let mut queue = VecDeque::from([(event, detail)]);
        while let Some((event, detail)) = queue.pop_front() {
            if event == Event::Stop && self.stopped.is_none() {
                self.begin_to_end();
            }
            self.mind_the_clock();
            let actions = self.machine.step(event, self.now());
            if self.machine.is_hopeless() && self.refusal.is_none() {
                self.give_up(event, detail);
                queue.push_back((Event::Stop, Detail::Nothing));
            } else {
                self.tell_of(event, detail);
            }
            for action in actions {
                queue.extend(self.act(action));
            }
        }
        let slots = self.machine.slots();
        self.seats.retain(|index, _| !slots[*index].is_gone());
        self.answer();
    }

    /// What has been asked for cannot be had. The only credential's failure is told as the agent's own, and only then.
    fn give_up(&mut self, event: Event, detail: Detail) {
        match (event, detail) {
            (Event::Failed(index, _), Detail::Error(error)) if self.order == [index] => {
                self.remember(index, error);
            }
            (event, detail) => self.tell_of(event, detail),
        }
        self.refusal = self.refused(|_| true);
        if let Some(error) = self.refusal.clone() {
            self.refuse(&error);
        }
    }

    fn begin_to_end(&mut self) {
        self.stopped = Some((self.clock.now(), self.clock.steady()));
        if self.refusal.is_none() {
            self.missing = self.refused(Slot::is_required);
        }
        // What went wrong with values does not matter any more; from here on only releases count.
        let wanted = |index: &Index| self.order.contains(index);
        self.seats.iter_mut().filter(|(index, _)| wanted(index)).for_each(|(_, seat)| seat.vacate());
    }

    /// Carries out one action; what is done at once comes back as the next event.
    fn act(&mut self, action: Action) -> Option<(Event, Detail)> {
        match action {
            Action::Issue(index) => self.call(index, Call::Issue),
            Action::Retire(index) => self.call(index, Call::Retire),
            Action::Release(index) => self.call(index, Call::Release),
            Action::Probe(index) => return self.probe(index),
            Action::Promote(index) => {
                if let Some(seat) = self.seats.get_mut(&index) {
                    seat.current = seat.pending.take();
                    seat.error = None;
                }
                self.tell(&Notice::Accepted { index });
            }
            Action::Discard(index) => {
                let now = self.now();
                let discarded = self.seats.get_mut(&index).and_then(|seat| seat.pending.take());
                // Of one that is void the lessor has told.
                if discarded.is_some_and(|lease| lease.expires_at <= now) {
                    self.note(index, telling::stillborn());
                }
            }
            Action::Drop(index) => {
                if let Some(seat) = self.seats.get_mut(&index) {
                    seat.current = None;
                }
                self.tell(&Notice::Expired { index });
            }
            Action::Publish(generation) => return Some(self.publish(generation)),
            Action::Wipe => return Some(self.wipe()),
            Action::Finish => self.finished = true,
        }
        None
    }

    fn call(&mut self, index: Index, call: Call) {
        let Some(seat) = self.seats.get_mut(&index) else { return };
        let is_issue = matches!(call, Call::Issue);
        let (flight, handle) = fly(index, call, Arc::clone(&seat.entry.lessor));
        seat.issuing = is_issue.then_some(handle);
        self.flights.push(flight);
    }

    fn probe(&mut self, index: Index) -> Option<(Event, Detail)> {
        let seat = self.seats.get(&index);
        let Some((seat, lease)) = seat.and_then(|seat| Some((seat, seat.pending.as_ref()?))) else {
            let error = Error::new(Class::Internal, "there is no value to probe");
            return Some((Event::Failed(index, fault(&error)), Detail::Error(error)));
        };
        let call = Call::Probe(Arc::clone(lease));
        self.probes.push(fly(index, call, Arc::clone(&seat.entry.lessor)).0);
        None
    }

    fn land(&mut self, index: Index, done: Done, requests: u32) {
        if done.has_failed() {
            let now = self.now();
            self.machine.spend(index, requests, now);
        }
        let ends = self.stopped.is_some() || self.machine.slots()[index].is_leaving();
        match done {
            Done::Issued(Ok(lease)) => {
                let term = Term {
                    issued_at: lease.issued_at,
                    expires_at: lease.expires_at,
                    refresh_at: lease.refresh_at,
                };
                // One that comes after the wipe is dropped here; that it was minted is what the machine has to know.
                if let Some(seat) = self.seats.get_mut(&index).filter(|_| !ends) {
                    seat.pending = Some(Arc::new(lease));
                }
                self.feed(Event::Issued(index, term));
            }
            Done::Probed(Ok(())) => self.feed(Event::Probed(index)),
            Done::Retired(Ok(())) => self.feed(Event::Retired(index)),
            Done::Released(Ok(how)) => self.happened(Event::Released(index), Detail::How(how)),
            Done::Released(Err(error)) => {
                self.happened(Event::ReleaseFailed(index, fault(&error)), Detail::Error(error));
            }
            Done::Probed(Err(error)) if error.class == Class::Void => {
                self.happened(Event::Voided(index), Detail::Error(error));
            }
            Done::Issued(Err(error)) | Done::Probed(Err(error)) | Done::Retired(Err(error)) => {
                self.happened(Event::Failed(index, fault(&error)), Detail::Error(error));
            }
            // For the machine it has ended without an effect.
            Done::GivenUp => self.feed(Event::Failed(index, Fault { transient: true, retry_after: None })),
        }
    }

    fn publish(&mut self, generation: u64) -> (Event, Detail) {
        let now = self.now();
        let live = live(&self.seats, &self.order, &self.machine, now);
        let set = Set {
            generation,
            expires_at: live.iter().map(|one| one.expires_at).min(),
            items: live.iter().map(Live::item).collect(),
            missing: missing(&self.seats, &self.order, &live),
        };
        match self.sink.publish(&set) {
            Ok(()) => {
                self.stands(now);
                (Event::Published, Detail::Nothing)
            }
            Err(error) => (Event::PublishFailed, Detail::Error(error)),
        }
    }

    fn wipe(&mut self) -> (Event, Detail) {
        let start = Instant::now();
        self.standing = Standing::default();
        let result = self.sink.wipe();
        let took = start.elapsed();
        if self.stopped.is_some() {
            self.probes.clear();
            self.waiting.clear();
        }
        match result {
            Ok(()) => (Event::Wiped, Detail::Took(took)),
            Err(error) => (Event::WipeFailed, Detail::Error(error)),
        }
    }
}
