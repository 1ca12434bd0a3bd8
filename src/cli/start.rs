//! `start`: the agent behind the scenes, and back as soon as the first credentials are published.
//!
//! ```text
//! start ── executes itself as `detached start …` ──► stdin    one end of a socket pair; stdout and stderr lead nowhere
//! agent ── a session of its own, inherited descriptors closed ── what it says ──► start ──► its own stdout and stderr
//! agent ── "ready" ──► start, which returns 0        or its exit code, with which start ends
//! ```
//! As for the guard, it is this program executed anew: no fork, and no `unsafe`.

mod detach;

use super::{
    ambient::Ambient,
    args::{self, Global},
    block_on, outlet,
    report::{self, Frame},
    running,
    signals::Signals,
};
use crate::{
    config::duration,
    error::{Class, Error, Result},
    lifecycle::control::Client,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout_at},
};

pub(super) use detach::{detach, read};

/// Our own program, also after it was replaced by another version.
const SELF: &str = "/proc/self/exe";
/// The pause before it is looked again whether the agent that was faster can be asked.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn start(command: &args::Start, global: &Global, ambient: &Ambient) -> Result<ExitCode> {
    block_on(async {
        let mut signals = Signals::catch()?;
        let deadline = Instant::now() + command.timeout;
        let workspace = ambient.place(global)?.workspace;
        loop {
            if let Some(agent) = running(global, ambient)? {
                match join(&agent, &workspace, deadline, command.timeout, &mut signals).await {
                    // It ended while it was asked; then one of our own is started.
                    Err(error) if error.class == Class::Unavailable && Instant::now() < deadline => {
                        sleep(PAUSE).await;
                        continue;
                    }
                    joined => return joined,
                }
            }
            let (pid, stream) = spawn()?;
            match watch(pid, stream, deadline, command.timeout, &mut signals).await? {
                // Another start was faster, and its agent is what was asked for.
                Watched::Ended { code: 75, .. } if running(global, ambient)?.is_some() => {}
                Watched::Ended { code, held } => {
                    outlet::stderr().push(&held);
                    return Ok(code.into());
                }
                Watched::Ready => {
                    say(&format!(
                        "{:<10} process {pid} keeps them fresh; apim-agent stop wipes the file and revokes what can be revoked",
                        "detached"
                    ));
                    return Ok(ExitCode::SUCCESS);
                }
                Watched::Signalled(signal) => return Ok(after(signal)),
            }
        }
    })
}

enum Watched {
    Ready,
    /// With what it had said on standard error since it said anything on standard output: its error.
    Ended {
        code: u8,
        held: Vec<u8>,
    },
    Signalled(Signal),
}

/// Passes on what the agent says, until it is ready or has ended.
async fn watch(
    pid: Pid,
    mut stream: UnixStream,
    deadline: Instant,
    timeout: Duration,
    signals: &mut Signals,
) -> Result<Watched> {
    let mut held = Vec::new();
    let mut told_to_end = None;
    loop {
        let frame = tokio::select! {
            frame = report::next(&mut stream) => frame,
            () = tokio::time::sleep_until(deadline), if told_to_end.is_none() => {
                outlet::stderr().push(&held);
                return Err(late(pid.as_raw(), timeout));
            }
            signal = signals.next() => match (told_to_end, signal) {
                // The terminal has gone, and with it whoever could have asked for an end.
                (None, Signal::SIGHUP) => {
                    say(&format!("{:<10} the terminal is gone; the agent (process {pid}) goes on", "note"));
                    return Ok(Watched::Signalled(signal));
                }
                (None, _) => {
                    say(&format!("{:<10} the agent (process {pid}) is told to end too", format!("{signal}")));
                    told_to_end = Some(signal);
                    // It may have ended just now.
                    let _ = kill(pid, Signal::SIGTERM);
                    continue;
                }
                (Some(first), _) => return Ok(Watched::Signalled(first)),
            },
        };
        match frame {
            Some(Frame::Out(text)) => outlet::stdout().push(&text),
            // Held back: whether it matters shows at the end.
            Some(Frame::Err(text)) => held.extend(text),
            Some(Frame::Ready) if told_to_end.is_none() => {
                outlet::stderr().push(&held);
                return Ok(Watched::Ready);
            }
            // Whether it ended between its last words and our signal is not worth telling apart.
            Some(Frame::Ready) | None if let Some(signal) = told_to_end => {
                outlet::stderr().push(&held);
                return Ok(Watched::Signalled(signal));
            }
            Some(Frame::Exit(code)) => {
                if let Some(signal) = told_to_end {
                    outlet::stderr().push(&held);
                    return Ok(Watched::Signalled(signal));
                }
                return Ok(Watched::Ended { code, held });
            }
            _ => {
                outlet::stderr().push(&held);
                return Err(Error::new(Class::Internal, format!("the agent (process {pid}) was killed"))
                    .why("it ended without a word")
                    .fix("its guard wipes and revokes; look for what kills processes here, such as a lack of memory"));
            }
        }
    }
}

/// Waits for an agent that runs already.
async fn join(
    agent: &Client,
    workspace: &str,
    deadline: Instant,
    timeout: Duration,
    signals: &mut Signals,
) -> Result<ExitCode> {
    let pid = agent.peer_pid();
    let ready = async {
        loop {
            let status = agent.status().await?;
            if status.ready {
                return Ok::<_, Error>(status);
            }
            sleep(PAUSE).await;
        }
    };
    let status = tokio::select! {
        status = timeout_at(deadline, ready) => status.map_err(|_| late(pid, timeout))??,
        // That agent is not ours to end.
        signal = signals.next() => return Ok(after(signal)),
    };
    say(&format!("{:<10} an agent of {workspace} already, process {pid}", "runs"));
    say(&format!("{:<10} generation {}: {}", "published", status.generation, status.env_file));
    Ok(ExitCode::SUCCESS)
}

/// Starts the agent with our own command line; its process and our end of the socket pair.
fn spawn() -> Result<(Pid, UnixStream)> {
    let failed = |error: std::io::Error| {
        Error::new(Class::Internal, "the agent cannot be started")
            .why(error.to_string())
            .fix("look at the limits for processes and memory")
    };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let child = Command::new(SELF)
        .arg0("apim-agent")
        .arg(detach::COMMAND)
        .args(std::env::args_os().skip(1))
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    // A process id of the kernel's is at most 2^22.
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    Ok((pid, UnixStream::from_std(ours).map_err(failed)?))
}

fn late(pid: i32, timeout: Duration) -> Error {
    let what = format!("not everything required is published after {}", duration::show(timeout));
    Error::new(Class::TryAgain, what)
        .why(format!("the agent (process {pid}) goes on trying"))
        .fix("apim-agent status says what is missing and why; apim-agent stop ends it")
}

/// As shells count.
fn after(signal: Signal) -> ExitCode {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX).into()
}

fn say(text: &str) {
    outlet::stdout().push(format!("{text}\n").as_bytes());
}
