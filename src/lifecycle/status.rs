//! What `apim-agent status` tells, as data with a stable JSON form and as calm text. Holds no secret.

use super::{
    driver::{Report, Reported},
    machine::{Machine, Phase, Slot},
};
use crate::{
    config, error,
    secret::{Census, census},
};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

mod identity;
mod short;
mod stamp;
mod text;

pub use identity::{Identity, Seen, actor};
pub use short::short;
pub use text::render;

/// What does not change while an agent lives.
#[derive(Clone, Debug)]
pub struct About {
    /// The workspace.
    pub workspace: String,
    /// The agent's process.
    pub pid: u32,
    /// The env file's path.
    pub env_file: String,
    /// When the agent started.
    pub started_at: SystemTime,
    /// Its values are for its own process alone, and end with that: an `exec` without an agent.
    pub private: bool,
    /// What it may still do with files.
    pub confinement: Confinement,
}

/// What an agent may still do with files, having given up the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The version of the kernel's Landlock that holds it to what it needs; `None`: nothing does.
    pub landlock: Option<u32>,
    /// That version knows some of the rights only.
    pub partly: bool,
    /// Why nothing does.
    pub because: Option<String>,
}

/// What the configuration says of a credential.
#[derive(Clone, Debug)]
pub struct AboutCredential {
    /// The entry's name.
    pub name: String,
    /// Its kind.
    pub kind: config::Kind,
    /// What it is good for.
    pub scope: String,
    /// The variable.
    pub env: String,
    /// Whether the agent is ready only with it.
    pub required: bool,
    /// Where it is tried, if anywhere.
    pub call: Option<Call>,
}

/// A request that wants the credential, as a shell that has read the env file writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The variable with the URL of the gateway that the credential is for.
    pub gateway: String,
    /// The probe's path there.
    pub path: String,
}

/// The state of an agent. Times are RFC 3339 in UTC; what is not known or does not apply is `null`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The workspace.
    pub workspace: String,
    /// The agent's process.
    pub pid: u32,
    /// Where it is in its life.
    pub phase: Stage,
    /// Whether every required credential is published and good.
    pub ready: bool,
    /// The number of the published set; 0 before the first.
    pub generation: u64,
    /// The env file's path.
    pub env_file: String,
    /// The gateway's base URL.
    pub gateway: String,
    /// When the first of the published values expires.
    #[serde(with = "stamp::optional")]
    pub expires_at: Option<SystemTime>,
    /// When the agent started.
    #[serde(with = "stamp")]
    pub started_at: SystemTime,
    /// Each credential, in the configuration's order; then those that are not in it any more and are being revoked.
    pub credentials: Vec<Credential>,
    /// The last failure to write the env file, or what another hand did to it, while it lasts.
    pub sink_error: Option<Failure>,
    /// What is wrong with the configuration since it was changed, while the one before is in force.
    #[serde(default)]
    pub config_error: Option<Failure>,
    /// What happens next by itself.
    pub next: Option<Next>,
    /// What keeps others, and itself, from its secrets.
    #[serde(default)]
    pub process: Option<Process>,
}

/// What keeps others, and the agent itself, from its secrets. No core file is written, and no process of the same user can
/// look into it, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Secrets in memory that cannot be swapped out.
    pub locked_secrets: usize,
    /// Secrets in ordinary memory: empty ones, and those for which no more could be locked.
    pub unlocked_secrets: usize,
    /// The system has refused to lock more (`RLIMIT_MEMLOCK`).
    pub lock_refused: bool,
    /// The version of Landlock that keeps it to the files that it needs, and from new privileges.
    pub landlock: Option<u32>,
    /// That version knows some of the rights only.
    pub landlock_partly: bool,
    /// Why there is none.
    pub unconfined_because: Option<String>,
}

impl Process {
    fn new(confinement: &Confinement, secrets: Census) -> Self {
        Self {
            locked_secrets: secrets.locked,
            unlocked_secrets: secrets.plain,
            lock_refused: secrets.refused,
            landlock: confinement.landlock,
            landlock_partly: confinement.partly,
            unconfined_because: confinement.because.clone(),
        }
    }
}

/// [`Phase`] in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing has been published yet.
    Acquiring,
    /// Something is.
    Published,
    /// Wiped; revoking.
    Stopping,
    /// Over.
    Ended,
}

/// One credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The entry's name.
    pub name: String,
    /// Its kind.
    pub kind: config::Kind,
    /// What it is good for.
    pub scope: String,
    /// The variable.
    pub env: String,
    /// The variables that its current value is published as: that one, or those that name files. Empty without a value.
    #[serde(default)]
    pub variables: Vec<String>,
    /// Whether the agent is ready only with it.
    #[serde(default = "always")]
    pub required: bool,
    /// As whom it was issued, or last asked for; `null` before the first answer of the identity source.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// How it is.
    pub state: State,
    /// When the current value was issued.
    #[serde(with = "stamp::optional")]
    pub issued_at: Option<SystemTime>,
    /// When the current value expires.
    #[serde(with = "stamp::optional")]
    pub expires_at: Option<SystemTime>,
    /// When it is renewed.
    #[serde(with = "stamp::optional")]
    pub renews_at: Option<SystemTime>,
    /// After a failure: when it is tried again.
    #[serde(with = "stamp::optional")]
    pub retries_at: Option<SystemTime>,
    /// Until when the budgets of requests hold back what would be due before.
    #[serde(default, with = "stamp::optional")]
    pub held_until: Option<SystemTime>,
    /// Failures since the last success.
    pub failures: u32,
    /// Until when the value before the current one is kept good.
    #[serde(with = "stamp::optional")]
    pub grace_until: Option<SystemTime>,
    /// The last failure, while it lasts.
    pub error: Option<Failure>,
}

