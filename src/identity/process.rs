//! A command whose output is an id token, or whatever else proves who we are: started without a shell, bounded in time
//! and size, and never left behind.
//!
//! The command inherits the agent's environment and current folder: such tools find their own credentials there. It gets
//! no terminal and no input.

use super::{IdToken, claims};
use crate::{
    error::{Class, Error, Result},
    http::answer,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};
use zeroize::Zeroizing;

/// Tokens are a few kilobytes; what is longer is something else.
const MOST: usize = 64 * 1024;

/// How much of the end of stderr is kept, in bytes.
const TAIL: usize = 4 * 1024;

/// How many of its last lines are shown, and how many characters of each.
const LINES: usize = 3;
const LINE: usize = 200;

/// What a command is run for, as messages say it.
pub(super) struct Wanted {
    /// Such as `id token`.
    pub(super) noun: &'static str,
    /// The same with its article.
    pub(super) a_noun: &'static str,
    /// What it has to print.
    pub(super) form: &'static str,
    /// How its deadline follows from the settings.
    pub(super) deadline: &'static str,
}

/// What is usually wanted.
const ID_TOKEN: Wanted = Wanted {
    noun: "id token",
    a_noun: "an id token",
    form: "the token, a JWT, and nothing else",
    deadline: "request_timeout is its deadline",
};

/// How a command ended, and what it printed.
pub(super) struct Ended {
    program: String,
    status: ExitStatus,
    output: Zeroizing<Vec<u8>>,
    tail: Zeroizing<Vec<u8>>,
}

impl Ended {
    /// What it printed. Error: it failed, or what it printed is not text.
    pub(super) fn text(&self, wanted: &Wanted) -> Result<&str> {
        if !self.status.success() {
            return Err(failed(&self.program, wanted, self.status, &self.tail));
        }
        std::str::from_utf8(&self.output).map_err(|_| no_token(&self.program, wanted, "it is not text"))
    }

    /// The end of what it wrote to stderr, for who knows the program's messages.
    pub(super) fn stderr(&self) -> Zeroizing<String> {
        Zeroizing::new(String::from_utf8_lossy(&self.tail).into_owned())
    }
}

/// Runs `argv`, a program and its arguments, and takes what it prints for an id token.
pub(super) async fn id_token(argv: &[String], deadline: Duration) -> Result<IdToken> {
    let Some(program) = argv.first() else {
        return Err(Error::new(Class::Config, "there is no command to get an id token from")
            .fix("for example: command = [\"gp\", \"idp\", \"token\", \"--audience\", \"{audience}\"]"));
    };
    let ended = run(program, &argv[1..], &ID_TOKEN, deadline).await?;
    claims::read(ended.text(&ID_TOKEN)?, &format!("the output of {}", shown(program)))
}

/// Runs `program` with these arguments to its end.
///
/// `deadline` is for all of it. What still runs then, or when nobody waits for it any more, is killed, with all that it
/// started in its process group. A process that goes on holding an output counts as still running.
pub(super) async fn run(
    program: &str,
    arguments: &[impl AsRef<OsStr>],
    wanted: &Wanted,
    deadline: Duration,
) -> Result<Ended> {
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().map_err(|error| not_started(program, &error))?);

    let mut tail = Zeroizing::new(Vec::with_capacity(2 * TAIL));
    let ended = timeout(deadline, running.finish(&mut tail)).await;
    drop(running);
    match ended {
        Ok(Ok((status, output))) => Ok(Ended { program: program.to_owned(), status, output, tail }),
        Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            let why = format!("it is longer than {} KiB, which no {} is", MOST / 1024, wanted.noun);
            Err(no_token(program, wanted, &why))
        }
        Ok(Err(error)) => {
            Err(Error::new(Class::Internal, format!("the output of {} was lost", shown(program)))
                .why(error.to_string()))
        }
        Err(_) => {
            let what =
                format!("{} gave no {} within {deadline:?} and was killed", shown(program), wanted.noun);
            let fix = format!("run it by hand to see what it waits for; {}", wanted.deadline);
            Err(said(Error::new(Class::Unavailable, what).fix(fix), &tail))
        }
    }
}

