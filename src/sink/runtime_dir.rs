//! Takes a folder in RAM for one workspace: proves it, locks it, clears what a killed agent left, removes it at the end.
//!
//! ```text
//! BASE                 trusted, or our own with mode 0700; in RAM
//! └── WORKSPACE-hash   ours, 0700, in RAM, flock held while the agent lives
//!     ├── env          what is published
//!     ├── control      the agent's socket
//!     └── journal      what has been minted and not released: the one file that is never wiped with the others
//! ```
//! Once opened, everything goes through the kept descriptors; the path is for people to read.

mod lock;
mod refused;

use super::{
    candidates::{Candidate, candidates, folder_name, hideouts},
    erase::{Cleared, clear},
    walk::{Me, Miss, Missing, Refusal, enter, open_trusted, prove_private, prove_ram, stat, vouch},
};
use crate::error::{Class, Error, Result};
use lock::{control_address, listener, lock};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, Flock, FlockArg, OFlag},
    sys::stat::{FileStat, fstat, fstatat},
    unistd::{Uid, UnlinkatFlags, unlinkat},
};
use refused::{none_fits, unfit};
use std::{
    ffi::{CStr, OsStr, OsString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The control socket's name in the folder.
pub const CONTROL: &str = "control";

/// The journal's name in the folder. It holds no secret, and whoever removes it forgets what is to be released: that is
/// the journal's own business, and nobody else's.
pub const JOURNAL: &str = "journal";

/// An ending agent may remove folders under our hands; so often we begin again.
const ATTEMPTS: usize = 16;

/// One workspace's folder in RAM.
pub struct RuntimeDir {
    base: Base,
    name: OsString,
    path: PathBuf,
    hold: Hold,
    leftovers: Vec<Leftover>,
    inherited: Vec<Self>,
}

/// What an agent that was killed left behind; it has been wiped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The folder.
    pub path: PathBuf,
    /// How many files were in it.
    pub files: usize,
}

struct Base {
    parent: OwnedFd,
    name: OsString,
    fd: OwnedFd,
    path: PathBuf,
    me: Me,
    /// Removed with the last workspace in it.
    removable: bool,
}

enum Hold {
    /// The agent: the lock is held until this is dropped.
    Locked(Flock<OwnedFd>),
    /// Somebody who looks.
    Seen(OwnedFd),
}

impl RuntimeDir {
    /// Takes the folder for `workspace`, creating what is missing, in the first place that is good enough: `wanted` as
    /// the only one, or else the [default order](candidates()).
    ///
    /// What a killed agent left in any of these places is wiped first, see [`RuntimeDir::leftovers`].
    ///
    /// Errors: [`Class::Config`] when no place will do, with each place, what is wrong with it and the line that would
    /// mend it; [`Class::TryAgain`] when an agent for the workspace already runs. An agent in a place that was given
    /// explicitly and one in the default order do not see each other. With a time to retry after when nobody answers for
    /// the lock: then a killed agent is being cleaned up after, which ends by itself.
    pub fn open(wanted: Option<&Path>, xdg_runtime_dir: Option<&Path>, workspace: &str) -> Result<Self> {
        let uid = Uid::effective().as_raw();
        let absolute = wanted.map(absolute).transpose()?;
        let wanted = absolute.as_deref();
        let name = OsString::from(folder_name(workspace));
        let (mut leftovers, mut inherited) = (Vec::new(), Vec::new());
        for place in hideouts(wanted, xdg_runtime_dir, uid) {
            let (leftover, kept) = sweep(&place, &name, workspace)?;
            leftovers.extend(leftover);
            inherited.extend(kept);
        }
        let mut refusals = Vec::new();
        for place in candidates(wanted, xdg_runtime_dir, uid) {
            // It stays locked since it was swept.
            if let Some(at) = inherited.iter().position(|kept: &Self| kept.base.path == place.base) {
                let kept = inherited.swap_remove(at);
                return Ok(Self { leftovers, inherited, ..kept });
            }
            match take(&place, &name, workspace) {
                Ok((base, path, lock)) => {
                    return Ok(Self { base, name, path, hold: Hold::Locked(lock), leftovers, inherited });
                }
                Err(Untaken::Refused(refusal)) => match wanted {
                    Some(wanted) => return Err(unfit(wanted, refusal)),
                    None => refusals.push(refusal),
                },
                Err(Untaken::Failed(error)) => return Err(error),
            }
        }
        Err(none_fits(&refusals, uid))
    }

    /// The folder of a running agent, or of one that was killed; creates and changes nothing. `None` when there is none.
    ///
    /// Errors: [`Class::Config`] when `wanted` is there and not good enough. In the default order such a place is passed
    /// over: an agent would not have taken it either.
    pub fn find(
        wanted: Option<&Path>,
        xdg_runtime_dir: Option<&Path>,
        workspace: &str,
    ) -> Result<Option<Self>> {
        let absolute = wanted.map(absolute).transpose()?;
        let wanted = absolute.as_deref();
        let name = OsString::from(folder_name(workspace));
        for place in hideouts(wanted, xdg_runtime_dir, Uid::effective().as_raw()) {
            match open_folder(&place, &name, Missing::Leave) {
                Ok((base, path, fd)) => {
                    let hold = Hold::Seen(fd);
                    return Ok(Some(Self {
                        base,
                        name,
                        path,
                        hold,
                        leftovers: Vec::new(),
                        inherited: Vec::new(),
                    }));
                }
                Err(Miss::Refused(refusal)) => {
                    if let Some(wanted) = wanted {
                        return Err(unfit(wanted, refusal));
                    }
                }
                Err(Miss::Absent) => {}
            }
        }
        Ok(None)
    }

    /// The folder at `path` as another process holds it, by a descriptor that it has shared with us, lock included: it is
    /// ours together, until either lets go of it on purpose or both are gone. `removable` is what [`RuntimeDir::removable`]
    /// says there.
    ///
    /// Errors: [`Class::Internal`] when the path does not lead to that folder any more.
    pub fn inherit(fd: OwnedFd, path: &Path, removable: bool) -> Result<Self> {
        let lost = || {
            Error::new(
                Class::Internal,
                format!("the runtime directory is not at {} any more", path.display()),
            )
            .why("another hand has moved, removed or replaced it")
        };
        let (Some(base), Some(name)) = (path.parent(), path.file_name()) else { return Err(lost()) };
        let place = Candidate { base: base.to_owned(), own: removable };
        let base = Base::open(&place, Missing::Leave).map_err(|_| lost())?;
        // The lock belongs to what was opened, not to the process: this finds it held by ourselves.
        let lock = Flock::lock(fd, FlockArg::LockExclusiveNonblock).map_err(|_| lost())?;
        let (name, path) = (name.to_owned(), path.to_owned());
        let hold = Hold::Locked(lock);
        Ok(Self { base, name, path, hold, leftovers: Vec::new(), inherited: Vec::new() })
    }

    /// Whether the base folder is removed with the last workspace in it.
    pub fn removable(&self) -> bool {
        self.base.removable
    }

    /// Where it is, for people and for `. PATH`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What killed agents left, wiped when this was opened.
    pub fn leftovers(&self) -> &[Leftover] {
        &self.leftovers
    }

    /// What killed agents of this workspace left in other places, because a journal is in it. Locked as this one is.
    pub fn inherited(&self) -> &[Self] {
        &self.inherited
    }

    /// The process that listens at the control socket, if one does.
    pub fn holder(&self) -> Option<i32> {
        listener(self.as_fd())
    }

    /// The control socket's address through our descriptor. Unlike the path it fits into the 108 bytes of an address,
    /// and no other hand can have it lead elsewhere.
    pub fn control_address(&self) -> PathBuf {
        control_address(self.as_fd())
    }

    /// Whether [`RuntimeDir::path`] still leads to the folder that we hold.
    pub fn stands(&self) -> bool {
        same(fstat(self.as_fd()), entry(&self.base, &self.name))
    }

    /// Wipes every file but the [`JOURNAL`]; how many there were.
    pub fn clear(&self) -> Result<usize> {
        wipe(self, &self.path)
    }

    /// Wipes and removes all that is ours: the files, the folder, and the base folder unless others are in it or a
    /// person had made it. A [`JOURNAL`] that is there stays, and the folder with it. Repeatable.
    pub fn remove(&self) -> Result<()> {
        self.clear()?;
        if self.stands() {
            remove_folder(&self.base, &self.name).map_err(|errno| cannot("remove", &self.path, errno))?;
        }
        Ok(())
    }
}

impl AsFd for RuntimeDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.hold {
            Hold::Locked(fd) => fd.as_fd(),
            Hold::Seen(fd) => fd.as_fd(),
        }
    }
}

