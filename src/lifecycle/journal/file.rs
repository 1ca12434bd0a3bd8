//! The journal's file. It exists while there is a record.

use super::format::{self, Read, Record};
use crate::{
    error::{Class, Error, Result},
    sink::runtime_dir::{JOURNAL, RuntimeDir},
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, openat, renameat},
    sys::stat::{Mode, SFlag, fchmod, fstat},
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::fd::AsFd,
    sync::Arc,
};

/// Where it is written before it takes its place. What a killed agent left of it is wiped with its other files.
const TEMPORARY: &str = ".journal";

/// Ours is a few kilobytes.
const LARGEST: u64 = 1 << 20;

pub(super) struct File(Arc<RuntimeDir>);

impl File {
    pub(super) fn of(directory: Arc<RuntimeDir>) -> Self {
        Self(directory)
    }

    pub(super) fn read(&self) -> Result<Read> {
        read(&self.0)
    }

    /// Replaces it as a whole, or leaves it as it was.
    pub(super) fn write(&self, records: &[Record]) -> Result<()> {
        if records.is_empty() {
            return remove(&self.0);
        }
        let text = format::write(records)?;
        let written = replace(&self.0, text.as_bytes());
        written.map_err(|error| {
            // Both may fail only for the reason that is reported anyway.
            let _ = unlinkat(&*self.0, TEMPORARY, UnlinkatFlags::NoRemoveDir);
            let full =
                matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOSPC | Errno::EDQUOT));
            let fix = if full {
                "make room on that file system, see df -h and df -i"
            } else {
                "see df and ls there"
            };
            Error::new(Class::Unavailable, "the journal could not be written, so nothing is minted")
                .why(format!("{}: {error}", path(&self.0)))
                .fix(fix)
        })
    }
}

fn replace(directory: &RuntimeDir, text: &[u8]) -> io::Result<()> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // One of an earlier failure, or another hand's.
    let _ = unlinkat(directory, TEMPORARY, UnlinkatFlags::NoRemoveDir);
    let mut file = fs::File::from(openat(directory, TEMPORARY, flags, mode)?);
    file.write_all(text)?;
    // The umask may have taken bits away.
    fchmod(&file, mode)?;
    renameat(directory, TEMPORARY, directory, JOURNAL)?;
    Ok(())
}

/// What that folder's journal says; nothing, if there is none.
pub(super) fn read(directory: &RuntimeDir) -> Result<Read> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = match openat(directory.as_fd(), JOURNAL, flags, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(Errno::ENOENT) => return Ok(Read::default()),
        Err(Errno::ELOOP) => return Err(distrusted(directory, "is a symbolic link")),
        Err(errno) => return Err(distrusted(directory, &format!("cannot be opened: {}", errno.desc()))),
    };
    if let Some(why) = foreign(&file) {
        return Err(distrusted(directory, &why));
    }
    let mut text = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut text)
        .map_err(|error| distrusted(directory, &format!("cannot be read: {error}")))?;
    format::read(&text).map_err(|error| {
        let why = error.why.as_deref().unwrap_or_default();
        Error { why: Some(format!("{}: {why}", path(directory))), ..error }
    })
}

/// Why it is not a file that we wrote.
fn foreign(file: &fs::File) -> Option<String> {
    let stat = match fstat(file) {
        Ok(stat) => stat,
        Err(errno) => return Some(format!("cannot be looked at: {}", errno.desc())),
    };
    let uid = nix::unistd::geteuid().as_raw();
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        Some("is not a file".to_owned())
    } else if stat.st_uid != uid {
        Some(format!("belongs to another user (uid {}, we are {uid})", stat.st_uid))
    } else if stat.st_mode & 0o7777 != 0o600 {
        Some(format!("has mode {:04o} instead of 0600", stat.st_mode & 0o7777))
    } else if stat.st_nlink != 1 {
        Some("has a second name (a hard link)".to_owned())
    } else if u64::try_from(stat.st_size).map_or(true, |size| size > LARGEST) {
        Some(format!("is larger than {LARGEST} bytes"))
    } else {
        None
    }
}

/// Removes that folder's journal, if there is one.
pub(super) fn remove(directory: &RuntimeDir) -> Result<()> {
    match unlinkat(directory, JOURNAL, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::new(Class::Internal, format!("could not remove {}", path(directory)))
            .why(errno.desc())
            .fix("remove it by hand; what it lists is released")),
    }
}

fn distrusted(directory: &RuntimeDir, why: &str) -> Error {
    let path = path(directory);
    Error::new(Class::TryAgain, format!("the journal {path} cannot be trusted"))
        .why(format!("it {why}; we write it as a plain file of our own, with mode 0600"))
        .fix(format!("find out who did that; what it lists may still exist at the service. Then: rm {path}"))
}

fn path(directory: &RuntimeDir) -> String {
    directory.path().join(JOURNAL).display().to_string()
}
