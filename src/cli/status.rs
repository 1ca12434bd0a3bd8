//! `status` and `refresh`: ask the running agent.

use super::{ambient::Ambient, args, block_on, must_run};
use crate::{
    clock,
    error::{Class, Error, Result},
    lifecycle::status::render,
};
use std::{io::Write as _, process::ExitCode};

pub(super) fn status(command: args::Status, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let agent = must_run(global, ambient)?;
    let status = block_on(agent.status())?;
    let text = if command.json {
        let failed = |error: serde_json::Error| {
            Error::new(Class::Internal, "the status cannot be written as JSON").why(error.to_string())
        };
        serde_json::to_string_pretty(&status).map_err(failed)? + "\n"
    } else {
        render(&status, clock::now())
    };
    // Nobody may be reading; the exit code tells all the same.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    // A script asks "can I start?": only what is published and whole is a yes.
    Ok(if status.ready { ExitCode::SUCCESS } else { Error::new(Class::TryAgain, "").exit_code().into() })
}

pub(super) fn refresh(global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let agent = must_run(global, ambient)?;
    block_on(agent.refresh())?;
    Ok(ExitCode::SUCCESS)
}
