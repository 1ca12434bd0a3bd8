//! What others ask of a running driver, and what they get.

use super::super::machine::Machine;
use crate::{error::Error, secret::Secret};
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
    /// The current values; with `wait`, as soon as every credential is published. The sender is dropped when the agent
    /// stops before that.
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

/// The current values, copied for a child process or another shell.
pub struct Values {
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
    /// What could not be released, by name.
    pub unreleased: Vec<(String, Error)>,
}
