//! Writes, checks and wipes the env file, and the files beside it.

use super::{
    Item, Set, Sink,
    env_file::{Content, Format, render},
    erase::{blank, clear},
    layout::lay_out,
    runtime_dir::RuntimeDir,
};
use crate::{
    error::{Class, Error, Result},
    secret::Secret,
};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat},
    unistd::{UnlinkatFlags, unlinkat},
};
use ring::digest::{Digest, SHA256, digest};
use std::{collections::BTreeMap, ffi::CStr, fs::File, io::Write, path::PathBuf, sync::Arc};

/// The env file's name in the runtime directory.
pub const ENV: &str = "env";

/// Names of files that are being written begin so.
const TEMPORARY: &str = ".env.";

/// Publishes sets as the env file of a [`RuntimeDir`], with a file of its own for each value that no variable can hold.
/// Those get their names first, so that a reader of the env file finds what it names. Files that belong together are
/// renamed one right after the other: a reader who comes in between reads again, as it does when a handshake fails.
///
/// A reader sees the old file or the new one, whole. The old one is *not* overwritten at a change: whoever has it open
/// at that moment would read zeros; its page is freed when the last reader closes it, and its values are about to end at
/// the gateway anyway. It is overwritten when another hand has given it a second name, and the last one is at the wipe.
pub struct EnvFile {
    dir: Arc<RuntimeDir>,
    gateway_url: String,
    /// Variables that are no credentials: the URLs of further gateways.
    others: Vec<(String, String)>,
    published: BTreeMap<String, Published>,
}

/// A file as we wrote it last: its descriptor is how it is wiped whatever happens to its name.
struct Published {
    file: File,
    seal: Seal,
    content: Digest,
}

/// A file that has been written and does not have its name yet.
struct Staged {
    name: String,
    temporary: String,
    published: Published,
}

