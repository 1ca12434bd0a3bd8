//! Opens a place step by step without following links, and proves on the opened descriptor what it is.
//!
//! A path is only a hint: whoever may write to a folder on the way can swap what it names. So each step is opened
//! relative to the one before with `O_NOFOLLOW`, each folder on the way is looked at for who could swap the next one,
//! and everything after that goes through the descriptor.

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::{
        stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat},
        statfs::{FsType, TMPFS_MAGIC, fstatfs},
    },
    unistd::Uid,
};
use std::{
    ffi::OsStr,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

/// Not in nix; from the kernel's `include/uapi/linux/magic.h`.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Why a place is not taken, and the line that would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which folder.
    pub place: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// What to do about it, where something can be done.
    pub fix: Option<String>,
}

/// Why a place was not opened.
#[derive(Debug)]
pub enum Miss {
    /// It is not there, and was not to be created.
    Absent,
    /// It is there or could be, and is not good enough.
    Refused(Refusal),
}

impl Miss {
    pub(super) fn refused(place: &Path, why: impl Into<String>, fix: Option<String>) -> Self {
        Self::Refused(Refusal { place: place.to_owned(), why: why.into(), fix })
    }

    fn errno(place: &Path, verb: &str, errno: Errno) -> Self {
        Self::refused(place, format!("cannot be {verb}: {}", errno.desc()), None)
    }
}

/// Whether folders are created where they are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// With mode 0700.
    Create,
    /// Nothing is touched.
    Leave,
}

/// Who we are: effective ids, and who owns `/`.
///
/// The owner of `/` is trusted like root: in a user namespace root itself may appear under another number, and whoever
/// owns `/` can do anything anyway.
#[derive(Clone, Copy, Debug)]
pub struct Me {
    pub(super) uid: u32,
    pub(super) root: u32,
}

impl Me {
    pub(super) fn new(root: &FileStat) -> Self {
        Self { uid: Uid::effective().as_raw(), root: root.st_uid }
    }
}

/// Opens the folder at the absolute `path` from `/` downwards. Every folder on the way must be [trustworthy](distrust).
pub fn open_trusted(path: &Path) -> Result<(OwnedFd, Me), Miss> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at = PathBuf::from("/");
    let mut dir =
        nix::fcntl::open("/", flags, Mode::empty()).map_err(|errno| Miss::errno(&at, "opened", errno))?;
    let me = Me::new(&stat(&dir, &at)?);
    for step in path.components() {
        match step {
            Component::RootDir => {}
            Component::Normal(name) => {
                at.push(name);
                dir = open_dir(&dir, name, &at, flags)?;
                vouch(&dir, &at, me)?;
            }
            _ => return Err(Miss::refused(path, "is not a plain absolute path", None)),
        }
    }
    Ok((dir, me))
}

/// Opens the folder `name` in `parent`, creating it with mode 0700 where wanted. Returns whether it was created.
///
/// Nothing is created in a parent that is not RAM: it would have to be refused at once.
pub fn enter(
    parent: &OwnedFd,
    name: &OsStr,
    path: &Path,
    flags: OFlag,
    missing: Missing,
) -> Result<(OwnedFd, bool), Miss> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => return Ok((open_dir(parent, name, path, flags)?, false)),
        Err(Errno::ENOENT) if missing == Missing::Leave => return Err(Miss::Absent),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(Miss::errno(path, "looked at", errno)),
    }
    if let Err(Miss::Refused(refusal)) = prove_ram(parent, path) {
        let why = format!("does not exist, and its parent {}", refusal.why);
        return Err(Miss::Refused(Refusal { why, ..refusal }));
    }
    let created = match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) => true,
        // Somebody was faster; what is there now is looked at like anything else that is there.
        Err(Errno::EEXIST) => false,
        // The parent has just been removed by an agent that ended.
        Err(Errno::ENOENT) => return Err(Miss::Absent),
        Err(errno) => return Err(Miss::errno(path, "created", errno)),
    };
    Ok((open_dir(parent, name, path, flags)?, created))
}

fn open_dir(parent: &OwnedFd, name: &OsStr, path: &Path, flags: OFlag) -> Result<OwnedFd, Miss> {
    let flags = flags | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOENT => Miss::Absent,
        Errno::ELOOP | Errno::ENOTDIR => not_a_folder(parent, name, path),
        errno => Miss::errno(path, "opened", errno),
    })
}

fn not_a_folder(parent: &OwnedFd, name: &OsStr, path: &Path) -> Miss {
    let kind =
        fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| stat.st_mode & SFlag::S_IFMT.bits());
    if kind != Ok(SFlag::S_IFLNK.bits()) {
        return Miss::refused(path, "is not a folder", None);
    }
    // Only for the message: where the link leads now.
    let fix =
        std::fs::canonicalize(path).ok().map(|real| format!("name the folder itself: {}", real.display()));
    Miss::refused(path, "is a symbolic link, and links are not followed here", fix)
}

