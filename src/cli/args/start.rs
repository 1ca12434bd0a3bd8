//! `start`.

use super::{Run, span};
use std::time::Duration;

/// `start`.
#[derive(clap::Args, Clone, Debug)]
pub struct Start {
    /// How long the first credentials are waited for; the agent goes on trying
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = span)]
    pub timeout: Duration,
    /// What `run` takes.
    #[command(flatten)]
    pub run: Run,
}
