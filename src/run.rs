//! The flow, wired: identity -> exchange -> lease -> sink, kept going by the lifecycle.

use crate::{
    clock,
    config::{Config, DEFAULT},
    error::{Class, Error, Result},
    exchange::{self, AccessToken, Exchange},
    http::{self, Client},
    identity::{
        prompt::{End, Person, Prompt},
        select::{self, Lookup},
    },
    lease,
    lifecycle::{
        control,
        driver::{Command, Driver, Entry, Notice, Observer, Outcome},
        machine::{Machine, Phase, Spec},
        schedule,
        status::{About, AboutCredential},
    },
    secret::Secret,
    sink::{env_file, publisher::EnvFile, runtime_dir::RuntimeDir},
};
use async_trait::async_trait;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{net::UnixListener, sync::mpsc};
use url::Url;

/// Watches an agent's life. Called on its only thread, so it must not wait.
pub trait Watch: Send + Sync {
    /// An access token was issued for `scope`.
    fn exchanged(&self, scope: &str, token: &AccessToken, took: Duration);
    /// The driver did something; `machine` is the state after it.
    fn notice(&self, notice: &Notice<'_>, machine: &Machine);
    /// A person is to sign in, or has.
    fn prompted(&self, prompt: &Prompt);
}

/// An agent, put together and not yet started: it holds the runtime directory and has asked nobody for anything.
pub struct Agent {
    driver: Driver,
    directory: Arc<RuntimeDir>,
    listener: UnixListener,
    about: About,
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
        let gateway = text(&config.gateway().url);
        env_file::check_value(env_file::GATEWAY_URL, &gateway).map_err(|error| {
            Error::new(Class::Config, "gateway.url holds characters that not every reader of env files takes")
                .why(error.to_string())
                .fix("use a URL of letters, digits and ./:_- only")
        })?;
        let variable = |name: &str| lookup(name).or_else(|| lookup(&name.to_lowercase()));
        let http = Client::new(&http::Options {
            ca_file: config.ca_file.clone(),
            timeout: config.request_timeout,
            proxy: variable("HTTPS_PROXY"),
            no_proxy: variable("NO_PROXY"),
        })?;
        let sink = EnvFile::new(Arc::clone(&directory), gateway, further_gateways(config));
        let about = about(config, &sink);
        let watch = watch(&about);
        let watching = Arc::clone(&watch);
        let (person, end) = Person::new(Arc::new(move |prompt| watching.prompted(prompt)));
        let identities = select::sources(config, &http, lookup, &person);
        let exchanges = exchange::exchanges(config, &identities, &http)?;
        let watched = exchanges.into_iter().map(|(name, inner)| {
            let watched: Arc<dyn Exchange> = Arc::new(Watched { inner, watch: Arc::clone(&watch) });
            (name, watched)
        });
        let lessors = lease::lessors(config, &identities, &watched.collect(), &http)?;
        let specs = config.credentials.iter().zip(&lessors);
        let specs =
            specs.map(|(credential, lessor)| Spec { grace: credential.grace, retires: lessor.retires() });
        let machine = Machine::new(specs, config.revoke_timeout, seed(&config.workspace));
        let entries = config.credentials.iter().zip(lessors);
        let entries = entries.map(|(credential, lessor)| Entry {
            name: credential.name.clone(),
            env: credential.env.clone(),
            lessor,
        });
        let driver = Driver::new(
            entries.collect(),
            machine,
            Box::new(sink),
            Box::new(Told(watch, end)),
            config.request_timeout,
        );
        let listener = control::bind(&directory)?;
        Ok(Self { driver, directory, listener, about })
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
    pub async fn live<T>(
        self,
        work: impl AsyncFnOnce(mpsc::Sender<Command>) -> T,
    ) -> Result<(Outcome, Option<T>)> {
        let (commands, inbox) = mpsc::channel(16);
        let server = control::serve(self.listener, commands.clone(), self.about);
        let mut done = None;
        let worked = async {
            done = Some(work(commands.clone()).await);
            // The driver may have ended by itself, and then wants no telling.
            let _ = commands.send(Command::Stop).await;
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = self.driver.run(inbox) => outcome,
            () = async { tokio::join!(server, worked); } => unreachable!("neither ends before the driver"),
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
    let credentials = config.credentials.iter().map(|credential| AboutCredential {
        name: credential.name.clone(),
        kind: credential.target.kind(),
        scope: credential.target.to_string(),
        env: credential.env.clone(),
    });
    About {
        workspace: config.workspace.clone(),
        pid: std::process::id(),
        env_file: sink.path().display().to_string(),
        gateway: text(&config.gateway().url),
        started_at: clock::now(),
        private: false,
        credentials: credentials.collect(),
    }
}

/// The URLs of the gateways that have names, as variables: `APIM_GATEWAY_URL_PARTNER`.
fn further_gateways(config: &Config) -> Vec<(String, String)> {
    let named = config.gateways.iter().filter(|(name, _)| *name != DEFAULT);
    named.map(|(name, gateway)| (env_file::gateway_variable(name), text(&gateway.url))).collect()
}

/// A base URL as people write it.
fn text(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Tells of every exchange.
struct Watched {
    inner: Arc<dyn Exchange>,
    watch: Arc<dyn Watch>,
}

#[async_trait]
impl Exchange for Watched {
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        let start = clock::now();
        let token = self.inner.exchange(scope).await?;
        let took = clock::now().duration_since(start).unwrap_or_default();
        self.watch.exchanged(scope.unwrap_or_default(), &token, took);
        Ok(token)
    }

    async fn revoke(&self, token: &Secret) -> Result<bool> {
        self.inner.revoke(token).await
    }
}

/// The driver's observer. When the agent ends, nobody is waited for any more.
struct Told(Arc<dyn Watch>, End);

impl Observer for Told {
    fn notice(&mut self, notice: &Notice<'_>, machine: &Machine) {
        if machine.phase() == Phase::Stopping {
            self.1.begin();
        }
        self.0.notice(notice, machine);
    }
}

/// Workspaces that start together must not renew together.
fn seed(workspace: &str) -> u64 {
    let started = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let spread =
        workspace.bytes().fold(started.subsec_nanos().into(), |seed: u64, byte| seed ^ u64::from(byte));
    schedule::mix(spread ^ u64::from(std::process::id()))
}
