//! The folder's lock, and who holds it.

use super::{CONTROL, cannot};
use crate::error::{Class, Error, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt::PeerCredentials,
    },
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

/// When it is worth looking again whether whoever cleans up after a killed agent is done.
const SOON: Duration = Duration::from_millis(50);

/// Locks the folder for as long as what is opened there stays open, in this process or in another one.
pub(super) fn lock(fd: OwnedFd, path: &Path, workspace: &str) -> Result<Flock<OwnedFd>> {
    Flock::lock(fd, FlockArg::LockExclusiveNonblock).map_err(|(fd, errno)| match errno {
        Errno::EWOULDBLOCK => match listener(fd.as_fd()) {
            Some(pid) => {
                Error::new(Class::TryAgain, format!("an agent for workspace {workspace} already runs"))
                    .why(format!("process {pid} holds {}", path.display()))
                    .fix("see `apim-agent status`; stop that agent first, or use what it publishes")
            }
            // An agent that begins or ends, or a guard after the end of one that was killed.
            None => {
                Error::new(Class::TryAgain, format!("an agent for workspace {workspace} is not done yet"))
                    .why(format!("another process holds {}, and does not listen there", path.display()))
                    .fix("try again in a moment; what a killed agent left is released meanwhile")
                    .retry_after(Some(SOON))
            }
        },
        errno => cannot("lock", path, errno),
    })
}

/// Through our descriptor: short, and no other hand can have it lead elsewhere.
pub(super) fn control_address(dir: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}/{CONTROL}", dir.as_raw_fd()).into()
}

/// Who listens at the control socket in `dir`: the kernel remembers it from the call of `listen`.
pub(super) fn listener(dir: BorrowedFd<'_>) -> Option<i32> {
    let address = UnixAddr::new(&control_address(dir)).ok()?;
    // Not blocking: an agent that hangs may have a full queue.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
    connect(probe.as_raw_fd(), &address).ok()?;
    getsockopt(&probe, PeerCredentials).ok().map(|peer| peer.pid())
}