/// A child and its process group, which end with this value.
struct Running(Child);

impl Running {
    /// Reads both outputs to their end, then waits for the process, so that its id stays its own as long as there is
    /// something to kill.
    ///
    /// Error: `FileTooLarge` as soon as the output is, whatever becomes of the process.
    async fn finish(&mut self, tail: &mut Vec<u8>) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
        // All of it at the start: no stale copy by growing.
        let mut output = Zeroizing::new(Vec::with_capacity(MOST + 1));
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let whole = async {
            let Some(stdout) = stdout else { return Ok(()) };
            let read = stdout.take(MOST as u64 + 1).read_to_end(&mut output).await?;
            if read > MOST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        };
        let last = async {
            let Some(stderr) = stderr else { return Ok(()) };
            keep_tail(stderr, tail).await
        };
        tokio::try_join!(whole, last)?;
        Ok((self.0.wait().await?, output))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // No id: it has been waited for, and its number may be somebody else's by now.
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended by itself just now. tokio collects its status.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

async fn keep_tail(mut stream: impl AsyncRead + Unpin, tail: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = Zeroizing::new([0; TAIL]);
    loop {
        let read = stream.read(&mut chunk[..]).await?;
        if read == 0 {
            return Ok(());
        }
        let excess = (tail.len() + read).saturating_sub(TAIL).min(tail.len());
        tail.drain(..excess);
        tail.extend_from_slice(&chunk[..read]);
    }
}

fn no_token(program: &str, wanted: &Wanted, why: &str) -> Error {
    Error::new(Class::Config, format!("the output of {} is not {}", shown(program), wanted.a_noun))
        .why(why)
        .fix(format!("it has to print {}; messages go to stderr", wanted.form))
}

fn not_started(program: &str, error: &io::Error) -> Error {
    let fix = match error.kind() {
        io::ErrorKind::NotFound => "install it, put it on the PATH, or give its whole path",
        io::ErrorKind::PermissionDenied => "make it executable for this user",
        _ => "run it by hand to see why",
    };
    Error::new(Class::Config, format!("{} cannot be started", shown(program))).why(error.to_string()).fix(fix)
}

/// Most tools exit with 1 whatever happened, so that only the few codes with a settled meaning rule out that waiting helps.
fn failed(program: &str, wanted: &Wanted, status: ExitStatus, tail: &[u8]) -> Error {
    let (class, how) = match (status.code(), status.signal()) {
        (Some(code @ (64 | 78 | 126 | 127)), _) => (Class::Config, format!("exited with {code}")),
        (Some(77), _) => (Class::Denied, "exited with 77".to_owned()),
        (Some(code), _) => (Class::Unavailable, format!("exited with {code}")),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or_else(|_| signal.to_string(), |name| name.to_string());
            (Class::Unavailable, format!("was ended by {name}"))
        }
        (None, None) => (Class::Unavailable, "ended in an unknown way".to_owned()),
    };
    let error = Error::new(class, format!("{} gave no {}: it {how}", shown(program), wanted.noun))
        .fix("run it by hand to see why");
    said(error, tail)
}

/// Adds the last lines of stderr: each cut, printable, and without what looks like a token or a key.
fn said(error: Error, tail: &[u8]) -> Error {
    let text = Zeroizing::new(String::from_utf8_lossy(tail).into_owned());
    let lines: Vec<String> =
        text.lines().map(|line| answer::printable(line, LINE)).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => error.why("it printed no error"),
        count => error.why(lines[count.saturating_sub(LINES)..].join("\n")),
    }
}

/// The program as messages name it; its arguments may be long, and are in the configuration.
pub(super) fn shown(program: &str) -> String {
    answer::printable(program, LINE)
}

#[cfg(test)]
mod tests;
