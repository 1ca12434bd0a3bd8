//! Overwrites before it unlinks: pages of a tmpfs that are freed are not cleared, and a descriptor that somebody holds
//! keeps an unlinked file alive.

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::Mode,
    },
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    ffi::{CStr, CString},
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
};

/// Our files are a few kilobytes. What is larger is none of ours (it may be sparse and endless), and is only removed.
const LARGEST: u64 = 1 << 20;

/// What has been removed, and what could not be.
#[derive(Debug, Default)]
pub struct Cleared {
    /// Names removed.
    pub removed: usize,
    /// The first failure: what was tried on which name. The rest was done nevertheless.
    pub failure: Option<(String, std::io::Error)>,
}

/// Overwrites the file with zeros through the open descriptor and truncates it. Repeatable.
pub fn blank(file: &File) -> std::io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let length = file.metadata()?.len().min(LARGEST);
    let mut offset = 0;
    let mut written = Ok(());
    while offset < length && written.is_ok() {
        let piece = usize::try_from(length - offset).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        written = file.write_all_at(&ZEROS[..piece], offset);
        offset += ZEROS.len() as u64;
    }
    // Also after a failure: freeing the pages is better than nothing.
    file.set_len(0).and(written)
}

/// Blanks and unlinks every name in the directory for which `mine` says yes. Goes on after a failure.
///
/// Links are removed, never followed; a folder is removed if it is empty.
pub fn clear(dir: impl AsFd, mine: impl Fn(&CStr) -> bool) -> Cleared {
    let dir = dir.as_fd();
    let mut cleared = Cleared::default();
    let names = match names(dir) {
        Ok(names) => names,
        Err(errno) => {
            return Cleared { removed: 0, failure: Some(("list the directory".to_owned(), errno.into())) };
        }
    };
    for name in names.iter().filter(|name| mine(name)) {
        let mut failed = |verb: &str, error: std::io::Error| {
            cleared.failure.get_or_insert_with(|| (format!("{verb} {}", name.to_string_lossy()), error));
        };
        // Not blocking on a pipe that somebody put here; not following a link.
        let flags =
            OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        match at_any_rate(|| openat(dir, name.as_c_str(), flags, Mode::empty())).map(File::from) {
            Ok(file) if file.metadata().is_ok_and(|meta| meta.is_file()) => {
                blank(&file).unwrap_or_else(|error| failed("overwrite", error));
            }
            // Whatever else opens or does not, such as a link or a folder, is no file of ours to overwrite.
            Err(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => failed("overwrite", errno.into()),
            _ => {}
        }
        let removed = match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR | Errno::EPERM) => unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir),
            other => other,
        };
        match removed {
            Ok(()) => cleared.removed += 1,
            Err(Errno::ENOENT) => {}
            Err(errno) => failed("remove", errno.into()),
        }
    }
    cleared
}

/// The names in the directory, in the order in which the kernel gives them.
fn names(dir: impl AsFd) -> nix::Result<Vec<CString>> {
    // Opened anew, so that the position of the kept descriptor stays out of it.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = dir.as_fd();
    let entries = at_any_rate(|| Dir::openat(dir, ".", flags, Mode::empty()))?.into_iter();
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    names.filter(|name| !matches!(name, Ok(name) if matches!(name.to_bytes(), b"." | b".."))).collect()
}

/// Opens something that a wipe needs. Where the soft limit of descriptors stands in the way, it is raised to the hard one:
/// what must be erased matters more than a limit that anybody might raise.
fn at_any_rate<T>(open: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
    match open() {
        Err(Errno::EMFILE) => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
            open()
        }
        other => other,
    }
}
