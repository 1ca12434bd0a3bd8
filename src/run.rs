//! The flow, wired: identity -> exchange -> lease -> sink, kept going by the lifecycle.

mod follow;
mod watched;
mod wiring;

use crate::{
    clock,
    config::Config,
    error::{Error, Result},
    exchange::AccessToken,
    identity::{
        prompt::{End, Person, Prompt},
        select::Lookup,
    },
    lifecycle::{
        control,
        driver::{Command, Driver, Notice, Observer, Outcome, Pace, View},
        machine::Phase,
        schedule,
        status::About,
    },
    sink::{publisher::EnvFile, runtime_dir::RuntimeDir},
};
pub use follow::Reload;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{net::UnixListener, sync::mpsc};
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
}

/// An agent, put together and not yet started: it holds the runtime directory and has asked nobody for anything.
pub struct Agent {
    driver: Driver,
    directory: Arc<RuntimeDir>,
    listener: UnixListener,
    about: About,
    wiring: Wiring,
    config: Config,
}

impl Agent {
    /// Wires one agent into a runtime directory that is ours: proved to be RAM, and locked. Needs a tokio runtime.
    pub fn assemble(
        config: &Config,
        lookup: &Lookup,
        directory: RuntimeDir,
        watch: impl FnOnce(&About) -> Arc<dyn Watch>,
    ) -> Result<Self> {
        let directory = Arc::new(directory);
        Self::wire(config, lookup, Arc::clone(&directory), watch).inspect_err(|_| {
            // What it was taken for will not come about.
            if let Err(error) = directory.remove() {
                tracing::warn!("the runtime directory is left behind: {error}");
            }
        })
    }

    fn wire(
        config: &Config,
        lookup: &Lookup,
        directory: Arc<RuntimeDir>,
        watch: impl FnOnce(&About) -> Arc<dyn Watch>,
    ) -> Result<Self> {
        let url = gateway(config)?;
        let sink = EnvFile::new(Arc::clone(&directory), url.clone(), further_gateways(config));
        let about = about(config, &sink);
        let watch = watch(&about);
        let watching = Arc::clone(&watch);
        let (person, end) = Person::new(Arc::new(move |prompt| watching.prompted(prompt)));
        let wiring = Wiring::new(config, lookup, Arc::clone(&watch), person)?;
        let pace = Pace {
            revoke_timeout: config.revoke_timeout,
            patience: config.request_timeout,
            seed: seed(&config.workspace),
        };
        let entries = wiring.entries(config)?;
        let driver = Driver::new(entries, pace, url, Box::new(sink), Box::new(Told(watch, end)));
        let listener = control::bind(&directory)?;
        Ok(Self { driver, directory, listener, about, wiring, config: config.clone() })
    }

    /// What does not change while it lives.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Keeps its values to the process that it is part of: whoever asks over the control socket is told to start an agent.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.about.private = true;
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
        let (commands, inbox) = mpsc::channel(16);
        let server = control::serve(self.listener, commands.clone(), self.about);
        let folder = self.directory.path();
        let followed = Box::pin(async {
            if let Some(reload) = reload {
                follow::follow(&self.wiring, self.config, folder, reload, commands.clone()).await;
            }
        });
        let mut done = None;
        let worked = async {
            done = Some(work(commands.clone()).await);
            // The driver may have ended by itself, and then wants no telling.
            let _ = commands.send(Command::Stop).await;
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = Box::pin(self.driver.run(inbox)) => outcome,
            () = async { tokio::join!(server, worked, followed); } => unreachable!("the first two never end"),
        };
        self.directory.remove()?;
        Ok((outcome, done))
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
    }
}

/// The driver's observer. When the agent ends, nobody is waited for any more.
struct Told(Arc<dyn Watch>, End);

impl Observer for Told {
    fn notice(&mut self, notice: &Notice<'_>, view: &View<'_>) {
        if view.machine.phase() == Phase::Stopping {
            self.1.begin();
        }
        self.0.notice(notice, view);
    }
}

/// Workspaces that start together must not renew together.
fn seed(workspace: &str) -> u64 {
    let started = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let spread =
        workspace.bytes().fold(started.subsec_nanos().into(), |seed: u64, byte| seed ^ u64::from(byte));
    schedule::mix(spread ^ u64::from(std::process::id()))
}
