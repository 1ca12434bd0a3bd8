//! `env`.

use clap::ValueEnum;

/// `env`.
#[derive(clap::Args, Clone, Debug)]
pub struct Env {
    /// sh, fish, powershell, dotenv, json, docker, systemd, github or curl
    #[arg(long, value_enum, default_value_t = Format::Sh, hide_possible_values = true)]
    pub format: Format,
    /// Only this credential, by its name in the configuration; repeatable
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
}

/// What `env` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `export NAME=value`, for eval in sh, bash, zsh and their kin
    Sh,
    /// `set -gx NAME value`, for fish
    Fish,
    /// `$env:NAME = 'value'`
    #[value(name = "powershell")]
    PowerShell,
    /// `NAME=value`, for dotenv libraries and other readers of env files
    Dotenv,
    /// One object
    Json,
    /// For `docker run --env-file`
    Docker,
    /// For `EnvironmentFile=`
    Systemd,
    /// Appends to `$GITHUB_ENV`, and prints commands that mask the values
    #[value(name = "github")]
    GitHub,
    /// For `curl -K -`: the header or the certificate
    Curl,
}
