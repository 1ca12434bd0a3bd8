//! `env`: prints what the running agent has published.

use super::{ambient::Ambient, args, block_on, must_run, outlet, tell};
use crate::{
    error::{Class, Error, Result},
    lifecycle::status::{Credential, State},
    sink::env_file::Format,
};
use std::{io::Write as _, process::ExitCode};

pub(super) fn env(command: args::Env, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let agent = must_run(global, ambient)?;
    let asked = async { Ok::<_, Error>((agent.values(false).await?, agent.status().await?)) };
    let (published, status) = block_on(asked)?;
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
        _ => {
            // Said beside what there is: a script that goes on without it should know.
            let absent = |entry: &&Credential| entry.expires_at.is_none() && entry.state != State::Releasing;
            let names = |required: bool| -> Vec<_> {
                let missing = status.credentials.iter().filter(absent);
                missing.filter(|entry| entry.required == required).map(|entry| entry.env.as_str()).collect()
            };
            let optional = names(false);
            if !optional.is_empty() {
                let text = format!(
                    "apim-agent: note: without {} (optional), see apim-agent status\n",
                    optional.join(", ")
                );
                outlet::stderr().push(text.as_bytes());
            }
            if status.ready {
                return Ok(ExitCode::SUCCESS);
            }
            let missing = names(true);
            let error = Error::new(Class::TryAgain, "not everything is published")
                .fix("see apim-agent status; apim-agent exec waits until all is there");
            let error = if missing.is_empty() {
                error
            } else {
                error.why(format!("missing: {}", missing.join(", ")))
            };
            tell(&error);
            Ok(error.exit_code().into())
        }
    }
}
