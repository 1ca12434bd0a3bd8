//! The guard's side: waits for the agent's end.

use super::{COMMAND, DONE, KEEP_BASE, READY};
use crate::{
    error::{Class, Error, Result},
    sink::runtime_dir::{RuntimeDir, wipe},
};
use nix::{
    sys::signal::{SigSet, Signal},
    unistd::{dup2_stdin, dup2_stdout, setsid},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
};

/// What the guard looks after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    path: PathBuf,
    /// See [`RuntimeDir::removable`].
    removable: bool,
}

impl Post {
    /// Reads `guard PATH [keep-base]`, the program's name first. `None`: it is another command line.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter().skip(1);
        if args.next()? != COMMAND {
            return None;
        }
        let path = PathBuf::from(args.next()?);
        let removable = match args.next().as_deref() {
            None => true,
            Some(word) if word == OsStr::new(KEEP_BASE) => false,
            Some(_) => return None,
        };
        (path.is_absolute() && args.next().is_none()).then_some(Self { path, removable })
    }

    /// Where the runtime directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How it went on.
pub enum Fate {
    /// The agent has ended, and nothing is left to do.
    Dismissed,
    /// It has died.
    Orphaned {
        /// How many files of it have been wiped already.
        wiped: Result<usize>,
        /// What is left to clean up: the directory is ours, and locked.
        directory: Result<Box<RuntimeDir>>,
    },
}

/// Stands until the agent's end.
///
/// Errors: [`Class::Usage`] when it was not an agent that started this.
pub fn stand(post: &Post) -> Result<Fate> {
    let failed = |error: io::Error| {
        Error::new(Class::Usage, format!("`apim-agent {COMMAND}` is not for people"))
            .why(format!("an agent starts it by itself, with what it needs: {error}"))
            .fix("apim-agent --help")
    };
    // The terminal's hang-up and Ctrl-C are for the agent. A leader of a process group keeps its session, which is fine.
    let _ = setsid();
    // What ends a whole group of processes reaches us with the agent; we end right after it, and not before.
    let patient = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1]
        .into_iter()
        .chain([Signal::SIGUSR2, Signal::SIGALRM])
        .collect::<SigSet>();
    patient.thread_block().map_err(|errno| failed(errno.into()))?;

    let mut agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let directory = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
    let nowhere = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    dup2_stdin(&nowhere).and_then(|()| dup2_stdout(&nowhere)).map_err(|errno| failed(errno.into()))?;
    drop(nowhere);

    match agent.write_all(&[READY]) {
        Ok(()) => {}
        // It has died already.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
        Err(error) => return Err(failed(error)),
    }
    let mut word = [0];
    // An error is an end too: whoever was there has gone.
    if matches!(agent.read(&mut word), Ok(1)) && word == [DONE] {
        return Ok(Fate::Dismissed);
    }
    // Before anything else, and wherever the path leads by now.
    let wiped = wipe(&directory, &post.path);
    let directory = RuntimeDir::inherit(directory, &post.path, post.removable).map(Box::new);
    Ok(Fate::Orphaned { wiped, directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Option<Post> {
        Post::read(line.iter().map(OsString::from))
    }

    #[test]
    fn only_the_agents_own_command_line_is_a_guards() {
        let post = |removable| Some(Post { path: "/dev/shm/x/y".into(), removable });
        assert_eq!(read(&["apim-agent", "guard", "/dev/shm/x/y"]), post(true));
        assert_eq!(read(&["apim-agent", "guard", "/dev/shm/x/y", "keep-base"]), post(false));
        for other in [
            &["apim-agent"][..],
            &["apim-agent", "guard"],
            &["apim-agent", "guard", "relative"],
            &["apim-agent", "guard", "/x", "other"],
            &["apim-agent", "guard", "/x", "keep-base", "more"],
            &["apim-agent", "run", "/x"],
        ] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }
}
