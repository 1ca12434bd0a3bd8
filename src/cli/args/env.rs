//! `env`.

use clap::ValueEnum;

/// `env`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Env {
    /// For whom: sh (also bash and zsh), fish, json or dotenv
    #[arg(long, value_enum, default_value_t = Format::Sh, hide_possible_values = true)]
    pub format: Format,
}

/// What `env` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `export NAME=value`, for eval in sh, bash, zsh and their kin
    Sh,
    /// `set -gx NAME value`, for fish
    Fish,
    /// One object
    Json,
    /// `NAME=value`, for dotenv libraries and other readers of env files
    Dotenv,
}
