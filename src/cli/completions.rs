//! `completions`: what a shell needs to complete our command lines, from the definition that parses them.

use super::{args, print::print};
use crate::error::Result;
use std::process::ExitCode;

pub(super) fn completions(command: args::Completions) -> Result<ExitCode> {
    print(&script(command.shell))
}

fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "apim-agent", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn each_shell_is_told_of_each_command() {
        for shell in clap_complete::Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for command in args::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
