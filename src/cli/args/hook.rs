//! `hook`.

use clap::ValueEnum;

/// `hook`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Hook {
    /// bash, zsh, fish or direnv
    #[arg(value_enum, hide_possible_values = true)]
    pub shell: Shell,
}

/// Whose code is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// 4.4 or later
    Bash,
    /// 5 or later
    Zsh,
    /// 3.1 or later
    Fish,
    /// A function `use apim_agent`
    Direnv,
    /// What the code asks: the env file of the agent that runs, or an empty line; then where one may appear
    #[value(hide = true)]
    Where,
}
