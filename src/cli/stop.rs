//! `stop`: tells the agent to end, and waits until it has.

use super::{
    ambient::Ambient,
    args::{self, Global},
    block_on, outlet,
    report::{self, Frame},
};
use crate::{
    config::{Place, duration},
    error::{Class, Error, Result},
    lifecycle::control::Client,
    sink::runtime_dir::{JOURNAL, RuntimeDir},
};
use std::{path::Path, process::ExitCode, time::Duration};
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

/// An agent in the foreground is looked for so often until it is gone.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn stop(command: args::Stop, global: &Global, ambient: &Ambient) -> Result<ExitCode> {
    let (place, xdg) = (ambient.place(global)?, ambient.xdg_runtime_dir());
    let Some(directory) = find(&place, xdg.as_deref())? else { return Ok(nothing(&place.workspace)) };
    let report = directory.path().to_owned();
    block_on(async {
        // Before it is told to end, so that none of its last words is missed.
        let listening = report::listen(&directory).await;
        let Some(agent) = Client::new(directory) else {
            say(&format!("{:<10} no agent runs; {} is what a killed one left", "nothing", report.display()));
            return Err(Error::new(Class::TryAgain, format!("an agent of {} was killed", place.workspace))
                .fix("apim-agent release revokes what it left"));
        };
        let pid = agent.peer_pid();
        agent.stop().await?;
        let ended = async {
            match listening {
                Some(stream) => last_words(stream, pid).await,
                None => gone(&place, xdg.as_deref(), pid).await,
            }
        };
        timeout(command.timeout, ended).await.unwrap_or_else(|_| {
            let what =
                format!("the agent (process {pid}) has not ended after {}", duration::show(command.timeout));
            Err(Error::new(Class::TryAgain, what)
                .why("the env file is wiped, and it is still revoking")
                .fix("apim-agent status, or apim-agent stop again"))
        })
    })
}

/// Passes on what a detached agent says from now on; its exit code.
async fn last_words(mut stream: UnixStream, pid: i32) -> Result<ExitCode> {
    // All that it has said in its life comes first; the end begins with the wipe.
    let mut ending = false;
    loop {
        match report::next(&mut stream).await {
            Some(Frame::Out(text)) => {
                ending |= text.starts_with(b"wiped ");
                if ending {
                    outlet::stdout().push(&text);
                }
            }
            Some(Frame::Err(text)) if ending => outlet::stderr().push(&text),
            Some(Frame::Err(_) | Frame::Ready) => {}
            Some(Frame::Exit(code)) => return Ok(code.into()),
            None => {
                return Err(Error::new(
                    Class::TryAgain,
                    format!("the agent (process {pid}) was killed before it had ended"),
                )
                .fix("its guard wipes and revokes; apim-agent release does what that could not"));
            }
        }
    }
}

/// Waits for the end of an agent that says all to a terminal of its own.
async fn gone(place: &Place, xdg: Option<&Path>, pid: i32) -> Result<ExitCode> {
    loop {
        match find(place, xdg)? {
            Some(directory) if directory.holder() == Some(pid) => {}
            Some(directory) if directory.holder().is_none() && directory.path().join(JOURNAL).exists() => {
                // Still held, or left for good.
                match RuntimeDir::open(place.runtime_dir.as_deref(), xdg, &place.workspace) {
                    Err(error) if error.retry_after.is_some() => {}
                    other => {
                        other?;
                        return Err(Error::new(
                            Class::TryAgain,
                            "not everything could be revoked; the journal keeps it",
                        )
                        .why("what failed stands where that agent was started")
                        .fix("apim-agent release"));
                    }
                }
            }
            Some(directory) if directory.holder().is_none() => {}
            _ => {
                say(&format!("{:<10} process {pid}; what came of it stands where it was started", "ended"));
                return Ok(ExitCode::SUCCESS);
            }
        }
        sleep(PAUSE).await;
    }
}

fn find(place: &Place, xdg: Option<&Path>) -> Result<Option<RuntimeDir>> {
    RuntimeDir::find(place.runtime_dir.as_deref(), xdg, &place.workspace)
}

fn nothing(workspace: &str) -> ExitCode {
    say(&format!("{:<10} no agent of {workspace} runs", "nothing"));
    ExitCode::SUCCESS
}

fn say(text: &str) {
    outlet::stdout().push(format!("{text}\n").as_bytes());
}
