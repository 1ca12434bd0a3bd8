//! From acquire to revoke: decided by [`machine`], timed by [`schedule`], carried out by [`driver`], asked and told
//! through [`control`], shown as [`status`].

pub mod control;
pub mod driver;
pub mod machine;
pub mod schedule;
pub mod status;
