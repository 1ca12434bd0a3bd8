//! Carries out what the [machine](super::machine) decides: calls the lessors, writes the sink, tells the observer.

mod call;
mod notice;
mod report;
mod telling;

use super::{
    machine::{Action, Event, Index, Machine, Phase},
    schedule::Term,
};
use crate::{
    clock,
    error::{Class, Error},
    lease::{Lease, Lessor, Released},
    sink::{Item, Set, Sink},
};
use call::{Call, Done, Flights, fault, fly};
use futures_util::StreamExt;
pub use notice::{Notice, Observer};
pub use report::{Command, Outcome, Report, Values};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};
use telling::Detail;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// The wall clock is compared at least this often: tokio's own clock stands still while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// One credential: what it is called and what issues it.
pub struct Entry {
    /// The entry's name in the configuration.
    pub name: String,
    /// The variable it is published as.
    pub env: String,
    /// Issues its leases.
    pub lessor: Arc<dyn Lessor>,
}

/// Runs one set of credentials through its life.
pub struct Driver {
    entries: Vec<Entry>,
    current: Vec<Option<Arc<Lease>>>,
    pending: Vec<Option<Arc<Lease>>>,
    errors: Vec<Option<(SystemTime, Error)>>,
    sink_error: Option<(SystemTime, Error)>,
    /// What releases have achieved so far: one that is repeated finds nothing left to do.
    released: Vec<Option<Released>>,
    machine: Machine,
    sink: Box<dyn Sink>,
    observer: Box<dyn Observer>,
    /// Calls that may have an effect at the service. They are waited for at the end, within the deadline.
    flights: Flights,
    /// Calls without an effect. They hold leases, and are given up at the end.
    probes: Flights,
    waiting: Vec<oneshot::Sender<Values>>,
    /// When the end began, by both clocks.
    stopped: Option<(SystemTime, Instant)>,
    refusal: Option<Error>,
    finished: bool,
}

impl Driver {
    /// A driver for `entries`, in the order of the machine's specs. A release waits at most `patience` for a call that
    /// is under way for the same credential.
    pub fn new(
        entries: Vec<Entry>,
        mut machine: Machine,
        sink: Box<dyn Sink>,
        observer: Box<dyn Observer>,
        patience: Duration,
    ) -> Self {
        let count = entries.len();
        machine.set_patience(patience);
        Self {
            entries,
            current: vec![None; count],
            pending: vec![None; count],
            errors: vec![None; count],
            sink_error: None,
            released: vec![None; count],
            machine,
            sink,
            observer,
            flights: Flights::new(),
            probes: Flights::new(),
            waiting: Vec::new(),
            stopped: None,
            refusal: None,
            finished: false,
        }
    }

