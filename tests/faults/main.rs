//! What goes wrong on the way, end to end: the real agent against the real emulator, each in its own process.
//!
//! A fault is scripted at the emulator or done to the agent's files; then come the agent's words, what `status` says,
//! the recovery, and the end: nothing left in RAM or at ARM, and no secret anywhere (see `Scene::assert_clean`).

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod ending;
mod env_file;
mod full;
mod renewal;
mod start;

use support::{KEY, TOKEN};