/// What `stat` says of a file that nobody has touched.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
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
    /// Publishes into `dir`, with `gateway_url` (without a trailing slash) and the `others` in every env file.
    pub fn new(dir: Arc<RuntimeDir>, gateway_url: String, others: Vec<(String, String)>) -> Self {
        Self { dir, gateway_url, others, published: BTreeMap::new() }
    }

    /// The file's path, for people.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(ENV)
    }

    /// Puts files with these contents there, except those that stand there as we wrote them. All are written under other
    /// names first and renamed then: a certificate and its key change together, and a full file system changes neither.
    fn put(&mut self, contents: &[(&str, &[u8])]) -> Result<()> {
        let mut staged = Vec::new();
        for (name, text) in contents {
            if self.stands(name, text) {
                continue;
            }
            match self.stage(name, text, File::write_all) {
                Ok(one) => staged.push(one),
                Err(error) => {
                    self.discard(&staged);
                    return Err(error);
                }
            }
        }
        let mut staged = staged.into_iter();
        while let Some(one) = staged.next() {
            if let Err(error) = self.rename(&one) {
                self.discard(staged.as_slice());
                self.discard(&[one]);
                return Err(error);
            }
            if let Some(before) = self.published.insert(one.name, one.published) {
                before.forget()?;
            }
        }
        Ok(())
    }

    /// Whether a file with this content stands there as we wrote it.
    fn stands(&self, name: &str, text: &[u8]) -> bool {
        let same = |there: &Published| there.content.as_ref() == digest(&SHA256, text).as_ref();
        self.published.get(name).is_some_and(same) && self.inspect(name).is_ok()
    }

    /// Removes what the set that is published now does not name.
    fn tidy(&mut self, kept: &[String]) -> Result<()> {
        let obsolete: Vec<_> =
            self.published.keys().filter(|name| *name != ENV && !kept.contains(name)).cloned().collect();
        for name in obsolete {
            let failed = |error: std::io::Error| {
                Error::new(Class::Unavailable, format!("the former file {name} could not be wiped"))
                    .why(error.to_string())
            };
            if let Some(former) = self.published.get(&name) {
                blank(&former.file).map_err(failed)?;
            }
            match unlinkat(&*self.dir, name.as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
            self.published.remove(&name);
        }
        Ok(())
    }

    /// Writes `text` under another name. `write` does the writing, so that a test can fail it.
    fn stage(
        &self,
        name: &str,
        text: &[u8],
        write: impl FnOnce(&mut File, &[u8]) -> std::io::Result<()>,
    ) -> Result<Staged> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            Error::new(Class::Internal, "the system's random source failed").why(error.to_string())
        })?;
        let temporary = format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random));
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(&*self.dir, temporary.as_str(), flags, mode)
            .map_err(|errno| self.unwritten(name, &errno.into()))?;
        let mut file = File::from(file);
        let written = write(&mut file, text)
            // The umask may have taken bits away.
            .and_then(|()| Ok(fchmod(&file, mode)?))
            // No fsync: there is no disk below a tmpfs, and the page cache is all there is.
            .and_then(|()| Ok(fstat(&file)?));
        let (seal, failure) = match written {
            Ok(stat) => (Seal::of(&stat), None),
            Err(error) => (Seal::default(), Some(self.unwritten(name, &error))),
        };
        let published = Published { file, seal, content: digest(&SHA256, text) };
        let staged = Staged { name: name.to_owned(), temporary, published };
        match failure {
            None => Ok(staged),
            Some(error) => {
                self.discard(&[staged]);
                Err(error)
            }
        }
    }

    /// Gives it its name.
    fn rename(&self, staged: &Staged) -> Result<()> {
        self.make_way(&staged.name);
        renameat(&*self.dir, staged.temporary.as_str(), &*self.dir, staged.name.as_str())
            .map_err(|errno| self.unwritten(&staged.name, &errno.into()))
    }

    /// Leaves nothing of files that did not get their names. Both steps may fail only for the reason that is reported
    /// already, and the next wipe tries again.
    fn discard(&self, staged: &[Staged]) {
        for one in staged {
            let _ = blank(&one.published.file);
            let _ = unlinkat(&*self.dir, one.temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }

    /// A rename replaces a file or a link, but not a folder: an empty one that another hand put here goes first. What
    /// cannot be removed is reported by the rename.
    fn make_way(&self, name: &str) {
        let _ = unlinkat(&*self.dir, name, UnlinkatFlags::RemoveDir);
    }

    /// Worth a retry, all of it: space comes back when somebody deletes something, and what stood before still stands.
    fn unwritten(&self, name: &str, error: &std::io::Error) -> Error {
        let what = format!("{} could not be written", self.called(name));
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

    /// `the env file PATH`.
    fn called(&self, name: &str) -> String {
        let kind = if name == ENV { "the env file" } else { "the file" };
        format!("{kind} {}", self.dir.path().join(name).display())
    }

    fn disturbed(&self, name: &str, how: &str) -> Error {
        Error::new(Class::Unavailable, format!("{} {how}", self.called(name)))
            .why("another process of this user, or root, did that")
            .fix("it is written anew; find out who did that")
    }
}

impl EnvFile {
    /// Whether that file stands as we wrote it.
    fn inspect(&self, name: &str) -> Result<()> {
        let Some(published) = self.published.get(name) else { return Ok(()) };
        let stat = match fstatat(&*self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Err(self.disturbed(name, "has been removed")),
            Err(errno) => {
                return Err(self.disturbed(name, &format!("cannot be looked at ({})", errno.desc())));
            }
        };
        match found(&stat, published.seal, nix::unistd::geteuid().as_raw()) {
            None => Ok(()),
            Some(how) => Err(self.disturbed(name, &how)),
        }
    }
}

impl Published {
    /// Another one has taken its name. If it lives on under a name that we did not give it, its content does not.
    fn forget(self) -> Result<()> {
        if fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0) {
            blank(&self.file).map_err(|error| {
                Error::new(Class::Unavailable, "a copy of a former file could not be wiped")
                    .why(error.to_string())
            })?;
        }
        Ok(())
    }
}

impl Sink for EnvFile {
    fn publish(&mut self, set: &Set<'_>) -> Result<()> {
        let layout = lay_out(self.dir.path(), &set.items);
        let variables = self.variables(&set.items);
        let values: Vec<_> = variables.iter().map(|(name, text)| (name.as_str(), text)).collect();
        let text = render(
            Format::File,
            &Content {
                gateway_url: &self.gateway_url,
                generation: set.generation,
                expires_at: set.expires_at,
                values: &values,
                missing: &set.missing,
            },
        )?;
        let files = layout.files.iter().map(|(name, content)| (name.as_str(), content.expose().as_bytes()));
        // Last, so that whatever it names is there.
        let contents: Vec<_> = files.chain([(ENV, text.as_slice())]).collect();
        self.put(&contents)?;
        let kept: Vec<_> = layout.files.into_iter().map(|(name, _)| name).collect();
        self.tidy(&kept)
    }

    fn variables(&self, items: &[Item<'_>]) -> Vec<(String, Secret)> {
        let others = self.others.iter().map(|(name, text)| (name.clone(), Secret::new(text.clone())));
        others.chain(lay_out(self.dir.path(), items).variables).collect()
    }

    fn wipe(&mut self) -> Result<()> {
        let blanked = self.published.values().try_for_each(|published| blank(&published.file));
        let mine = |name: &CStr| {
            let name = name.to_bytes();
            name == ENV.as_bytes()
                || name.starts_with(TEMPORARY.as_bytes())
                || self.published.keys().any(|known| known.as_bytes() == name)
        };
        let failure = match (blanked, clear(&*self.dir, mine).failure) {
            (Ok(()), None) => {
                self.published.clear();
                return Ok(());
            }
            (Err(error), _) => format!("could not overwrite it: {error}"),
            (Ok(()), Some((what, error))) => format!("could not {what}: {error}"),
        };
        Err(Error::new(Class::Internal, format!("{} was not wiped", self.called(ENV)))
            .why(failure)
            .fix(format!("remove it by hand: rm -r {}", self.dir.path().display())))
    }

    fn check(&self) -> Result<()> {
        if self.published.is_empty() {
            return Ok(());
        }
        if !self.dir.stands() {
            let how = "lies in a folder that another hand has moved, removed or replaced";
            return Err(self.disturbed(ENV, how));
        }
        self.published.keys().try_for_each(|name| self.inspect(name))
    }

    fn readdress(&mut self, gateway_url: &str, others: Vec<(String, String)>) {
        gateway_url.clone_into(&mut self.gateway_url);
        self.others = others;
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

#[cfg(test)]
mod tests;
