//! Carries out what the [machine](super::machine) decides: calls the lessors, writes the sink, tells the observer.

use super::{
    machine::{Action, Event, Fault, Index, Machine, Phase},
    schedule::Term,
};
use crate::{
    clock,
    error::{Class, Error, Result},
    lease::{Lease, Lessor, Released},
    secret::Secret,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{mpsc, oneshot};

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

/// Where a set of leases becomes usable.
pub trait Sink: Send {
    /// Replaces what is published by `set`, whole or not at all.
    fn publish(&mut self, set: &Set<'_>) -> Result<()>;
    /// Leaves nothing. Must take milliseconds, and may be called again.
    fn wipe(&mut self) -> Result<()>;
    /// Whether what was published still stands; an error says what another hand did.
    fn check(&self) -> Result<()>;
}

/// One generation, as it is published.
pub struct Set<'a> {
    /// Its number.
    pub generation: u64,
    /// When the first of its values expires; `None` while it holds none.
    pub expires_at: Option<SystemTime>,
    /// Variables and values, in the configuration's order.
    pub values: Vec<(&'a str, &'a Secret)>,
}

/// What the driver tells whoever watches. Never holds a secret.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A new value is there.
    Issued {
        /// Which credential.
        index: Index,
        /// When it expires.
        expires_at: SystemTime,
    },
    /// The gateway accepts it.
    Accepted {
        /// Which credential.
        index: Index,
    },
    /// A generation has been published.
    Published {
        /// Its number.
        generation: u64,
        /// Whether every credential is in it.
        complete: bool,
    },
    /// The value before the current one has been ended.
    Retired {
        /// Which credential.
        index: Index,
    },
    /// A value has expired and was taken out.
    Expired {
        /// Which credential.
        index: Index,
    },
    /// A call has failed and will be tried again.
    Failed {
        /// Which credential; `None` for the sink.
        index: Option<Index>,
        /// What happened.
        error: &'a Error,
        /// When it is tried again.
        again_at: Option<SystemTime>,
    },
    /// The sink is empty.
    Wiped {
        /// How long that took.
        took: Duration,
    },
    /// A credential has ended.
    Released {
        /// Which credential.
        index: Index,
        /// How.
        released: Released,
    },
}

/// Watches the driver.
pub trait Observer: Send {
    /// Something happened; `machine` is the state after it.
    fn notice(&mut self, notice: &Notice<'_>, machine: &Machine);
}

/// What others ask of a running driver.
pub enum Command {
    /// Wipe, release, end.
    Stop,
    /// Renew everything now.
    Refresh,
    /// The state, for `status`.
    Status(oneshot::Sender<Report>),
    /// The published values; with `wait`, as soon as every credential is there.
    Values {
        /// Wait for all credentials.
        wait: bool,
        /// Takes the values.
        reply: oneshot::Sender<Values>,
    },
}

/// A snapshot of the state. Never holds a secret.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine itself: it holds times and counts only.
    pub machine: Machine,
    /// The last error of each credential, while it lasts, and when it happened.
    pub errors: Vec<Option<(SystemTime, Error)>>,
    /// The sink's last error, while it lasts.
    pub sink_error: Option<(SystemTime, Error)>,
}

/// The published values, copied for a child process or another shell.
pub struct Values {
    /// The generation that they belong to.
    pub generation: u64,
    /// When the first of them expires.
    pub expires_at: Option<SystemTime>,
    /// Variables and values.
    pub values: Vec<(String, Secret)>,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended before anybody asked, if so.
    pub fatal: Option<Error>,
    /// What could not be released, by name.
    pub unreleased: Vec<(String, Error)>,
}

enum Done {
    Issued(Result<Lease>),
    Probed(Result<()>),
    Retired(Result<()>),
    Released(Result<Released>),
}

/// Runs one set of credentials through its life.
pub struct Driver {
    entries: Vec<Entry>,
    /// Held during a call that mints or changes, so that a release waits for it.
    locks: Vec<Arc<tokio::sync::Mutex<()>>>,
    current: Vec<Option<Arc<Lease>>>,
    pending: Vec<Option<Arc<Lease>>>,
    errors: Vec<Option<(SystemTime, Error)>>,
    sink_error: Option<(SystemTime, Error)>,
    machine: Machine,
    sink: Box<dyn Sink>,
    observer: Box<dyn Observer>,
    flights: FuturesUnordered<BoxFuture<'static, (Index, Done)>>,
    waiting: Vec<oneshot::Sender<Values>>,
    fatal: Option<Error>,
    stop_on_refusal: bool,
    patience: Duration,
    finished: bool,
}