/// What `fstat` says of the opened folder.
pub fn stat(dir: impl AsFd, path: &Path) -> Result<FileStat, Miss> {
    fstat(dir).map_err(|errno| Miss::errno(path, "looked at", errno))
}

/// Proves that the opened folder is in RAM: `fstatfs` says tmpfs or ramfs.
pub fn prove_ram(dir: impl AsFd, path: &Path) -> Result<(), Miss> {
    let kind = fstatfs(dir).map_err(|errno| Miss::errno(path, "looked at", errno))?.filesystem_type();
    if kind == TMPFS_MAGIC || kind == RAMFS_MAGIC {
        return Ok(());
    }
    let fix = format!("mount a tmpfs there: mount -t tmpfs -o mode=0700,size=1m tmpfs {}", path.display());
    Err(Miss::refused(path, format!("is not in RAM: it is on {}", file_system(kind)), Some(fix)))
}

fn file_system(kind: FsType) -> String {
    // Numbers from the kernel's `include/uapi/linux/magic.h`.
    let name = match kind.0 {
        0xEF53 => "ext4 (or ext2, ext3)",
        0x794C_7630 => "overlayfs",
        0x9123_683E => "btrfs",
        0x5846_5342 => "xfs",
        0x2FC1_2FC1 => "zfs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        other => return format!("a file system of type {other:#x}"),
    };
    name.to_owned()
}

/// Refuses a folder on the way, or one that a person chose, that somebody else could swap things in.
pub fn vouch(dir: impl AsFd, path: &Path, me: Me) -> Result<(), Miss> {
    match distrust(&stat(dir, path)?, me) {
        None => Ok(()),
        Some((why, fix)) => Err(Miss::refused(path, why, fix.map(|fix| format!("{fix} {}", path.display())))),
    }
}

/// Who else could swap what is in this folder: why it is not trusted, and the command that mends it. Pure.
pub fn distrust(stat: &FileStat, me: Me) -> Option<(String, Option<&'static str>)> {
    if ![0, me.uid, me.root].contains(&stat.st_uid) {
        return Some((format!("belongs to another user (uid {})", stat.st_uid), None));
    }
    let sticky = stat.st_mode & Mode::S_ISVTX.bits() != 0;
    if stat.st_mode & Mode::S_IWOTH.bits() != 0 && !sticky {
        let why = format!("is writable by everybody (mode {:04o}) and not sticky", stat.st_mode & 0o7777);
        return Some((why, Some("chmod 700")));
    }
    if stat.st_mode & Mode::S_IWGRP.bits() != 0 && !sticky && stat.st_gid != 0 {
        // Also our own group: whether others are in it is not to be seen from here.
        let why = format!("is writable by group {} (mode {:04o})", stat.st_gid, stat.st_mode & 0o7777);
        return Some((why, Some("chmod g-w")));
    }
    None
}

/// Proves that the opened folder is private: ours, and with mode 0700 exactly.
pub fn prove_private(dir: impl AsFd, path: &Path, me: Me) -> Result<(), Miss> {
    let stat = stat(dir, path)?;
    if stat.st_uid != me.uid {
        let why = format!("belongs to another user (uid {}, we are {})", stat.st_uid, me.uid);
        return Err(Miss::refused(path, why, None));
    }
    if stat.st_mode & 0o777 != 0o700 {
        let why = format!("has mode {:04o} where 0700 is wanted", stat.st_mode & 0o7777);
        return Err(Miss::refused(path, why, Some(format!("chmod 700 {}", path.display()))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(uid: u32, gid: u32, mode: u32) -> FileStat {
        let mut stat = fstat(std::io::stdin()).expect("any stat");
        (stat.st_uid, stat.st_gid, stat.st_mode) = (uid, gid, SFlag::S_IFDIR.bits() | mode);
        stat
    }

    #[test]
    fn who_could_swap_it() {
        let me = Me { uid: 1000, root: 65534 };
        let good = [(0, 0, 0o755), (0, 0, 0o1777), (0, 0, 0o775), (1000, 1000, 0o700), (65534, 65534, 0o755)];
        for (uid, gid, mode) in good {
            assert_eq!(distrust(&folder(uid, gid, mode), me), None, "{uid} {gid} {mode:o}");
        }
        let bad =
            [(1001, 1000, 0o700), (0, 0, 0o777), (1000, 1000, 0o702), (1000, 50, 0o770), (1000, 1000, 0o775)];
        for (uid, gid, mode) in bad {
            assert!(distrust(&folder(uid, gid, mode), me).is_some(), "{uid} {gid} {mode:o}");
        }
    }
}
