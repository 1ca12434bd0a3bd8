//! `stop`.

use super::span;
use std::time::Duration;

/// `stop`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Stop {
    /// How long its end is waited for; the agent goes on revoking
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = span)]
    pub timeout: Duration,
}
