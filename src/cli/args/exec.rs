//! `exec`.

use crate::cli::emulator_args::span;
use std::{ffi::OsString, time::Duration};

/// `exec`.
#[derive(clap::Args, Clone, Debug)]
pub struct Exec {
    /// How long to wait for the credentials; then it exits with 75 [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub timeout: Option<Duration>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}
