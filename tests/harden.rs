//! The hardened process, alone in a test binary of its own: what it sets belongs to the whole process.

use apim_agent::{sink::runtime_dir::RuntimeDir, sys};
use nix::sys::{
    prctl::get_dumpable,
    resource::{Resource, getrlimit},
};
use std::{fs, os::unix::fs::MetadataExt, process::Command};

#[test]
fn the_process_is_closed_and_its_children_are_as_they_would_have_been() {
    let ram = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
    nix::sys::stat::umask(nix::sys::stat::Mode::S_IWGRP | nix::sys::stat::Mode::S_IWOTH);
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).expect("limit");
    let before = sys::harden().expect("hardened");

    assert!(!get_dumpable().expect("dumpable"));
    assert_eq!(getrlimit(Resource::RLIMIT_CORE).expect("limit"), (0, hard));
    let ours = ram.path().join("ours");
    fs::write(&ours, "").expect("write");
    assert_eq!(fs::metadata(&ours).expect("there").mode() & 0o777, 0o600);

    let theirs = ram.path().join("theirs");
    let child = before.spawn(|| Command::new("touch").arg(&theirs).spawn());
    assert!(child.expect("spawned").wait().expect("ended").success());
    assert_eq!(fs::metadata(&theirs).expect("there").mode() & 0o777, 0o644);
    fs::write(ram.path().join("again"), "").expect("write");
    assert_eq!(fs::metadata(ram.path().join("again")).expect("there").mode() & 0o777, 0o600);

    // `/proc/self` of an undumpable process belongs to root; the way through our own descriptors stays open.
    let dir = RuntimeDir::open(Some(ram.path()), None, "w").expect("opens");
    let _listener = std::os::unix::net::UnixListener::bind(dir.control_address()).expect("binds");
    assert_eq!(dir.holder(), i32::try_from(std::process::id()).ok());
}
