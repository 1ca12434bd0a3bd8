//! What the process asks of the kernel for itself, before it holds any secret.
//!
//! This is the only folder where `unsafe` may be allowed. So far there is none: nix's safe wrappers do.

pub mod confine;
mod heap;

use crate::error::{Class, Error, Result};
use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
};

/// Keeps secrets in memory from reaching others through the kernel's side doors. Called once, before any thread starts
/// and before the first secret is read.
///
/// - not dumpable: no core file, and `/proc/PID/{mem,environ,fd}` and ptrace are closed to other processes of this user
///   (not to those with `CAP_SYS_PTRACE`); a child process gets this back by `execve`;
/// - soft `RLIMIT_CORE` 0: a child that is given credentials writes no core file unless it asks for one;
/// - umask 077: nothing that is created is open to others for a moment before its mode is set.
pub fn harden() -> Result<Before> {
    prctl::set_dumpable(false).map_err(|errno| refused("make the process undumpable", errno))?;
    let (_, hard) =
        getrlimit(Resource::RLIMIT_CORE).map_err(|errno| refused("read the core file limit", errno))?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).map_err(|errno| refused("forbid core files", errno))?;
    Ok(Before { umask: umask(PRIVATE) })
}

const PRIVATE: Mode = Mode::S_IRWXG.union(Mode::S_IRWXO);

/// What [`harden`] changed that a child process must not inherit: the files of somebody's build are not ours to lock.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    umask: Mode,
}

impl Before {
    /// Runs `spawn` with the umask that the process was started with. The umask belongs to the whole process, so no other
    /// thread may be creating files meanwhile.
    pub fn spawn<T>(&self, spawn: impl FnOnce() -> T) -> T {
        umask(self.umask);
        let spawned = spawn();
        umask(PRIVATE);
        spawned
    }
}

fn refused(what: &str, errno: Errno) -> Error {
    Error::new(Class::Internal, format!("the kernel does not let the agent {what}")).why(errno.desc())
}