impl Base {
    fn open(place: &Candidate, missing: Missing) -> Result<Self, Miss> {
        let path = place.base.clone();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().map(OsStr::to_owned)) else {
            return Err(Miss::refused(&path, "is not a folder that could be used", None));
        };
        let (parent, me) = open_trusted(parent)?;
        let (fd, created) = enter(&parent, &name, &path, OFlag::O_PATH, missing)?;
        vouch(&fd, &path, me)?;
        // A sticky folder under our name is a mount made for several users; ours must not be open to others otherwise.
        let found = stat(&fd, &path)?;
        let sticky = found.st_mode & nix::sys::stat::Mode::S_ISVTX.bits() != 0;
        if place.own && found.st_uid == me.uid && !sticky {
            prove_private(&fd, &path, me)?;
        }
        prove_ram(&fd, &path)?;
        Ok(Self { parent, name, fd, path, me, removable: place.own || created })
    }

    /// Others may be in it, it may be a mount point, or its parent not ours to write: then it stays, which is right.
    fn remove_if_empty(&self) {
        if self.removable && same(fstat(&self.fd), fstatat(&self.parent, self.name.as_os_str(), NOFOLLOW)) {
            let _ = unlinkat(&self.parent, self.name.as_os_str(), UnlinkatFlags::RemoveDir);
        }
    }
}

