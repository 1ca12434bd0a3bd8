//! The agent's side of `start`: leaves the terminal, and holds on to nothing of whoever called.

use crate::{
    cli::report,
    error::{Class, Error, Result},
};
use nix::unistd::{close, dup2_stdin, setsid};
use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::net::UnixStream},
};

/// The word on the command line. It is no command for people, so the command line's definition does not list it.
pub(super) const COMMAND: &str = "detached";

/// Whether the first word says that this is the agent that `start` has started; the command line without that word.
pub(in crate::cli) fn read(line: impl IntoIterator<Item = OsString>) -> (bool, Vec<OsString>) {
    let mut line: Vec<_> = line.into_iter().collect();
    let detached = line.get(1).is_some_and(|word| word == COMMAND);
    if detached {
        line.remove(1);
    }
    (detached, line)
}

/// Takes a session of its own, so that no hang-up of the caller's terminal reaches this process; closes what was inherited
/// beside the standard streams, for which somebody may be waiting; and reports over standard input's socket.
///
/// To be called before anything is opened and before there is a second thread.
///
/// Errors: [`Class::Usage`] when it was not `start` that started this.
pub(in crate::cli) fn detach() -> Result<()> {
    let failed = |error: io::Error| {
        Error::new(Class::Usage, format!("`apim-agent {COMMAND}` is not for people"))
            .why(format!("`apim-agent start` starts it by itself: {error}"))
            .fix("apim-agent start")
    };
    let starter = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    starter.peer_addr().map_err(failed)?;
    drop(starter);
    setsid().map_err(|errno| failed(errno.into()))?;
    for fd in inherited().map_err(failed)? {
        // One of them was that of the list itself, and is closed already.
        let _ = close(fd);
    }
    let starter = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let nowhere = File::open("/dev/null").map_err(failed)?;
    dup2_stdin(&nowhere).map_err(|errno| failed(errno.into()))?;
    report::begin(starter)
}

/// The descriptors behind standard error.
fn inherited() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(numbers.filter(|&fd| fd > 2).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_word_counts() {
        let read = |words: &[&str]| read(words.iter().map(OsString::from));
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(read(&["a", COMMAND, "start"]), (true, line(&["a", "start"])));
        assert_eq!(read(&["a", "start", COMMAND]), (false, line(&["a", "start", COMMAND])));
        assert_eq!(read(&["a"]), (false, line(&["a"])));
    }
}
