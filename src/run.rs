//! The flow, wired.
