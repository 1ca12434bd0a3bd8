//! A hostile or exhausted machine around the real agent: limits on what it may open, lock or write, and clients of its
//! socket that say nothing, too much, or should not be there.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod limits;
mod socket;

use support::KEY;
