//! The records of what was allowed: `$XDG_STATE_HOME/apim-agent/allowed/HASH`.
//!
//! Who can write there can allow anything, so folders and records have to be ours alone; all goes through descriptors
//! that were looked at, and no link is followed. A record holds no secret: where the file lies, and what needed trust.

use super::Need;
use crate::{
    config::FILE_NAME,
    error::{Class, Error, Result},
};
use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, open, openat, renameat},
    sys::stat::{Mode, SFlag, fstat, mkdirat},
    unistd::{Uid, UnlinkatFlags, unlinkat},
};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{DirBuilder, File},
    io::{Read, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    },
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A record is a path and some settings.
const LARGEST: u64 = 1024 * 1024;
/// The folders below the one for state.
const FOLDERS: [&str; 2] = ["apim-agent", "allowed"];

/// One file as it is: a hash of where it lies and of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// That of the file at the absolute `path` with this text. Where it lies counts since its relative paths begin there.
    pub fn of(path: &Path, text: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(path.as_os_str().as_bytes());
        // No path holds this byte, so no two pairs read alike.
        hash.update(&[0]);
        hash.update(text.as_bytes());
        let hex = hash.finish().as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a text cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Self(hex)
    }
}

#[derive(Deserialize, Serialize)]
struct Record {
    /// The file.
    path: PathBuf,
    /// When it was allowed, in seconds since the Unix epoch.
    allowed_at: u64,
    /// What needed trust then, as it was shown.
    settings: BTreeMap<String, String>,
}

/// The records.
#[derive(Clone, Debug)]
pub struct Store {
    state: PathBuf,
}

impl Store {
    /// Those below the folder for state, which is created when something is allowed.
    pub fn below(state: PathBuf) -> Self {
        Self { state }
    }

    /// The folder with the records.
    pub fn folder(&self) -> PathBuf {
        FOLDERS.iter().fold(self.state.clone(), |path, name| path.join(name))
    }

    /// Whether it was allowed.
    ///
    /// # Errors
    /// `Class::Denied` when somebody else could have written the record.
    pub fn holds(&self, mark: &Mark) -> Result<bool> {
        let Some(folder) = self.open(false)? else { return Ok(false) };
        Ok(self.record(&folder, &mark.0)?.is_some())
    }

    /// What needed trust in the file at `path` when it was last allowed.
    ///
    /// # Errors
    /// As [`Store::holds`].
    pub fn last(&self, path: &Path) -> Result<Option<BTreeMap<String, String>>> {
        let Some(folder) = self.open(false)? else { return Ok(None) };
        let records = self.records(&folder, path)?;
        Ok(records.into_iter().map(|(_, record)| record).max_by_key(|r| r.allowed_at).map(|r| r.settings))
    }