/// Wipes what is in a runtime directory that another process held, by its descriptor alone; how many files there were.
pub fn wipe(directory: impl AsFd, path: &Path) -> Result<usize> {
    report(path, clear(directory, is_wiped))
}

/// All but the journal.
fn is_wiped(name: &CStr) -> bool {
    name.to_bytes() != JOURNAL.as_bytes()
}

/// Removes the wiped folder, and its base with it; whether it is gone, and not kept by a journal.
fn remove_folder(base: &Base, name: &OsStr) -> nix::Result<bool> {
    match unlinkat(&base.fd, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => base.remove_if_empty(),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => return Ok(false),
        Err(errno) => return Err(errno),
    }
    Ok(true)
}

const NOFOLLOW: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW;

fn entry(base: &Base, name: &OsStr) -> nix::Result<FileStat> {
    fstatat(&base.fd, name, NOFOLLOW)
}

fn same(one: nix::Result<FileStat>, other: nix::Result<FileStat>) -> bool {
    matches!((one, other), (Ok(one), Ok(other)) if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// `~/x/..` and the like would step around the checks; a relative path is taken from the (physical) current directory.
fn absolute(wanted: &Path) -> Result<PathBuf> {
    std::path::absolute(wanted).map_err(|error| {
        Error::new(Class::Config, format!("the runtime directory {} cannot be used", wanted.display()))
            .why(error.to_string())
            .fix("give an absolute path, such as /dev/shm")
    })
}

fn open_folder(place: &Candidate, name: &OsStr, missing: Missing) -> Result<(Base, PathBuf, OwnedFd), Miss> {
    let base = Base::open(place, missing)?;
    let path = base.path.join(name);
    let (fd, _) = enter(&base.fd, name, &path, OFlag::O_RDONLY, missing)?;
    prove_private(&fd, &path, base.me)?;
    prove_ram(&fd, &path)?;
    Ok((base, path, fd))
}

enum Untaken {
    Refused(Refusal),
    Failed(Error),
}

/// Opens or creates the folder and locks it.
fn take(
    place: &Candidate,
    name: &OsStr,
    workspace: &str,
) -> Result<(Base, PathBuf, Flock<OwnedFd>), Untaken> {
    for _ in 0..ATTEMPTS {
        let (base, path, fd) = match open_folder(place, name, Missing::Create) {
            Ok(opened) => opened,
            Err(Miss::Refused(refusal)) => return Err(Untaken::Refused(refusal)),
            // Removed between two steps by an agent that ended; or its parent is not there at all.
            Err(Miss::Absent) => continue,
        };
        let lock = lock(fd, &path, workspace).map_err(Untaken::Failed)?;
        // The agent that held the lock before may have removed the folder while we waited for nothing but the call.
        if same(fstat(&*lock), entry(&base, name)) {
            return Ok((base, path, lock));
        }
    }
    let parent = place.base.parent().unwrap_or(&place.base).display();
    let why = format!("cannot be created: {parent} is not there");
    Err(Untaken::Refused(Refusal { place: place.base.clone(), why, fix: None }))
}

/// Wipes what a killed agent left in this place, and removes it; a folder that a journal keeps stays locked. An agent that
/// runs there is an error.
fn sweep(place: &Candidate, name: &OsStr, workspace: &str) -> Result<(Option<Leftover>, Option<RuntimeDir>)> {
    // What is absent or not good enough holds nothing of ours; `take` will say so where it matters.
    let Ok((base, path, fd)) = open_folder(place, name, Missing::Leave) else { return Ok((None, None)) };
    let lock = lock(fd, &path, workspace)?;
    let files = report(&path, clear(&*lock, is_wiped))?;
    let leftover = (files > 0).then(|| Leftover { path: path.clone(), files });
    let stands = same(fstat(&*lock), entry(&base, name));
    if !stands || remove_folder(&base, name).map_err(|errno| cannot("remove", &path, errno))? {
        return Ok((leftover, None));
    }
    let (name, hold) = (name.to_owned(), Hold::Locked(lock));
    let kept = RuntimeDir { base, name, path, hold, leftovers: Vec::new(), inherited: Vec::new() };
    Ok((leftover, Some(kept)))
}

fn report(path: &Path, cleared: Cleared) -> Result<usize> {
    match cleared.failure {
        None => Ok(cleared.removed),
        Some((what, error)) => {
            Err(Error::new(Class::Internal, format!("could not {what} in {}", path.display()))
                .why(error.to_string())
                .fix(format!("remove it by hand: rm -r {}", path.display())))
        }
    }
}

fn cannot(verb: &str, path: &Path, errno: Errno) -> Error {
    Error::new(Class::Internal, format!("could not {verb} {}", path.display())).why(errno.desc())
}
