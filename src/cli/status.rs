//! `status` and `refresh`: ask the running agent.

use super::{ambient::Ambient, args, block_on, must_run, running};
use crate::{
    clock,
    error::{Class, Error, Result},
    lifecycle::status::{render, short},
};
use std::{io::Write as _, process::ExitCode};

pub(super) fn status(command: args::Status, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    if command.short || command.ready {
        return quiet(command, global, ambient);
    }
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

/// For prompts and scripts, which ask often and show no errors: that no agent runs is one of the answers.
fn quiet(command: args::Status, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let status = match running(global, ambient)? {
        // Gone between the two: the same as not there.
        Some(agent) => block_on(agent.status()).ok(),
        None => None,
    };
    if command.short {
        let text = short(status.as_ref(), clock::now(), !is_plain(ambient)) + "\n";
        // Nobody may be reading; the exit code tells all the same.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
    Ok(match status {
        Some(status) if status.ready => ExitCode::SUCCESS,
        Some(_) => Error::new(Class::TryAgain, "").exit_code().into(),
        None => Error::new(Class::Unavailable, "").exit_code().into(),
    })
}

/// Whether only ASCII is wanted: by <https://no-color.org>, or by a locale that is not UTF-8.
fn is_plain(ambient: &Ambient) -> bool {
    let set = |name: &str| (ambient.lookup())(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    set("NO_COLOR").is_some() || !(locale.contains("utf-8") || locale.contains("utf8"))
}

pub(super) fn refresh(global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let agent = must_run(global, ambient)?;
    block_on(agent.refresh())?;
    Ok(ExitCode::SUCCESS)
}
