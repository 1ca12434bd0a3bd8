//! Where leases become usable: an env file in a directory that is proved to be RAM.
//!
//! | module | what it does |
//! |---|---|
//! | [`candidates`] | which places come into question, in which order (pure) |
//! | [`walk`] | opens one without following links and proves what it is |
//! | [`runtime_dir`] | takes it: lock, leftovers, removal |
//! | [`layout`] | which variables and files a set comes to (pure) |
//! | [`env_file`] | the formats (pure) |
//! | [`publisher`] | writes, checks and wipes the files |
//! | [`erase`] | overwrites before it unlinks |
//! | [`swap`] | whether RAM may reach a disk after all |

pub mod candidates;
pub mod env_file;
pub mod erase;
pub mod layout;
pub mod publisher;
pub mod runtime_dir;
pub mod swap;
pub mod walk;

use crate::{error::Result, lease::Value, secret::Secret};
use std::time::SystemTime;

/// Where a set of leases becomes usable.
pub trait Sink: Send {
    /// Replaces what is published by `set`, whole or not at all.
    fn publish(&mut self, set: &Set<'_>) -> Result<()>;
    /// Leaves nothing. Must take milliseconds, and may be called again; a later `publish` may follow.
    fn wipe(&mut self) -> Result<()>;
    /// The variables that a set of these comes to, for a child process or another shell.
    fn variables(&self, items: &[Item<'_>]) -> Vec<(String, Secret)>;
    /// Whether what was published still stands; an error says what another hand did.
    fn check(&self) -> Result<()>;
    /// Has the sets that follow name these gateways: the one that is always there, and further ones as variables.
    fn readdress(&mut self, _gateway_url: &str, _others: Vec<(String, String)>) {}
}

/// One generation, as it is published.
pub struct Set<'a> {
    /// Its number.
    pub generation: u64,
    /// When the first of its values expires; `None` while it holds none.
    pub expires_at: Option<SystemTime>,
    /// The values, in the configuration's order.
    pub items: Vec<Item<'a>>,
    /// The credentials that have no valid value.
    pub missing: Vec<Missing<'a>>,
}

/// A credential that has no valid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing<'a> {
    /// Its variable.
    pub env: &'a str,
    /// What went wrong, in one line, where something has: [`Error::what`](crate::error::Error).
    pub why: Option<&'a str>,
}

/// One credential's value.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The credential's name in the configuration.
    pub name: &'a str,
    /// Its variable.
    pub env: &'a str,
    /// Its value.
    pub value: &'a Value,
}
