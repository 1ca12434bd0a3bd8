//! Runtime directories that will not do: refused before anybody is asked for anything.

use super::{KEY, refused, support::scene::Scene};
use nix::unistd::{Uid, chown};
use std::{
    fs::{Permissions, create_dir, set_permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

fn refused_place(name: &str, place: &Path, words: &[&str]) {
    let scene = Scene::new(&[], KEY);
    let place = place.to_str().unwrap();
    refused(&scene, name, &[("runtime_dir", place)], 78, &[words, &[place]].concat());
    scene.assert_untouched();
    // `exec` and `status` do not settle for it either.
    let (code, text) = scene.run(&[("runtime_dir", place)], &["exec", "--", "true"]);
    assert_eq!(code, 78, "{name}: {text}");
}

#[test]
fn on_a_disk() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if !is_disk(disk.path()) {
        println!("skipped: {} is in RAM on this machine", disk.path().display());
        return;
    }
    refused_place("disk", disk.path(), &["it is not in RAM: it is on ", "mount -t tmpfs"]);
    assert_eq!(disk.path().read_dir().unwrap().count(), 0, "nothing was written to the disk");
    // Nor is anything made below it.
    refused_place(
        "below a disk",
        &disk.path().join("new"),
        &["does not exist, and its parent is not in RAM"],
    );
    assert_eq!(disk.path().read_dir().unwrap().count(), 0);
}

fn is_disk(path: &Path) -> bool {
    let kind = nix::sys::statfs::statfs(path).unwrap().filesystem_type();
    kind != nix::sys::statfs::TMPFS_MAGIC
}

#[test]
fn a_link() {
    let ram = tempfile::tempdir_in("/dev/shm").unwrap();
    let (real, link) = (ram.path().join("real"), ram.path().join("link"));
    create_dir(&real).unwrap();
    set_permissions(&real, Permissions::from_mode(0o700)).unwrap();
    symlink(&real, &link).unwrap();
    refused_place("link", &link, &["is a symbolic link", "name the folder itself", real.to_str().unwrap()]);
    // A link on the way is one as well.
    create_dir(real.join("below")).unwrap();
    refused_place("link on the way", &link.join("below"), &["is a symbolic link"]);
    assert_eq!(real.join("below").read_dir().unwrap().count(), 0, "nothing was written behind the link");
}

#[test]
fn writable_by_everybody() {
    let ram = tempfile::tempdir_in("/dev/shm").unwrap();
    set_permissions(ram.path(), Permissions::from_mode(0o777)).unwrap();
    refused_place("0777", ram.path(), &["is writable by everybody (mode 0777)", "chmod 700"]);
    assert_eq!(ram.path().read_dir().unwrap().count(), 0);
}

#[test]
fn somebody_elses() {
    if !Uid::effective().is_root() {
        println!("skipped: only root can give a folder to somebody else");
        return;
    }
    let ram = tempfile::tempdir_in("/dev/shm").unwrap();
    chown(ram.path(), Some(Uid::from_raw(12_345)), None).unwrap();
    refused_place("chown", ram.path(), &["belongs to another user (uid 12345)"]);
    assert_eq!(ram.path().read_dir().unwrap().count(), 0);
}
