//! Values that somebody could do harm with, from every place that a value comes from, with the real binary: nothing of
//! them is ever executed, the env file is whole or absent, the agent says what is wrong, and never shows the value.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod entra;
mod identity;
mod stage;
mod vault;

use stage::Stage;
