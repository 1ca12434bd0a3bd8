//! From acquire to revoke: decided by [`machine`], timed by [`schedule`], carried out by [`driver`], asked and told
//! through [`control`], shown as [`status`]. Where it lives by changes is [`watch`]ed, and [`change`] says what they mean.
//! What is out is in the [`journal`], and a [`guard`] cleans up after an agent that is killed.

pub mod budget;
pub mod change;
pub mod control;
pub mod driver;
pub mod guard;
pub mod journal;
pub mod machine;
pub mod schedule;
pub mod status;
pub mod watch;