    /// Drives until all is released or the deadline for that has passed.
    ///
    /// An error at the first acquisition that waiting cannot mend stops it at once: a person reads it now.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Outcome {
        self.feed(Event::Timer);
        let mut listening = true;
        while !self.finished {
            let nap = self.nap();
            tokio::select! {
                biased;
                command = commands.recv(), if listening => {
                    listening = command.is_some();
                    self.obey(command);
                }
                Some((index, done)) = self.flights.next() => self.land(index, done),
                Some((index, done)) = self.probes.next() => self.land(index, done),
                () = tokio::time::sleep(nap) => {
                    self.inspect();
                    self.feed(Event::Timer);
                }
            }
        }
        self.outcome()
    }

    fn outcome(self) -> Outcome {
        let slots = self.machine.slots().iter().zip(self.entries).zip(self.errors);
        let unreleased = slots.filter(|((slot, _), _)| !slot.is_released()).map(|((slot, entry), error)| {
            let silent = || {
                let what = "no answer before the deadline for revocations";
                let late = "a call that may have created it was still under way";
                let error = Error::new(Class::Unavailable, what);
                if slot.is_changing() { error.why(late) } else { error }
            };
            (entry.name, error.map_or_else(silent, |(_, error)| error))
        });
        let unreleased = unreleased.collect();
        // After the end, an error of the sink is that of a wipe.
        Outcome { unreleased, fatal: self.refusal.or(self.sink_error.map(|(_, error)| error)) }
    }

    /// The wall clock; from the stop on, the time that has really passed since then. Nothing expires any more then, and
    /// whoever sets the clock must not move the deadline.
    fn now(&self) -> SystemTime {
        self.stopped.map_or_else(clock::now, |(wall, steady)| wall + steady.elapsed())
    }

    fn nap(&self) -> Duration {
        let Some(at) = self.machine.wakes_at() else { return LONGEST_SLEEP };
        at.duration_since(self.now()).unwrap_or_default().min(LONGEST_SLEEP)
    }

    fn feed(&mut self, event: Event) {
        self.happened(event, Detail::Nothing);
    }

    fn happened(&mut self, event: Event, detail: Detail) {
        if event == Event::Stop && self.stopped.is_none() {
            self.stopped = Some((clock::now(), Instant::now()));
            // They were about values; from here on only releases count.
            self.errors.fill(None);
        }
        let mut queue = VecDeque::from([(event, detail)]);
        while let Some((event, detail)) = queue.pop_front() {
            let actions = self.machine.step(event, self.now());
            self.tell_of(event, detail);
            for action in actions {
                queue.extend(self.act(action));
            }
        }
        if self.machine.is_ready() {
            for reply in std::mem::take(&mut self.waiting) {
                // Whoever asked may have gone.
                let _ = reply.send(self.values());
            }
        }
    }

    /// Carries out one action; what is done at once comes back as the next event.
    fn act(&mut self, action: Action) -> Option<(Event, Detail)> {
        match action {
            Action::Issue(index) => self.call(index, Call::Issue),
            Action::Retire(index) => self.call(index, Call::Retire),
            Action::Release(index) => self.call(index, Call::Release),
            Action::Probe(index) => return self.probe(index),
            Action::Promote(index) => {
                self.current[index] = self.pending[index].take();
                self.errors[index] = None;
                self.tell(&Notice::Accepted { index });
            }
            Action::Discard(index) => {
                let (discarded, now) = (self.pending[index].take(), self.now());
                // Of one that is void the lessor has told.
                if discarded.is_some_and(|lease| lease.expires_at <= now) {
                    self.note(index, telling::stillborn());
                }
            }
            Action::Drop(index) => {
                self.current[index] = None;
                self.tell(&Notice::Expired { index });
            }
            Action::Publish(generation) => return Some(self.publish(generation)),
            Action::Wipe => return Some(self.wipe()),
            Action::Finish => self.finished = true,
        }
        None
    }

    fn call(&mut self, index: Index, call: Call) {
        let lessor = Arc::clone(&self.entries[index].lessor);
        self.flights.push(fly(index, call, lessor));
    }

    fn probe(&mut self, index: Index) -> Option<(Event, Detail)> {
        let Some(lease) = &self.pending[index] else {
            let error = Error::new(Class::Internal, "there is no value to probe");
            return Some((Event::Failed(index, fault(&error)), Detail::Error(error)));
        };
        let call = Call::Probe(Arc::clone(lease));
        self.probes.push(fly(index, call, Arc::clone(&self.entries[index].lessor)));
        None
    }

    fn land(&mut self, index: Index, done: Done) {
        let stopping = self.machine.phase() == Phase::Stopping;
        match done {
            Done::Issued(Ok(lease)) => {
                let term = Term {
                    issued_at: lease.issued_at,
                    expires_at: lease.expires_at,
                    refresh_at: lease.refresh_at,
                };
                // One that comes after the wipe is dropped here; that it was minted is what the machine has to know.
                self.pending[index] = (!stopping).then(|| Arc::new(lease));
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
                let event = Event::Failed(index, fault(&error));
                let refused = self.machine.phase() == Phase::Acquiring && !error.is_transient();
                if refused {
                    self.refusal = Some(error);
                    self.feed(Event::Stop);
                    self.feed(event);
                } else {
                    self.happened(event, Detail::Error(error));
                }
            }
        }
    }

    fn publish(&mut self, generation: u64) -> (Event, Detail) {
        let now = self.now();
        let live = live(&self.entries, &self.current, &self.machine, now);
        let set = Set {
            generation,
            expires_at: live.iter().map(|(_, expires_at)| *expires_at).min(),
            items: live.iter().map(|(item, _)| *item).collect(),
            missing: missing(&self.entries, &live),
        };
        match self.sink.publish(&set) {
            Ok(()) => (Event::Published, Detail::Nothing),
            Err(error) => (Event::PublishFailed, Detail::Error(error)),
        }
    }

    fn wipe(&mut self) -> (Event, Detail) {
        let start = Instant::now();
        let result = self.sink.wipe();
        let took = start.elapsed();
        if self.stopped.is_some() {
            self.current.fill(None);
            self.pending.fill(None);
            self.probes.clear();
            self.waiting.clear();
        }
        match result {
            Ok(()) => (Event::Wiped, Detail::Took(took)),
            Err(error) => (Event::WipeFailed, Detail::Error(error)),
        }
    }

    /// Looks whether another hand changed what is published. While that cannot be written anyway, it is known to be off.
    fn inspect(&mut self) {
        if self.machine.phase() != Phase::Published || self.machine.publishes_at().is_some() {
            return;
        }
        if let Err(error) = self.sink.check() {
            self.happened(Event::Disturbed, Detail::Error(error));
        }
    }

    fn obey(&mut self, command: Option<Command>) {
        match command {
            // Nobody is left to ask for the end: a reason to end, but none to hurry an end that was asked for before.
            None if self.stopped.is_some() => {}
            None | Some(Command::Stop) => self.feed(Event::Stop),
            Some(Command::Refresh) => self.feed(Event::Refresh),
            Some(Command::Status(reply)) => {
                self.inspect();
                // Whoever asked may have gone; so below.
                let _ = reply.send(Report {
                    machine: self.machine.clone(),
                    errors: self.errors.clone(),
                    sink_error: self.sink_error.clone(),
                });
            }
            Some(Command::Values { wait: true, reply }) if !self.machine.is_ready() => {
                self.waiting.retain(|reply| !reply.is_closed());
                if self.stopped.is_none() {
                    self.waiting.push(reply);
                }
            }
            Some(Command::Values { reply, .. }) => {
                let _ = reply.send(self.values());
            }
        }
    }

    fn values(&self) -> Values {
        let live = live(&self.entries, &self.current, &self.machine, self.now());
        let items: Vec<_> = live.iter().map(|(item, _)| *item).collect();
        Values {
            generation: self.machine.generation(),
            expires_at: live.iter().map(|(_, expires_at)| *expires_at).min(),
            values: self.sink.variables(&items),
        }
    }
}

/// The current values with their expiries, which are the machine's: it knows when the clock was set back.
fn live<'a>(
    entries: &'a [Entry],
    current: &'a [Option<Arc<Lease>>],
    machine: &Machine,
    now: SystemTime,
) -> Vec<(Item<'a>, SystemTime)> {
    let slots = entries.iter().zip(current).zip(machine.slots());
    let items = slots.filter_map(|((entry, lease), slot)| {
        let item = Item { name: &entry.name, env: &entry.env, value: &lease.as_deref()?.value };
        Some((item, slot.current()?.expires_at))
    });
    items.filter(|(_, expires_at)| *expires_at > now).collect()
}

/// The variables of those that have none.
fn missing<'a>(entries: &'a [Entry], live: &[(Item<'_>, SystemTime)]) -> Vec<&'a str> {
    let is_there = |entry: &&Entry| live.iter().any(|(item, _)| item.name == entry.name);
    entries.iter().filter(|entry| !is_there(entry)).map(|entry| entry.env.as_str()).collect()
}