impl Driver {
    /// A driver for `entries`, in the order of the machine's specs. A release waits at most `patience` for a call that
    /// is under way for the same credential.
    pub fn new(
        entries: Vec<Entry>,
        machine: Machine,
        sink: Box<dyn Sink>,
        observer: Box<dyn Observer>,
        patience: Duration,
    ) -> Self {
        let count = entries.len();
        Self {
            entries,
            locks: (0..count).map(|_| Arc::default()).collect(),
            current: (0..count).map(|_| None).collect(),
            pending: (0..count).map(|_| None).collect(),
            errors: vec![None; count],
            sink_error: None,
            machine,
            sink,
            observer,
            flights: FuturesUnordered::new(),
            waiting: Vec::new(),
            fatal: None,
            stop_on_refusal: true,
            patience,
            finished: false,
        }
    }

    /// Drives until all is released or the deadline for that has passed.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Outcome {
        self.feed(Event::Timer);
        let mut listening = true;
        while !self.finished {
            let nap = self.nap();
            tokio::select! {
                biased;
                command = commands.recv(), if listening => {
                    // Nobody left to ask for the end is a reason to end.
                    listening = command.is_some();
                    self.obey(command.unwrap_or(Command::Stop));
                }
                Some((index, done)) = self.flights.next() => self.land(index, done),
                () = tokio::time::sleep(nap) => {
                    self.inspect();
                    self.feed(Event::Timer);
                }
            }
        }
        let slots = self.machine.slots().iter().zip(self.entries).zip(self.errors);
        let unreleased = slots.filter(|((slot, _), _)| !slot.is_released()).map(|((_, entry), error)| {
            let silent = || Error::new(Class::Unavailable, "no answer before the deadline for revocations");
            (entry.name, error.map_or_else(silent, |(_, error)| error))
        });
        Outcome { unreleased: unreleased.collect(), fatal: self.fatal }
    }

    fn nap(&self) -> Duration {
        let Some(at) = self.machine.wakes_at() else { return LONGEST_SLEEP };
        at.duration_since(clock::now()).unwrap_or_default().min(LONGEST_SLEEP)
    }

    fn feed(&mut self, event: Event) {
        let mut queue = std::collections::VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            for action in self.machine.step(event, clock::now()) {
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
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Issue(index) => self.fly(index, Call::Issue),
            Action::Probe(index) => self.fly(index, Call::Probe),
            Action::Retire(index) => self.fly(index, Call::Retire),
            Action::Release(index) => self.fly(index, Call::Release),
            Action::Promote(index) => self.current[index] = self.pending[index].take(),
            Action::Discard(index) => self.pending[index] = None,
            Action::Drop(index) => {
                self.current[index] = None;
                self.tell(&Notice::Expired { index });
            }
            Action::Publish(generation) => return Some(self.publish(generation)),
            Action::Wipe => self.wipe(),
            Action::Finish => self.finished = true,
        }
        None
    }

    fn fly(&mut self, index: Index, call: Call) {
        let lessor = Arc::clone(&self.entries[index].lessor);
        let lock = Arc::clone(&self.locks[index]);
        let lease = self.pending[index].clone();
        let patience = self.patience;
        self.flights.push(Box::pin(async move {
            let done = match call {
                Call::Issue => {
                    let _held = lock.lock().await;
                    Done::Issued(lessor.issue().await)
                }
                Call::Retire => {
                    let _held = lock.lock().await;
                    Done::Retired(lessor.retire().await)
                }
                Call::Probe => Done::Probed(match lease {
                    Some(lease) => lessor.probe(&lease).await,
                    None => Err(Error::new(Class::Internal, "there is no value to probe")),
                }),
                Call::Release => {
                    // Deleting before a create under way has landed would leave the created one behind.
                    let _held = tokio::time::timeout(patience, lock.lock()).await;
                    Done::Released(lessor.release().await)
                }
            };
            (index, done)
        }));
    }

    fn land(&mut self, index: Index, done: Done) {
        match done {
            Done::Issued(Ok(lease)) => {
                if self.machine.phase() == Phase::Stopping {
                    return;
                }
                let term = Term {
                    issued_at: lease.issued_at,
                    expires_at: lease.expires_at,
                    refresh_at: lease.refresh_at,
                };
                self.pending[index] = Some(Arc::new(lease));
                self.tell(&Notice::Issued { index, expires_at: term.expires_at });
                self.feed(Event::Issued(index, term));
            }
            Done::Probed(Ok(())) => {
                self.errors[index] = None;
                self.tell(&Notice::Accepted { index });
                self.feed(Event::Probed(index));
            }
            Done::Retired(Ok(())) => {
                self.errors[index] = None;
                self.feed(Event::Retired(index));
                self.tell(&Notice::Retired { index });
            }
            Done::Released(Ok(released)) => {
                self.errors[index] = None;
                self.tell(&Notice::Released { index, released });
                self.feed(Event::Released(index));
            }
            Done::Released(Err(error)) => {
                let event = Event::ReleaseFailed(index, fault(&error));
                self.fail(index, error, event);
            }
            Done::Issued(Err(error)) | Done::Probed(Err(error)) | Done::Retired(Err(error)) => {
                if self.machine.phase() == Phase::Stopping {
                    return;
                }
                let refused = self.machine.phase() == Phase::Acquiring && !error.is_transient();
                if refused && self.stop_on_refusal {
                    // Nothing is published yet and waiting will not mend it: a person reads this now.
                    self.fatal.get_or_insert_with(|| error.clone());
                    self.feed(Event::Stop);
                    return;
                }
                let event = Event::Failed(index, fault(&error));
                self.fail(index, error, event);
            }
        }
    }

    fn fail(&mut self, index: Index, error: Error, event: Event) {
        self.feed(event);
        let again_at = self.machine.slots()[index].retries_at();
        self.tell(&Notice::Failed { index: Some(index), error: &error, again_at });
        self.errors[index] = Some((clock::now(), error));
    }

    fn publish(&mut self, generation: u64) -> Event {
        let now = clock::now();
        let live = |lease: &&Arc<Lease>| lease.expires_at > now;
        let leases: Vec<_> = self.current.iter().map(|lease| lease.as_ref().filter(live)).collect();
        let set = Set {
            generation,
            expires_at: leases.iter().flatten().map(|lease| lease.expires_at).min(),
            values: self
                .entries
                .iter()
                .zip(&leases)
                .filter_map(|(entry, lease)| Some((entry.env.as_str(), &lease.as_ref()?.secret)))
                .collect(),
        };
        let complete = set.values.len() == self.entries.len();
        match self.sink.publish(&set) {
            Ok(()) => {
                self.sink_error = None;
                self.tell(&Notice::Published { generation, complete });
                Event::Published
            }
            Err(error) => {
                self.tell(&Notice::Failed { index: None, error: &error, again_at: None });
                self.sink_error = Some((now, error));
                Event::PublishFailed
            }
        }
    }

    #[allow(clippy::disallowed_methods)] // A stopwatch, not a date.
    fn wipe(&mut self) {
        let start = Instant::now();
        let result = self.sink.wipe();
        let took = start.elapsed();
        self.current.fill(None);
        self.pending.fill(None);
        self.waiting.clear();
        match result {
            Ok(()) => self.tell(&Notice::Wiped { took }),
            Err(error) => {
                self.tell(&Notice::Failed { index: None, error: &error, again_at: None });
                self.fatal.get_or_insert(error);
            }
        }
    }

    /// Looks whether another hand changed what is published.
    fn inspect(&mut self) {
        if self.machine.phase() != Phase::Published {
            return;
        }
        if let Err(error) = self.sink.check() {
            self.tell(&Notice::Failed { index: None, error: &error, again_at: None });
            self.sink_error = Some((clock::now(), error));
            self.feed(Event::Disturbed);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Stop => self.feed(Event::Stop),
            Command::Refresh => self.feed(Event::Refresh),
            Command::Status(reply) => {
                self.inspect();
                // Whoever asked may have gone; so below.
                let _ = reply.send(Report {
                    machine: self.machine.clone(),
                    errors: self.errors.clone(),
                    sink_error: self.sink_error.clone(),
                });
            }
            Command::Values { wait: true, reply } if !self.machine.is_ready() => self.waiting.push(reply),
            Command::Values { reply, .. } => {
                let _ = reply.send(self.values());
            }
        }
    }

    fn values(&self) -> Values {
        let now = clock::now();
        let live = |lease: &&Arc<Lease>| lease.expires_at > now;
        let leases = self.current.iter().map(|lease| lease.as_ref().filter(live));
        let values = self.entries.iter().zip(leases);
        Values {
            generation: self.machine.generation(),
            expires_at: self.current.iter().flatten().map(|lease| lease.expires_at).min(),
            values: values
                .filter_map(|(entry, lease)| Some((entry.env.clone(), lease?.secret.duplicate())))
                .collect(),
        }
    }

    fn tell(&mut self, notice: &Notice<'_>) {
        self.observer.notice(notice, &self.machine);
    }
}

#[derive(Clone, Copy)]
enum Call {
    Issue,
    Probe,
    Retire,
    Release,
}

fn fault(error: &Error) -> Fault {
    Fault { transient: error.is_transient(), retry_after: error.retry_after }
}
