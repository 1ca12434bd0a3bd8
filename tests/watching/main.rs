//! Several credentials of different fates, and an agent that notices what changes around it: end to end.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod configuration;
mod partial;
mod published;
mod token_file;
