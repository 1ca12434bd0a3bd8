//! What the driver tells whoever watches.

use super::{
    super::{change::Plan, machine::Index},
    View,
};
use crate::{error::Error, lease::Released};
use std::time::{Duration, SystemTime};

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
        /// When it is tried again; `None` if at once or not at all.
        again_at: Option<SystemTime>,
    },
    /// The sink is empty.
    Wiped {
        /// How long that took.
        took: Duration,
    },
    /// A credential has ended, for good.
    Released {
        /// Which credential.
        index: Index,
        /// How.
        released: Released,
    },
    /// Another configuration is in force.
    Reconfigured {
        /// What it changes.
        plan: &'a Plan,
    },
    /// The configuration has been changed and is of no use; the one before stays in force.
    Misconfigured {
        /// What is wrong with it.
        error: &'a Error,
    },
}

/// Watches the driver.
pub trait Observer: Send {
    /// Something happened; `view` shows the state after it.
    fn notice(&mut self, notice: &Notice<'_>, view: &View<'_>);
}
