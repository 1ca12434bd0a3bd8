//! Which source, and `auto`.
