//! `exec`.

use std::ffi::OsString;

/// `exec`.
#[derive(clap::Args, Clone, Debug)]
pub struct Exec {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}
