//! The flow, wired: identity -> exchange -> lease -> sink, kept going by the lifecycle.

mod follow;
mod reach;
pub mod undo;
mod watched;
mod wiring;

use crate::{
    clock::{self, system::System},
    config::Config,
    error::{Class, Error, Result},
    exchange::AccessToken,
    http::Client,
    identity::{
        prompt::{End, Person, Prompt},
        select::Lookup,
    },
    lease::Released,
    lifecycle::{
        control,
        driver::{Command, Driver, Notice, Observer, Outcome, Pace, View},
        guard::Guard,
        journal::{Journal, Record},
        machine::Phase,
        schedule,
        status::{About, Confinement},
    },
    sink::{publisher::EnvFile, runtime_dir::RuntimeDir},
};
pub use follow::Reload;
pub use reach::{Bounds, bound};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use wiring::{Wiring, further_gateways, gateway};

/// Watches an agent's life. Called on its only thread, so it must not wait.
pub trait Watch: Send + Sync {
    /// An access token was issued for `scope`, where one was asked for.
    fn exchanged(&self, scope: Option<&str>, token: &AccessToken, took: Duration);
    /// The driver did something; `view` shows the state after it.
    fn notice(&self, notice: &Notice<'_>, view: &View<'_>);
    /// Changes of files are not noticed by themselves.
    fn unwatched(&self, error: &Error);
    /// A person is to sign in, or has.
    fn prompted(&self, prompt: &Prompt);
    /// This is what came of something that a killed agent had minted.
    fn settled(&self, record: &Record, outcome: &Result<Released>);
    /// There is no guard, for now.
    fn unguarded(&self, error: &Error);
}

/// Whether what an agent mints may outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// At a service: it is written down in the journal.
    Written,
    /// At an emulator that dies with the agent: there is nothing to be released afterwards, and nobody who could.
    Nothing,
}

/// How long an agent looks after its own credentials before it releases what a killed one left. Until then most of it has
/// been taken over, since the same workspace gets the same names; that is one request less, and keys go on working.
const SETTLING: Duration = Duration::from_secs(30);
/// What cannot be released is tried again after that pause at first, and after this in the end: an agent that cannot should
/// not stay awake for it.
const LONGEST_SETTLING: Duration = Duration::from_hours(1);

/// An agent, put together and not yet started: it holds the runtime directory and has asked nobody for anything.
pub struct Agent {
    wired: Wired,
    directory: Arc<RuntimeDir>,
    guard: Guard,
    config: Config,
    bounds: Option<Bounds>,
}

/// What an agent is put together from.
struct Wired {
    driver: Driver,
    journal: Option<Arc<Journal>>,
    listener: UnixListener,
    about: About,
    wiring: Wiring,
}

impl Wired {
    fn new(
        config: &Config,
        lookup: &Lookup,
        directory: &Arc<RuntimeDir>,
        beyond: Beyond,
        watch: impl FnOnce(&About) -> Arc<dyn Watch>,
    ) -> Result<Self> {
        let url = gateway(config)?;
        let sink = EnvFile::new(Arc::clone(directory), url.clone(), further_gateways(config));
        let about = about(config, &sink);
        let watch = watch(&about);
        let journal = Journal::open(directory)?;
        if journal.is_torn() {
            tracing::warn!("the journal's last record was cut off; what it was about is not known");
        }
        let journal = Some(Arc::new(journal)).filter(|_| beyond == Beyond::Written);
        let watching = Arc::clone(&watch);
        let (person, end) = Person::new(Arc::new(move |prompt| watching.prompted(prompt)));
        let wiring = Wiring::new(config, lookup, Arc::clone(&watch), person, journal.clone())?;
        let pace = Pace {
            revoke_timeout: config.revoke_timeout,
            patience: config.request_timeout,
            seed: seed(&config.workspace),
        };
        let entries = wiring.entries(config)?;
        let (observer, clock) =
            (Box::new(Told { watch, end, idle: Some(wiring.http.clone()) }), Box::new(System::new()));
        let driver = Driver::new(entries, pace, url, Box::new(sink), observer, clock);
        let listener = control::bind(directory)?;
        Ok(Self { driver, journal, listener, about, wiring })
    }
}

impl Agent {
    /// Wires one agent into a runtime directory that is ours: proved to be RAM, and locked. Needs a tokio runtime.
    pub fn assemble(
        config: &Config,
        lookup: &Lookup,
        directory: RuntimeDir,
        beyond: Beyond,
        watch: impl FnOnce(&About) -> Arc<dyn Watch>,
    ) -> Result<Self> {
        let directory = Arc::new(directory);
        // First, so that it comes to its feet while the rest is put together.
        let guard = Guard::post(&directory);
        match Wired::new(config, lookup, &directory, beyond, watch) {
            Ok(wired) => Ok(Self { wired, directory, guard, config: config.clone(), bounds: None }),
            Err(error) => {
                // What it was taken for will not come about.
                if let Err(error) = directory.remove() {
                    tracing::warn!("the runtime directory is left behind: {error}");
                }
                guard.dismiss();
                Err(error)
            }
        }
    }

    /// What does not change while it lives.
    pub fn about(&self) -> &About {
        &self.wired.about
    }

