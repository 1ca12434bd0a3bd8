//! `exec`: a command with the credentials in its environment.

use super::{
    ambient::Ambient,
    args::{self, Global},
    block_on, directory, outlet,
    run::ended,
    running,
    signals::Signals,
    timeline::{Detail, Timeline},
};
use crate::{
    clock,
    config::{ID_TOKEN_VARIABLE, duration},
    error::{Class, Error, Result},
    identity::prebuild,
    lifecycle::driver::{self, Values},
    run::{Agent, Beyond},
    sink::env_file,
    sys::Before,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpgrp, tcgetpgrp},
};
use std::{
    ffi::OsStr,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitCode, ExitStatus},
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::Child,
    sync::{mpsc, oneshot},
};

pub(super) fn exec(
    command: &args::Exec,
    global: &Global,
    ambient: &Ambient,
    before: Before,
) -> Result<ExitCode> {
    let Some((program, arguments)) = command.command.split_first() else {
        return Err(
            Error::new(Class::Usage, "exec needs a command").fix("for example: apim-agent exec -- env")
        );
    };
    let mut child = Command::new(program);
    child.args(arguments);
    if let Some(agent) = running(global, ambient)? {
        has_effect(global)?;
        let published = block_on(in_time(command.timeout, agent.values(true)))?;
        // Of another name for it only the configuration knows, and that may be one for the agent alone.
        child.env_remove(ID_TOKEN_VARIABLE);
        give(&mut child, &published.values);
        // This process becomes the command: signals, terminal and exit code are its own. What was logged comes first.
        outlet::flush();
        return Ok(exit(not_started(program, &before.spawn(|| child.exec()))));
    }
    whole_life(child, command.timeout, program, global, ambient, before)
}

/// What is published is the running agent's affair: a setting given here would be passed over in silence.
fn has_effect(global: &Global) -> Result<()> {
    let finds_the_agent = |key: &str| matches!(key, "workspace" | "runtime_dir");
    let mut keys = global.set.iter().filter_map(|text| text.split_once('=')).map(|(key, _)| key.trim());
    match keys.find(|key| !finds_the_agent(key)) {
        None => Ok(()),
        Some(key) => Err(Error::new(Class::Usage, format!("--set {key} has no effect here"))
            .why("an agent runs for this workspace, and the command gets what that has published")
            .fix("leave it out, or name another workspace for a life of its own: --workspace NAME")),
    }
}

/// No agent runs: fetch, run, wipe and revoke for this one command.
///
/// The end of the credentials begins with the end of the command, or with the first SIGTERM, SIGHUP or SIGQUIT: the
/// signal is passed on, the env file is wiped and all is revoked at once, since SIGKILL may be next. The command is
/// attended until its own end all the same. SIGINT and the others are not an end by themselves: Ctrl-C is something that
/// a shell or a debugger survives, and a daemon takes SIGUSR1 as an order.
fn whole_life(
    mut child: Command,
    timeout: Option<Duration>,
    program: &OsStr,
    global: &Global,
    ambient: &Ambient,
    before: Before,
) -> Result<ExitCode> {
    let started = clock::now();
    block_on(async {
        let mut signals = Signals::catch()?;
        let config = ambient.load(global)?;
        prebuild::check(ambient.lookup()).await?;
        let directory = directory::take(&config, ambient, &mut signals).await?;
        let leftovers = directory.leftovers().to_vec();
        let agent = Agent::assemble(&config, ambient.lookup(), directory, Beyond::Written, |about| {
            let timeline = Timeline::new(about.clone(), Detail::Trouble, started);
            // `run` notes where RAM may be swapped out; in front of every command that would be noise.
            timeline.begin(&leftovers, None);
            Arc::new(timeline)
        })?
        .private();
        // A required credential that cannot be had.
        let mut refused = None;
        // It outlives the credentials when those end first.
        let mut attended = None;
        let lived = agent
            .live(None, async |commands| {
                let values = tokio::select! {
                    values = in_time(timeout, async { all_values(&commands).await.transpose() }) => match values.transpose()? {
                        Ok(values) => values,
                        Err(error) => {
                            refused = Some(error);
                            return None;
                        }
                    },
                    signal = signals.next() => return Some(128 + signal as i32),
                };
                // That of the agent's, which it could be exchanged for more with.
                child.env_remove(ID_TOKEN_VARIABLE);
                for variable in config.identities.values().filter_map(|identity| identity.variable.as_ref()) {
                    child.env_remove(variable);
                }
                give(&mut child, &values);
                drop(values);
                let mut child = tokio::process::Command::from(child);
                let child = match before.spawn(|| child.spawn()) {
                    Ok(child) => child,
                    Err(error) => return Some(not_started(program, &error)),
                };
                let (over, is_over) = oneshot::channel();
                attended = Some(tokio::spawn(attend(child, signals, over)));
                // Sent, or dropped with the command's end.
                let _ = is_over.await;
                None
            })
            .await;
        let status = match attended {
            Some(attended) => Some(attended.await.map_err(|error| lost(&error)).flatten()?),
            None => lived.as_ref().ok().and_then(|(_, status)| status.flatten()),
        };
        // The command's exit code is what the caller waits for; a failed revocation is told beside it.
        match (lived.and_then(|(outcome, _)| ended(outcome)), status) {
            (Ok(_), None) if let Some(refused) = refused => Err(refused),
            (Err(error), None) => {
                if let Some(refused) = refused.filter(|refused| refused.what != error.what) {
                    super::tell(&error);
                    return Err(refused);
                }
                Err(error)
            }
            (Err(error), Some(code)) => {
                super::tell(&error);
                Ok(exit(code))
            }
            (Ok(_), Some(code)) => Ok(exit(code)),
            (Ok(code), None) => Ok(code),
        }
    })
}

