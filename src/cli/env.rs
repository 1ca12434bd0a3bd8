//! `env`: prints what the running agent has published.

use super::{ambient::Ambient, args, block_on, must_run};
use crate::{
    error::{Class, Error, Result},
    sink::env_file::Format,
};
use std::{io::Write as _, process::ExitCode};

pub(super) fn env(command: args::Env, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let agent = must_run(global, ambient)?;
    let published = block_on(agent.values(false))?;
    let format = match command.format {
        args::Format::Sh => Format::Sh,
        args::Format::Fish => Format::Fish,
        args::Format::Json => Format::Json,
        args::Format::Dotenv => Format::Dotenv,
    };
    let text = published.render(format)?;
    match std::io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Class::Internal, "cannot print the credentials").why(error.to_string()))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