/// Agents of before this was told had nothing else.
fn always() -> bool {
    true
}

/// How a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The first value is on its way.
    Acquiring,
    /// A good value is published.
    Published,
    /// A good value is published, and its successor is on its way.
    Renewing,
    /// The last attempt failed. A value with `expires_at` is still published.
    Failing,
    /// The last value ran out, was taken out, and has no successor yet.
    Expired,
    /// The agent stops, or the configuration does not have it any more, or another one; it is being revoked.
    Releasing,
    /// It has ended.
    Released,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub what: String,
    /// Why, as far as known.
    pub why: Option<String>,
    /// What to do.
    pub fix: Option<String>,
    /// When.
    #[serde(with = "stamp")]
    pub at: SystemTime,
}

/// The next thing that happens by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// Such as `renew orders`.
    pub what: String,
    /// When.
    #[serde(with = "stamp")]
    pub at: SystemTime,
}

impl Status {
    /// The state that `report` shows of the agent that `about` describes.
    pub fn new(about: &About, report: &Report) -> Self {
        let machine = &report.machine;
        let shown = report.credentials.iter();
        let credentials: Vec<_> = shown.map(|reported| credential(reported, machine)).collect();
        let slots: Vec<_> =
            report.credentials.iter().map(|reported| &machine.slots()[reported.index]).collect();
        Self {
            workspace: about.workspace.clone(),
            pid: about.pid,
            phase: match machine.phase() {
                Phase::Acquiring => Stage::Acquiring,
                Phase::Published => Stage::Published,
                Phase::Stopping => Stage::Stopping,
                Phase::Ended => Stage::Ended,
            },
            ready: machine.is_ready(),
            generation: machine.generation(),
            env_file: about.env_file.clone(),
            gateway: report.gateway.clone(),
            expires_at: credentials.iter().filter_map(|credential| credential.expires_at).min(),
            started_at: about.started_at,
            sink_error: report.sink_error.as_ref().map(failure),
            config_error: report.config_error.as_ref().map(failure),
            next: next(machine, &credentials, &slots),
            process: Some(Process::new(&about.confinement, census())),
            credentials,
        }
    }
}

fn credential(reported: &Reported, machine: &Machine) -> Credential {
    let (about, slot) = (&reported.about, &machine.slots()[reported.index]);
    let held_until = machine.held_until(reported.index);
    Credential {
        name: about.name.clone(),
        kind: about.kind,
        scope: about.scope.clone(),
        env: about.env.clone(),
        variables: reported.variables.clone(),
        required: about.required,
        identity: reported.identity.clone(),
        state: state(slot, machine.phase()),
        issued_at: slot.current().map(|term| term.issued_at),
        expires_at: slot.current().map(|term| term.expires_at),
        renews_at: slot.current().and_then(|_| slot.renews_at()),
        retries_at: slot.retries_at().map(|at| held_until.map_or(at, |held| held.max(at))),
        held_until,
        failures: slot.failures(),
        grace_until: slot.grace_until(),
        error: reported.error.as_ref().map(failure),
    }
}

fn state(slot: &Slot, phase: Phase) -> State {
    match phase {
        _ if slot.is_released() => State::Released,
        Phase::Stopping | Phase::Ended => State::Releasing,
        _ if slot.is_leaving() => State::Releasing,
        Phase::Acquiring | Phase::Published if slot.lapsed_at().is_some() => State::Expired,
        _ if slot.failures() > 0 => State::Failing,
        _ if slot.current().is_none() => State::Acquiring,
        _ if slot.is_renewing() => State::Renewing,
        _ => State::Published,
    }
}

fn failure((at, error): &(SystemTime, error::Error)) -> Failure {
    Failure { what: error.what.clone(), why: error.why.clone(), fix: error.fix.clone(), at: *at }
}

/// The earliest of what is planned. A call that is under way has no planned end, so it is not among them.
fn next(machine: &Machine, credentials: &[Credential], slots: &[&Slot]) -> Option<Next> {
    if machine.phase() == Phase::Stopping {
        return machine
            .deadline()
            .map(|at| Next { what: "give up what is not revoked by then".to_owned(), at });
    }
    let idle = credentials.iter().zip(slots).filter(|(_, slot)| !slot.is_in_flight());
    let planned = idle.flat_map(|(credential, _)| {
        let name = &credential.name;
        let again = credential.retries_at.map(|at| (format!("try {name} again"), at));
        // After a failure the renewal is the retry.
        let renewal = credential.renews_at.filter(|_| again.is_none());
        // The next value waits until its predecessor's predecessor has ended.
        let renewal =
            renewal.map(|at| (format!("renew {name}"), credential.grace_until.map_or(at, |end| end.max(at))));
        let ending = credential.grace_until.map(|at| (format!("end the former value of {name}"), at));
        again.into_iter().chain(ending).chain(renewal)
    });
    let publication = machine.publishes_at().map(|at| ("write the env file again".to_owned(), at));
    planned.chain(publication).min_by_key(|(_, at)| *at).map(|(what, at)| Next { what, at })
}

#[cfg(test)]
mod tests;