/// What `work` gives, or that it took too long.
async fn in_time<T>(timeout: Option<Duration>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(timeout) = timeout else { return work.await };
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        let what = format!("the credentials were not there within {}", duration::show(timeout));
        Err(Error::new(Class::TryAgain, what)
            .why("the command was not started: --timeout says how long to wait")
            .fix("see what is missing with apim-agent status, or give it longer"))
    })
}

/// The values, as soon as every required credential is there, or why one cannot be had; `None` when the agent ends before.
async fn all_values(commands: &mpsc::Sender<driver::Command>) -> Option<Result<Values>> {
    let (reply, values) = oneshot::channel();
    commands.send(driver::Command::Values { wait: true, reply }).await.ok()?;
    values.await.ok()
}

fn give(child: &mut Command, values: &Values) {
    child.envs(env_file::fixed(&values.gateway, values.generation, values.expires_at));
    child.envs(values.values.iter().map(|(name, secret)| (name, secret.expose())));
}

/// Waits for the command's end; `over` is told when its credentials have to end before. What the terminal sends reaches
/// the command too; what is sent to this process alone is passed on.
async fn attend(mut child: Child, mut signals: Signals, over: oneshot::Sender<()>) -> Result<i32> {
    let mut over = Some(over);
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    loop {
        tokio::select! {
            status = child.wait() => return status.map(code).map_err(|error| lost(&error)),
            // Ctrl-C at the terminal reaches the whole group by itself.
            signal = signals.next() => if signal != Signal::SIGINT || !is_at_the_terminal() {
                if let Some(pid) = pid {
                    // It may have ended just now.
                    let _ = kill(pid, signal);
                }
                if matches!(signal, Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT) {
                    // The credentials may have ended before.
                    let _ = over.take().map(|over| over.send(()));
                }
            }
        }
    }
}

/// Whether this process, and so the command, which is in the same group, is the one that the terminal talks to.
fn is_at_the_terminal() -> bool {
    tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == getpgrp())
}

fn lost(error: &dyn std::fmt::Display) -> Error {
    Error::new(Class::Internal, "the command's end was lost").why(error.to_string())
}

/// As shells count: the exit code, or 128 and the signal.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn exit(code: i32) -> ExitCode {
    u8::try_from(code).unwrap_or(u8::MAX).into()
}

/// Tells why the command could not be started; as shells count: 127 when there is none of that name, else 126.
fn not_started(program: &OsStr, error: &std::io::Error) -> i32 {
    super::tell(
        &Error::new(Class::Config, format!("cannot start {}", program.display()))
            .why(error.to_string())
            .fix("check its name, its permissions and the search path (PATH)"),
    );
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}
