//! The platform team's side of an API Management service: what the agents' subscriptions are known by, and what becomes of
//! those that dead workspaces left behind.
//!
//! | who enforces the end | when |
//! |---|---|
//! | `gitpod/policies/expire-workspace-keys.xml`, at the gateway | at each call |
//! | [`reap`], in a pipeline | when it runs, after a grace |
//!
//! Both read the same end out of the same fields, as [`mark`] says it.

pub mod mark;
pub mod reap;
