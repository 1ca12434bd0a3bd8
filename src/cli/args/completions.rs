//! `completions` and `man`.

use clap_complete::Shell;
use std::path::PathBuf;

/// `completions`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Completions {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
    pub shell: Shell,
}

/// `man`.
#[derive(clap::Args, Clone, Debug)]
pub struct Man {
    /// Write a page for each command into this folder, instead of printing the first
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}
