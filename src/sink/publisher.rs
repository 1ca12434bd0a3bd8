//! Writes, checks and wipes the env file.

use super::{
    env_file::{Content, Format, render},
    erase::{blank, clear},
    runtime_dir::RuntimeDir,
};
use crate::{
    error::{Class, Error, Result},
    sink::{Set, Sink},
};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat},
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{ffi::CStr, fs::File, io::Write, path::PathBuf, sync::Arc};

/// The env file's name in the runtime directory.
pub const ENV: &str = "env";

/// Names of files that are being written begin so.
const TEMPORARY: &str = ".env.";

/// Publishes sets as the env file of a [`RuntimeDir`].
///
/// A reader sees the old file or the new one, whole. The old one is *not* overwritten at a change: whoever has it open
/// at that moment would read zeros; its page is freed when the last reader closes it, and its values are about to end at
/// the gateway anyway. It is overwritten when another hand has given it a second name, and the last one is at the wipe.
pub struct EnvFile {
    dir: Arc<RuntimeDir>,
    gateway_url: String,
    published: Option<Published>,
}

/// The file that we wrote last: its descriptor is how it is wiped whatever happens to its name.
struct Published {
    file: File,
    seal: Seal,
}

/// What `stat` says of a file that nobody has touched.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seal {
    inode: (u64, u64),
    length: i64,
    modified: (i64, i64),
}

impl Seal {
    fn of(stat: &FileStat) -> Self {
        Self {
            inode: (stat.st_dev, stat.st_ino),
            length: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

impl EnvFile {
    /// Publishes into `dir`, with `gateway_url` (without a trailing slash) in every file.
    pub fn new(dir: Arc<RuntimeDir>, gateway_url: String) -> Self {
        Self { dir, gateway_url, published: None }
    }

    /// The file's path, for people.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(ENV)
    }

    /// Writes `text` under another name and renames it into place. `write` does the writing, so that a test can fail it.
    fn replace(
        &self,
        text: &[u8],
        write: impl FnOnce(&mut File, &[u8]) -> std::io::Result<()>,
    ) -> Result<Published> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            Error::new(Class::Internal, "the system's random source failed").why(error.to_string())
        })?;
        let temporary = format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random));
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(&*self.dir, temporary.as_str(), flags, mode)
            .map_err(|errno| self.unwritten(&errno.into()))?;
        let mut file = File::from(file);
        let written = write(&mut file, text)
            // The umask may have taken bits away.
            .and_then(|()| Ok(fchmod(&file, mode)?))
            // No fsync: there is no disk below a tmpfs, and the page cache is all there is.
            .and_then(|()| Ok(fstat(&file)?))
            .and_then(|stat| {
                self.make_way();
                renameat(&*self.dir, temporary.as_str(), &*self.dir, ENV)?;
                Ok(Seal::of(&stat))
            });
        match written {
            Ok(seal) => Ok(Published { file, seal }),
            Err(error) => {
                // Both may fail only for the reason that is reported already.
                let _ = blank(&file);
                let _ = unlinkat(&*self.dir, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
                Err(self.unwritten(&error))
            }
        }
    }

    /// A rename replaces a file or a link, but not a folder: an empty one that another hand put here goes first. What
    /// cannot be removed is reported by the rename.
    fn make_way(&self) {
        let _ = unlinkat(&*self.dir, ENV, UnlinkatFlags::RemoveDir);
    }

    /// Worth a retry, all of it: space comes back when somebody deletes something, and what stood before still stands.
    fn unwritten(&self, error: &std::io::Error) -> Error {
        let what = format!("the env file {} could not be written", self.path().display());
        let fix = match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::ENOSPC | Errno::EDQUOT => {
                "make room on that file system, see df -h and df -i; the agent tries again"
            }
            Errno::ENOENT => "its folder has been removed: stop the agent and start it again",
            Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST => {
                "remove the folder of that name; the agent tries again"
            }
            _ => "the agent tries again; `apim-agent status` shows how that goes",
        };
        Error::new(Class::Unavailable, what).why(error.to_string()).fix(fix)
    }

    fn disturbed(&self, how: &str) -> Error {
        Error::new(Class::Unavailable, format!("the env file {} {how}", self.path().display()))
            .why("another process of this user, or root, did that")
            .fix("it is written anew; find out who did that")
    }
}

impl Sink for EnvFile {
    fn publish(&mut self, set: &Set<'_>) -> Result<()> {
        let text = render(
            Format::File,
            &Content {
                gateway_url: &self.gateway_url,
                generation: set.generation,
                expires_at: set.expires_at,
                values: &set.values,
            },
        )?;
        let fresh = self.replace(&text, File::write_all)?;
        let before = self.published.replace(fresh);
        if let Some(before) = before
            && fstat(&before.file).is_ok_and(|stat| stat.st_nlink > 0)
        {
            // It lives on under a name that we did not give it.
            blank(&before.file).map_err(|error| {
                Error::new(Class::Unavailable, "a copy of the former env file could not be wiped")
                    .why(error.to_string())
            })?;
        }
        Ok(())
    }

    fn wipe(&mut self) -> Result<()> {
        let blanked = self.published.as_ref().map_or(Ok(()), |published| blank(&published.file));
        let mine = |name: &CStr| {
            name.to_bytes() == ENV.as_bytes() || name.to_bytes().starts_with(TEMPORARY.as_bytes())
        };
        let failure = match (blanked, clear(&*self.dir, mine).failure) {
            (Ok(()), None) => {
                self.published = None;
                return Ok(());
            }
            (Err(error), _) => format!("could not overwrite it: {error}"),
            (Ok(()), Some((what, error))) => format!("could not {what}: {error}"),
        };
        Err(Error::new(Class::Internal, format!("the env file {} was not wiped", self.path().display()))
            .why(failure)
            .fix(format!("remove it by hand: rm -r {}", self.dir.path().display())))
    }

    fn check(&self) -> Result<()> {
        let Some(published) = &self.published else { return Ok(()) };
        if !self.dir.stands() {
            return Err(self.disturbed("lies in a folder that another hand has moved, removed or replaced"));
        }
        let stat = match fstatat(&*self.dir, ENV, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Err(self.disturbed("has been removed")),
            Err(errno) => return Err(self.disturbed(&format!("cannot be looked at ({})", errno.desc()))),
        };
        match found(&stat, published.seal, nix::unistd::geteuid().as_raw()) {
            None => Ok(()),
            Some(how) => Err(self.disturbed(&how)),
        }
    }
}

/// What another hand did to the file, if anything. Pure.
fn found(stat: &FileStat, seal: Seal, uid: u32) -> Option<String> {
    let kind = stat.st_mode & SFlag::S_IFMT.bits();
    let seen = Seal::of(stat);
    if kind == SFlag::S_IFLNK.bits() {
        Some("has been replaced by a symbolic link".to_owned())
    } else if kind != SFlag::S_IFREG.bits() {
        Some("has been replaced by something that is not a file".to_owned())
    } else if seen.inode != seal.inode {
        Some("has been replaced by another file".to_owned())
    } else if stat.st_uid != uid {
        Some(format!("has been given to another user (uid {})", stat.st_uid))
    } else if stat.st_mode & 0o7777 != 0o600 {
        Some(format!("has got mode {:04o} instead of 0600", stat.st_mode & 0o7777))
    } else if stat.st_nlink != 1 {
        Some("has got a second name (a hard link)".to_owned())
    } else if seen != seal {
        Some("has been modified".to_owned())
    } else {
        None
    }
}
