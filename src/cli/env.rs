//! `env`: prints what the running agent has published.

mod curl;
mod github;

use super::{ambient::Ambient, args, block_on, must_run, outlet, tell};
use crate::{
    error::{Class, Error, Result},
    lifecycle::{
        control::Published,
        status::{Credential, State, Status},
    },
    sink::env_file::Format,
};
use std::{io::Write as _, process::ExitCode};

pub(super) fn env(command: &args::Env, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let agent = must_run(global, ambient)?;
    let asked = async { Ok::<_, Error>((agent.values(false).await?, agent.status().await?)) };
    let (mut published, status) = block_on(asked)?;
    let wanted = choose(&status, &command.only)?;
    published.values.values.retain(|(name, _)| {
        let is_of = |entry: &&Credential| entry.variables.contains(name);
        command.only.is_empty() || wanted.iter().any(is_of) || is_address(name)
    });
    let format = match command.format {
        args::Format::Sh => Format::Sh,
        args::Format::Fish => Format::Fish,
        args::Format::PowerShell => Format::PowerShell,
        args::Format::Dotenv => Format::Dotenv,
        args::Format::Json => Format::Json,
        args::Format::Docker => Format::Docker,
        args::Format::Systemd => Format::Systemd,
        args::Format::GitHub => {
            github::append(ambient, &published)?;
            print(&github::masks(&published))?;
            return Ok(told(&status, &wanted));
        }
        args::Format::Curl => {
            print(&curl::config(&published, &wanted)?)?;
            return Ok(told(&status, &wanted));
        }
    };
    print(&published.render(format)?)?;
    Ok(told(&status, &wanted))
}

/// The credentials of these names, or all.
fn choose<'a>(status: &'a Status, only: &[String]) -> Result<Vec<&'a Credential>> {
    let unknown = |name: &&String| !status.credentials.iter().any(|entry| entry.name == **name);
    if let Some(name) = only.iter().find(unknown) {
        let names: Vec<_> = status.credentials.iter().map(|entry| entry.name.as_str()).collect();
        return Err(Error::new(Class::Usage, format!("the agent has no credential {name:?}"))
            .fix(format!("--only takes a name of the configuration: {}", names.join(", "))));
    }
    let is_wanted = |entry: &&Credential| only.is_empty() || only.contains(&entry.name);
    Ok(status.credentials.iter().filter(is_wanted).collect())
}

/// Whether it says where a gateway is: every credential is of use only with that.
fn is_address(name: &str) -> bool {
    name.starts_with(crate::sink::env_file::GATEWAY_URL)
}

fn print(text: &[u8]) -> Result<()> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Class::Internal, "cannot print the credentials").why(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Says what is missing beside what there is: a script that goes on without it should know.
fn told(status: &Status, wanted: &[&Credential]) -> ExitCode {
    let names = |required: bool| -> Vec<_> {
        let absent = |entry: &&&Credential| entry.expires_at.is_none() && entry.state != State::Releasing;
        let missing = wanted.iter().filter(absent);
        missing.filter(|entry| entry.required == required).map(|entry| entry.env.as_str()).collect()
    };
    let optional = names(false);
    if !optional.is_empty() {
        let text =
            format!("apim-agent: note: without {} (optional), see apim-agent status\n", optional.join(", "));
        outlet::stderr().push(text.as_bytes());
    }
    let missing = names(true);
    let is_whole = wanted.len() < status.credentials.len() && missing.is_empty();
    if status.ready || is_whole {
        return ExitCode::SUCCESS;
    }
    let error = Error::new(Class::TryAgain, "not everything is published")
        .fix("see apim-agent status; apim-agent exec waits until all is there");
    let error =
        if missing.is_empty() { error } else { error.why(format!("missing: {}", missing.join(", "))) };
    tell(&error);
    error.exit_code().into()
}

/// The value published as `name`.
fn value<'a>(published: &'a Published, name: &str) -> Option<&'a str> {
    let mut values = published.values.values.iter();
    values.find(|(known, _)| known == name).map(|(_, secret)| secret.expose())
}
