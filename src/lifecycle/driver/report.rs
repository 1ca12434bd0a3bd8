//! What others ask of a running driver, and what they get.

use super::{
    super::{
        change::Plan,
        machine::{Index, Machine},
        status::{AboutCredential, Identity},
    },
    Entry,
};
use crate::{
    error::{Error, Result},
    secret::Secret,
};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// What others ask of a running driver.
pub enum Command {
    /// Wipe, release, end.
    Stop,
    /// Renew everything now.
    Refresh,
    /// The state, for `status`.
    Status(oneshot::Sender<Report>),
    /// Whether every required credential is published and good. Costs nothing and touches no file.
    Ping(oneshot::Sender<bool>),
    /// The current values.
    Values {
        /// As soon as each credential has had its try and every required one is published. When a required one is refused
        /// for a reason that waiting does not mend, that is the answer. The sender is dropped when the agent stops
        /// before either.
        wait: bool,
        /// Takes the values.
        reply: oneshot::Sender<Result<Values>>,
    },
    /// Tells when every required credential is published, however long that takes.
    Ready(oneshot::Sender<()>),
    /// What these identities read has been changed: what fails because of it is tried again.
    Hurry(Vec<String>),
    /// Another hand may have changed what is published.
    Inspect,
    /// The configuration has been changed.
    Reconfigure(Box<Change>),
    /// The configuration has been changed and is of no use. The one before stays in force.
    Misconfigured(Error),
}

/// A new configuration.
pub struct Change {
    /// What it changes.
    pub plan: Plan,
    /// All its credentials, in its order. Those that are kept go on with the lessor that they have.
    pub entries: Vec<Entry>,
    /// The gateway's base URL.
    pub gateway: String,
    /// The URLs of further gateways, as variables.
    pub further_gateways: Vec<(String, String)>,
}

/// A snapshot of the state. Never holds a secret.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine itself: it holds times and counts only.
    pub machine: Machine,
    /// The gateway's base URL.
    pub gateway: String,
    /// The credentials in the configuration's order, then those that leave.
    pub credentials: Vec<Reported>,
    /// The sink's last error, while it lasts.
    pub sink_error: Option<(SystemTime, Error)>,
    /// What is wrong with the configuration as it stands now, while the one before is in force.
    pub config_error: Option<(SystemTime, Error)>,
}

/// One credential in a [`Report`].
#[derive(Clone, Debug)]
pub struct Reported {
    /// Its slot in the machine.
    pub index: Index,
    /// What it is.
    pub about: AboutCredential,
    /// The variables that its current value is published as.
    pub variables: Vec<String>,
    /// As whom its identity was last proved.
    pub identity: Option<Identity>,
    /// Its last error, while it lasts, and when it happened.
    pub error: Option<(SystemTime, Error)>,
}

/// The current values, copied for a child process or another shell.
pub struct Values {
    /// The gateway's base URL.
    pub gateway: String,
    /// The last published generation.
    pub generation: u64,
    /// When the first of these values expires; `None` while there are none.
    pub expires_at: Option<SystemTime>,
    /// Variables and values.
    pub values: Vec<(String, Secret)>,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended before anybody asked, or what was left behind in the sink.
    pub fatal: Option<Error>,
    /// The required credentials that had failed and had no value when the end began, as one error.
    pub missing: Option<Error>,
    /// What could not be released, by name.
    pub unreleased: Vec<(String, Error)>,
}
