//! ARM.
