//! From acquire to revoke: decided by [`machine`], timed by [`schedule`], carried out by [`driver`], asked and told
//! through [`control`], shown as [`status`]. Where it lives by changes is [`watch`]ed, and [`change`] says what they mean.

pub mod change;
pub mod control;
pub mod driver;
pub mod machine;
pub mod schedule;
pub mod status;
pub mod watch;
