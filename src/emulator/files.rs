//! The emulator's files: for its own user only, in RAM where there is some, gone when it stops.

use crate::error::{Class, Error, Result};
use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const PREFIX: &str = "apim-emulator-";

/// A folder of our own, removed with all its files when this is dropped.
pub(super) struct Folder {
    path: PathBuf,
    /// Locked for as long as we live, so that the next emulator can tell what a killed one left.
    _lock: fs::File,
}

impl Folder {
    /// Makes a folder `apim-emulator-…` (0700) below `parent`, or below the first usable one of the runtime
    /// directory, `/dev/shm` and the temporary folder.
    pub(super) fn make(parent: Option<&Path>) -> Result<Self> {
        let parents = match parent {
            Some(parent) => vec![parent.to_owned()],
            None => usual_parents(),
        };
        let mut tried = Vec::new();
        for parent in parents {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|error| cannot("make a folder", &parent, &error))?;
            let path = parent.join(format!("{PREFIX}{:016x}", u64::from_be_bytes(random)));
            match create(&path) {
                Ok(lock) => {
                    sweep(&parent);
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) => tried.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(Error::new(Class::Internal, "Cannot make a folder for the emulator's files")
            .why(tried.join("; "))
            .fix("Name a folder that you may write to"))
    }

    /// Where a file of that name is.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes such a file, whole or not at all.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.file(name);
        replace(&path, content)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.path.display(), %error, "cannot remove the emulator's files");
            }
            _ => {}
        }
    }
}

/// Fails where the name exists already, be it a link or another's folder.
fn create(path: &Path) -> io::Result<fs::File> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    let lock = fs::File::open(path)?;
    lock.try_lock()?;
    Ok(lock)
}

/// Removes what killed emulators of this user left: folders that nobody holds locked. One without a file in it may be
/// about to be locked.
fn sweep(parent: &Path) {
    let ours = nix::unistd::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(parent) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let named =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        let is_ours = || fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == ours);
        let used = || fs::read_dir(&path).is_ok_and(|mut files| files.next().is_some());
        if named && is_ours() && used() && fs::File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok())
        {
            // Another emulator may be sweeping too.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Puts a file (0600) in the place of `path` by one rename, so that a reader sees the old content or the new one.
pub(super) fn replace(path: &Path, content: &str) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let write = || {
        // `create_new` follows no link that somebody put there.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?
            .write_all(content.as_bytes())?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // Best effort: the failure itself is what counts.
        let _ = fs::remove_file(&beside);
        cannot("write", path, &error)
    })
}

fn usual_parents() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    runtime.into_iter().chain([PathBuf::from("/dev/shm"), std::env::temp_dir()]).collect()
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(Class::Internal, format!("The emulator cannot {what} {}", path.display()))
        .why(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(Some(parent.path())).unwrap();
        let path = folder.write("a", "one").unwrap();
        folder.write("a", "two").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing but the file itself");
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_next_one_removes_what_a_killed_one_left_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Folder::make(Some(parent.path())).unwrap();
        alive.write("ca.pem", "alive").unwrap();
        let [dead, starting, foreign] =
            ["apim-emulator-dead", "apim-emulator-starting", "other"].map(|name| {
                let path = parent.path().join(name);
                fs::create_dir(&path).unwrap();
                path
            });
        for path in [&dead, &foreign] {
            fs::write(path.join("ca.pem"), "left").unwrap();
        }
        let _next = Folder::make(Some(parent.path())).unwrap();
        assert!(!dead.exists());
        assert!(starting.exists() && foreign.exists() && alive.file("ca.pem").exists());
    }

    #[test]
    fn no_folder_says_what_was_tried() {
        let error = Folder::make(Some(Path::new("/nonexistent/place"))).err().unwrap();
        assert!(error.to_string().contains("/nonexistent/place"), "{error}");
    }
}