    /// Keeps its values to the process that it is part of: whoever asks over the control socket is told to start an agent.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.wired.about.private = true;
        self
    }

    /// Says what it has been confined to.
    #[must_use]
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.wired.about.confinement = bounds.said.clone();
        self.bounds = Some(bounds);
        self
    }

    /// Lives as long as `work` does, or until somebody asks for the end over the control socket; then wipes, revokes
    /// and removes what is ours. What `work` came to is there unless the end came first.
    ///
    /// With `reload` it follows its configuration, and looks after what it has published as soon as that changes.
    pub async fn live<T>(
        self,
        reload: Option<Reload<'_>>,
        work: impl AsyncFnOnce(mpsc::Sender<Command>) -> T,
    ) -> Result<(Outcome, Option<T>)> {
        let Self { wired, directory, guard, config, bounds } = self;
        let Wired { driver, journal, listener, about, wiring } = wired;
        // Before anything is asked for. Without one it goes on: what it would have done, the next start does.
        if let Err(error) = guard.stands().await {
            wiring.watch.unguarded(&error);
        }
        let guarded = guard.keep(|error| wiring.watch.unguarded(error));
        let (commands, inbox) = mpsc::channel(16);
        let revoke_timeout = config.revoke_timeout;
        let server = control::serve(listener, commands.clone(), about);
        let folder = directory.path();
        let mut inheritance = Box::pin(settle(journal.as_deref(), &wiring, revoke_timeout, commands.clone()));
        let mut settled = None;
        let followed = Box::pin(async {
            if let Some(reload) = reload {
                follow::follow(&wiring, config, folder, reload, bounds.as_ref(), commands.clone()).await;
            }
        });
        let mut done = None;
        let worked = async {
            done = Some(work(commands.clone()).await);
            // The driver may have ended by itself, and then wants no telling.
            let _ = commands.send(Command::Stop).await;
            std::future::pending::<()>().await;
        };
        let settling = async {
            settled = Some((&mut inheritance).await);
            std::future::pending::<()>().await;
        };
        let mut outcome = tokio::select! {
            // Whatever has come up: what has expired goes first.
            biased;
            outcome = Box::pin(driver.run(inbox)) => outcome,
            () = async { tokio::join!(server, worked, followed, guarded, settling); } => unreachable!("the first two never end"),
        };
        // It has begun its last try with the driver's end at the latest.
        let left = match settled {
            Some(left) => left,
            None => inheritance.await,
        };
        outcome.unreleased.extend(left);
        for record in journal.iter().flat_map(|journal| journal.records()) {
            if !outcome.unreleased.iter().any(|(name, _)| *name == record.credential) {
                outcome.unreleased.push((record.credential, unknown()));
            }
        }
        directory.remove()?;
        guard.dismiss();
        Ok((outcome, done))
    }
}

/// Why something that was released is still in the journal.
fn unknown() -> Error {
    Error::new(Class::Unavailable, "it may exist again")
        .why("a request that creates it was under way when it was revoked, and has not been answered")
}

/// Releases what a killed agent of this workspace left, as far as it has not been taken over by then: when all that is
/// required is published, or after a while, or at the end at the latest. What is left in the end, and why.
async fn settle(
    journal: Option<&Journal>,
    wiring: &Wiring,
    patience: Duration,
    commands: mpsc::Sender<Command>,
) -> Vec<(String, Error)> {
    let Some(journal) = journal.filter(|journal| !journal.left().is_empty()) else { return Vec::new() };
    let (reply, ready) = oneshot::channel();
    // The driver drops the sender when it ends.
    if commands.send(Command::Ready(reply)).await.is_ok() {
        let _ = timeout(SETTLING, ready).await;
    }
    let told = |record: &Record, outcome: &Result<Released>| wiring.watch.settled(record, outcome);
    let mut pause = SETTLING;
    loop {
        let left = undo::release_left(journal, &wiring.lookup, &wiring.person, patience, &told).await;
        if left.is_empty() || commands.is_closed() {
            return left.into_iter().map(|(record, error)| (record.credential, error)).collect();
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = commands.closed() => {}
        }
        pause = (pause * 2).min(LONGEST_SETTLING);
    }
}

/// The runtime directory of a configuration's workspace: opened, proved to be RAM, and locked for this process.
pub fn directory(config: &Config, xdg_runtime_dir: Option<&Path>) -> Result<RuntimeDir> {
    RuntimeDir::open(config.runtime_dir.as_deref(), xdg_runtime_dir, &config.workspace)
}

fn about(config: &Config, sink: &EnvFile) -> About {
    About {
        workspace: config.workspace.clone(),
        pid: std::process::id(),
        env_file: sink.path().display().to_string(),
        started_at: clock::now(),
        private: false,
        confinement: Confinement::default(),
    }
}

/// The driver's observer. When the agent ends, nobody is waited for any more, and the connections that are at rest go: with
/// the env file wiped, their buffers would be the last place with what was published.
struct Told {
    watch: Arc<dyn Watch>,
    end: End,
    /// Until then.
    idle: Option<Client>,
}

impl Observer for Told {
    fn notice(&mut self, notice: &Notice<'_>, view: &View<'_>) {
        if view.machine.phase() == Phase::Stopping {
            self.end.begin();
            if let Some(http) = self.idle.take() {
                http.close_idle();
            }
        }
        self.watch.notice(notice, view);
    }
}

/// Workspaces that start together must not renew together.
fn seed(workspace: &str) -> u64 {
    let started = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let spread =
        workspace.bytes().fold(started.subsec_nanos().into(), |seed: u64, byte| seed ^ u64::from(byte));
    schedule::mix(spread ^ u64::from(std::process::id()))
}
