//! Flags to plain data; one file a command.

pub mod args;
pub mod emulator_args;
pub mod emulator;

/// Runs the command line.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
