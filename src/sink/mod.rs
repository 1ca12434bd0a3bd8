//! Where leases become usable: an env file in a directory that is proved to be RAM.
//!
//! | module | what it does |
//! |---|---|
//! | [`candidates`] | which places come into question, in which order (pure) |
//! | [`walk`] | opens one without following links and proves what it is |
//! | [`runtime_dir`] | takes it: lock, leftovers, removal |
//! | [`env_file`] | the formats (pure) |
//! | [`publisher`] | writes, checks and wipes the file |
//! | [`erase`] | overwrites before it unlinks |
//! | [`swap`] | whether RAM may reach a disk after all |

pub mod candidates;
pub mod env_file;
pub mod erase;
pub mod publisher;
pub mod runtime_dir;
pub mod swap;
pub mod walk;

use crate::{error::Result, secret::Secret};
use std::time::SystemTime;

/// Where a set of leases becomes usable.
pub trait Sink: Send {
    /// Replaces what is published by `set`, whole or not at all.
    fn publish(&mut self, set: &Set<'_>) -> Result<()>;
    /// Leaves nothing. Must take milliseconds, and may be called again; a later `publish` may follow.
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
