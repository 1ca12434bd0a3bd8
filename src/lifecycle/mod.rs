//! From acquire to revoke: decided by [`machine`], timed by [`schedule`], carried out by [`driver`].

pub mod driver;
pub mod machine;
pub mod schedule;
