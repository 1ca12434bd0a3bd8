//! `exec`: a command with the credentials in its environment.

use super::{
    ambient::Ambient,
    args::{self, Global},
    run::ended,
    running, runtime,
    signals::Signals,
    timeline::{Detail, Timeline},
};
use crate::{
    clock,
    error::{Class, Error, Result},
    lifecycle::driver::{self, Values},
    run::{self, Agent},
    sink::env_file,
    sys::Before,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitCode, ExitStatus},
    sync::Arc,
};
use tokio::sync::{mpsc, oneshot};

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
        let published = runtime()?.block_on(agent.values(true))?;
        give(&mut child, &published.gateway_url, &published.values);
        // This process becomes the command: signals, terminal and exit code are its own.
        return Ok(exit(not_started(program, &before.spawn(|| child.exec()))));
    }
    whole_life(child, program, global, ambient, before)
}

/// No agent runs: fetch, run, wipe and revoke for this one command.
fn whole_life(
    mut child: Command,
    program: &OsStr,
    global: &Global,
    ambient: &Ambient,
    before: Before,
) -> Result<ExitCode> {
    let started = clock::now();
    let config = ambient.load(global)?;
    let directory = run::directory(&config, ambient.xdg_runtime_dir().as_deref())?;
    runtime()?.block_on(async {
        let mut signals = Signals::catch()?;
        let leftovers = directory.leftovers().to_vec();
        let agent = Agent::assemble(&config, ambient.lookup(), directory, |about| {
            let timeline = Timeline::new(about.clone(), Detail::Trouble, started);
            // `run` notes where RAM may be swapped out; in front of every command that would be noise.
            timeline.begin(&leftovers, None);
            Arc::new(timeline)
        })?;
        let gateway = agent.about().gateway.clone();
        let (outcome, status) = agent
            .live(async |commands| {
                let values = tokio::select! {
                    values = all_values(&commands) => values?,
                    signal = signals.next() => return Some(Ok(128 + signal.as_raw_value())),
                };
                give(&mut child, &gateway, &values);
                drop(values);
                Some(attend(child, program, &mut signals, before).await)
            })
            .await?;
        // The command's exit code is what the caller waits for; a failed revocation is told beside it.
        match (ended(outcome), status.flatten()) {
            (Err(error), None) => Err(error),
            (Err(error), Some(Ok(code))) => {
                super::tell(&error);
                Ok(exit(code))
            }
            (_, Some(code)) => code.map(exit),
            (Ok(code), None) => Ok(code),
        }
    })
}

/// The values, as soon as every credential is there; `None` when the agent ends before.
async fn all_values(commands: &mpsc::Sender<driver::Command>) -> Option<Values> {
    let (reply, values) = oneshot::channel();
    commands.send(driver::Command::Values { wait: true, reply }).await.ok()?;
    values.await.ok()
}

fn give(child: &mut Command, gateway: &str, values: &Values) {
    child.envs(env_file::fixed(gateway, values.generation, values.expires_at));
    child.envs(values.values.iter().map(|(name, secret)| (name, secret.expose())));
}

/// Starts the command and waits for its end. What the terminal sends reaches it too; what is sent to this process alone
/// is passed on.
async fn attend(child: Command, program: &OsStr, signals: &mut Signals, before: Before) -> Result<i32> {
    let mut child = tokio::process::Command::from(child);
    let mut child = match before.spawn(|| child.spawn()) {
        Ok(child) => child,
        Err(error) => return Ok(not_started(program, &error)),
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    loop {
        tokio::select! {
            status = child.wait() => {
                let lost = |error: std::io::Error| {
                    Error::new(Class::Internal, "the command's end was lost").why(error.to_string())
                };
                return status.map(code).map_err(lost);
            }
            signal = signals.next() => {
                let signal = Signal::try_from(signal.as_raw_value()).ok();
                // Ctrl-C reaches the whole group by itself.
                if let (Some(pid), Some(signal)) = (pid, signal.filter(|signal| *signal != Signal::SIGINT)) {
                    // It may have ended just now.
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        }
    }
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