    /// Allows the file at `path` as it is.
    ///
    /// # Errors
    /// As [`Store::holds`]; `Class::Internal` when it cannot be written.
    pub fn allow(&self, path: &Path, mark: &Mark, needs: &[Need], now: SystemTime) -> Result<()> {
        let folder = self.open(true)?.ok_or_else(|| self.failed("opened", Errno::ENOENT))?;
        let settings = needs.iter().map(|need| (need.key.clone(), need.words())).collect();
        let record = Record { path: path.to_owned(), allowed_at: crate::clock::unix(now), settings };
        let text = serde_json::to_string(&record).map_err(|error| {
            Error::new(Class::Config, format!("the path {} cannot be written down", path.display()))
                .why(error.to_string())
        })?;
        // Under another name first: a record is there as a whole or not at all.
        let temporary = format!(".{}.{}", mark.0, std::process::id());
        let _ = unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&folder, temporary.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|errno| self.failed("written to", errno))?;
        let mut file = File::from(file);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
            let _ = unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
            self.failed("written to", error)
        })?;
        renameat(&folder, temporary.as_str(), &folder, mark.0.as_str())
            .map_err(|errno| self.failed("written to", errno))
    }

    /// Takes back every record of the file at `path`, whatever it held then. How many there were.
    ///
    /// # Errors
    /// As [`Store::holds`]; `Class::Internal` when one cannot be removed.
    pub fn deny(&self, path: &Path) -> Result<usize> {
        let Some(folder) = self.open(false)? else { return Ok(0) };
        let records = self.records(&folder, path)?;
        for (name, _) in &records {
            unlinkat(&folder, name.as_str(), UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| self.failed("written to", errno))?;
        }
        Ok(records.len())
    }

    /// The folder; `None` where there is none and none is to be created.
    fn open(&self, create: bool) -> Result<Option<OwnedFd>> {
        if create {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.state)
                .map_err(|error| self.failed("created", error))?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut at = self.state.clone();
        let mut folder = match open(&self.state, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT | Errno::ENOTDIR) if !create => return Ok(None),
            Err(errno) => return Err(self.failed("opened", errno)),
        };
        for name in FOLDERS {
            at.push(name);
            if create {
                match mkdirat(&folder, name, Mode::S_IRWXU) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(self.failed("created", errno)),
                }
            }
            folder = match openat(&folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
                Ok(inner) => inner,
                Err(Errno::ENOENT) => return Ok(None),
                Err(errno @ (Errno::ENOTDIR | Errno::ELOOP)) => {
                    return Err(distrusted(&at, format!("it is no folder: {}", errno.desc())));
                }
                Err(errno) => return Err(self.failed("opened", errno)),
            };
            self.ours(&folder, &at)?;
        }
        Ok(Some(folder))
    }

    /// The record of that name.
    fn record(&self, folder: &OwnedFd, name: &str) -> Result<Option<Record>> {
        let path = self.folder().join(name);
        // A pipe would keep us waiting for a writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(folder, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Err(distrusted(&path, "it is a link")),
            Err(errno) => return Err(self.failed("read", errno)),
        };
        self.ours(&file, &path)?;
        let mut text = String::new();
        File::from(file)
            .take(LARGEST)
            .read_to_string(&mut text)
            .map_err(|error| self.failed("read", error))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| distrusted(&path, format!("it is no record: {error}")))
    }

    /// The records of one file.
    fn records(&self, folder: &OwnedFd, of: &Path) -> Result<Vec<(String, Record)>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing =
            Dir::openat(folder, ".", flags, Mode::empty()).map_err(|errno| self.failed("read", errno))?;
        let mut found = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(|errno| self.failed("read", errno))?;
            // What begins with a dot was never finished.
            let name = entry.file_name().to_str().ok().filter(|name| !name.starts_with('.'));
            let Some(name) = name else { continue };
            if let Some(record) = self.record(folder, name)?.filter(|record| record.path == of) {
                found.push((name.to_owned(), record));
            }
        }
        Ok(found)
    }

    /// Whether nobody but us (and root) could have written what is there.
    fn ours(&self, opened: impl AsFd, path: &Path) -> Result<()> {
        let found = fstat(opened).map_err(|errno| self.failed("looked at", errno))?;
        let (we, mode) = (Uid::effective().as_raw(), found.st_mode);
        if found.st_uid != we {
            return Err(distrusted(path, format!("it belongs to uid {}, we are {we}", found.st_uid)));
        }
        if mode & 0o077 != 0 {
            return Err(distrusted(path, format!("it is open to others (mode {:04o})", mode & 0o7777)));
        }
        let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFDIR && kind != SFlag::S_IFREG {
            return Err(distrusted(path, "it is neither a folder nor a file"));
        }
        Ok(())
    }

    fn failed(&self, verb: &str, why: impl Into<std::io::Error>) -> Error {
        let what = format!("the records of what is allowed in {} cannot be {verb}", self.folder().display());
        let fix =
            "mend it, or set XDG_STATE_HOME to a folder of yours; or name the configuration: --config FILE";
        Error::new(Class::Internal, what).why(why.into().to_string()).fix(fix)
    }
}

fn distrusted(path: &Path, why: impl Into<String>) -> Error {
    let what = format!("the record of what is allowed, {}, is not trusted", path.display());
    let path = path.display();
    Error::new(Class::Denied, what).why(why).fix(format!(
        "remove {path}, since others may have been there, and run apim-agent allow again; or name the configuration: \
         --config {FILE_NAME}"
    ))
}

#[cfg(test)]
mod tests;
