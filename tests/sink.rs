//! The runtime directory and the env file, on a real tmpfs: each bad place, each disturbance, and what is left.

use apim_agent::{
    error::{Class, Error},
    lease::Value,
    secret::Secret,
    sink::{Item, Set, Sink, publisher::EnvFile, runtime_dir::RuntimeDir},
};
use std::{
    fs::{self, File, Permissions},
    io::{Read, Seek},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

/// A folder of its own on a tmpfs, gone at the end.
fn ram() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("apim-agent-test-").tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn open(base: &Path) -> Result<RuntimeDir, Error> {
    RuntimeDir::open(Some(base), None, "acme/payments")
}

/// The error of a place that is wrong.
fn refused(base: &Path) -> String {
    let error = open(base).map(|dir| dir.path().to_owned()).expect_err("refused");
    assert_eq!(error.class, Class::Config, "{error}");
    assert!(error.fix.is_some(), "{error}");
    error.to_string()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn publish(sink: &mut EnvFile, generation: u64, key: &str) -> Result<(), Error> {
    let secret = Secret::new(key.to_owned());
    let expires_at = Some(apim_agent::clock::from_unix(1_795_482_000));
    let value = Value::Text(secret);
    let item = Item { name: "partner", env: "APIM_SUBSCRIPTION_KEY", value: &value };
    sink.publish(&Set { generation, expires_at, items: vec![item], missing: Vec::new() })
}

fn sink(dir: &Arc<RuntimeDir>) -> EnvFile {
    EnvFile::new(Arc::clone(dir), "https://contoso.azure-api.net".to_owned(), Vec::new())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("read_dir")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_good_place_is_taken_private_and_left_without_a_trace() {
    let ram = ram();
    let base = ram.path().join("made-by-us");
    let dir = open(&base).expect("opens");
    for folder in [&base, dir.path()] {
        let found = fs::metadata(folder).expect("there");
        assert_eq!(found.mode() & 0o7777, 0o700, "{folder:?}");
        assert_eq!(found.uid(), nix::unistd::geteuid().as_raw());
    }
    assert!(dir.leftovers().is_empty());
    dir.remove().expect("removed");
    dir.remove().expect("again");
    assert!(names(ram.path()).is_empty());

    // A folder that a person made stays.
    let dir = open(ram.path()).expect("opens");
    dir.remove().expect("removed");
    assert!(names(ram.path()).is_empty());
}

#[test]
fn a_place_on_a_disk_is_refused_and_nothing_is_created() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("tempdir");
    let kind = nix::sys::statfs::statfs(disk.path()).expect("statfs").filesystem_type();
    if kind == nix::sys::statfs::TMPFS_MAGIC {
        println!("skipped: the target folder lies on a tmpfs");
        return;
    }
    assert!(refused(disk.path()).contains("not in RAM"));
    let message = refused(&disk.path().join("new"));
    assert!(message.contains("not in RAM"), "{message}");
    assert!(names(disk.path()).is_empty());
}

#[test]
fn a_link_is_refused_wherever_it_is_on_the_way() {
    let ram = ram();
    let real = ram.path().join("real");
    fs::create_dir(&real).expect("mkdir");
    let link = ram.path().join("link");
    symlink(&real, &link).expect("symlink");
    for base in [link.clone(), link.join("below")] {
        let message = refused(&base);
        assert!(
            message.contains("symbolic link") && message.contains(real.to_str().expect("text")),
            "{message}"
        );
    }
    assert!(refused(&real.join("../real")).contains("not a plain absolute path"));

    // The workspace's own folder as a link: made by somebody who knew its name.
    let dir = open(&real).expect("opens");
    let (inside, elsewhere) = (dir.path().to_owned(), ram.path().join("elsewhere"));
    dir.remove().expect("removed");
    fs::DirBuilder::new().mode(0o700).create(&elsewhere).expect("mkdir");
    symlink(&elsewhere, &inside).expect("symlink");
    assert!(refused(&real).contains("symbolic link"));
    assert!(names(&elsewhere).is_empty());
}

#[test]
fn wrong_modes_are_refused_with_the_command_that_mends_them() {
    let ram = ram();
    mode(ram.path(), 0o777);
    let message = refused(ram.path());
    assert!(message.contains("writable by everybody") && message.contains("chmod 700"), "{message}");
    assert!(refused(&ram.path().join("below")).contains("writable by everybody"), "also on the way");
    mode(ram.path(), 0o1777);
    let dir = open(ram.path()).expect("sticky is what /dev/shm itself is");
    let inside = dir.path().to_owned();
    drop(dir);

    mode(&inside, 0o755);
    let message = refused(ram.path());
    assert!(message.contains("mode 0755") && message.contains("chmod 700"), "{message}");

    fs::remove_dir(&inside).expect("rmdir");
    fs::write(&inside, "a file").expect("write");
    assert!(refused(ram.path()).contains("not a folder"));
}

#[test]
fn somebody_elses_folder_is_refused() {
    if !is_root() {
        println!("skipped: only root can give a folder away");
        return;
    }
    let ram = ram();
    let foreign = ram.path().join("foreign");
    fs::DirBuilder::new().mode(0o700).create(&foreign).expect("mkdir");
    chown(&foreign, Some(65534), None).expect("chown");
    assert!(refused(&foreign).contains("another user (uid 65534)"));
    assert!(refused(&foreign.join("below")).contains("another user"), "also on the way");

    let dir = open(ram.path()).expect("opens");
    let inside = dir.path().to_owned();
    drop(dir);
    chown(&inside, Some(65534), None).expect("chown");
    assert!(refused(ram.path()).contains("another user"));
}

#[test]
fn in_the_default_order_a_wrong_place_is_passed_over() {
    let ram = ram();
    mode(ram.path(), 0o777);
    let workspace = format!("default-order-{}", std::process::id());
    let dir = RuntimeDir::open(None, Some(ram.path()), &workspace).expect("another place fits");
    assert!(!dir.path().starts_with(ram.path()), "{:?}", dir.path());
    let again = RuntimeDir::find(None, None, &workspace).expect("looked").expect("found");
    assert_eq!(again.path(), dir.path());
    dir.remove().expect("removed");
    assert!(RuntimeDir::find(None, None, &workspace).expect("looked").is_none());
}

#[test]
fn the_second_agent_is_told_who_holds_the_lock() {
    let ram = ram();
    let first = open(ram.path()).expect("opens");
    let _listening = UnixListener::bind(first.control_address()).expect("bind");
    let error = open(ram.path()).map(drop).expect_err("held");
    assert_eq!(error.class, Class::TryAgain);
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(first.holder(), i32::try_from(std::process::id()).ok());
    RuntimeDir::open(Some(ram.path()), None, "another").expect("another workspace is free");
    first.remove().expect("removed");
    open(ram.path()).expect("the folder is a new one, so the old lock does not matter");
}

#[test]
fn what_a_killed_agent_left_is_wiped_first() {
    let ram = ram();
    let dir = Arc::new(open(ram.path()).expect("opens"));
    let mut killed = sink(&dir);
    publish(&mut killed, 1, "0123456789abcdef").expect("published");
    let mut reader = File::open(killed.path()).expect("open");
    let outside = ram.path().join("outside");
    fs::write(&outside, "not ours").expect("write");
    symlink(&outside, dir.path().join("a-link")).expect("symlink");
    drop((killed, dir));

    let dir = open(ram.path()).expect("opens");
    assert_eq!(dir.leftovers().iter().map(|left| left.files).collect::<Vec<_>>(), [2]);
    assert!(names(dir.path()).is_empty());
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("read");
    assert!(text.is_empty(), "an open descriptor shows nothing either");
    assert_eq!(fs::read_to_string(outside).expect("read"), "not ours");
}

#[test]
fn a_file_is_replaced_as_a_whole_and_read_by_shells() {
    let ram = ram();
    let dir = Arc::new(open(ram.path()).expect("opens"));
    let mut sink = sink(&dir);
    publish(&mut sink, 1, "first").expect("published");
    let mut reader = File::open(sink.path()).expect("open");
    publish(&mut sink, 2, "aA0._/+=:-").expect("published");
    let mut old = String::new();
    reader.read_to_string(&mut old).expect("read");
    assert!(
        old.contains("APIM_SUBSCRIPTION_KEY=first\n"),
        "whoever was reading sees the old file whole: {old}"
    );
    assert_eq!(names(dir.path()), ["env"]);
    assert_eq!(fs::metadata(sink.path()).expect("there").mode() & 0o7777, 0o600);
    sink.check().expect("untouched");

    for shell in ["sh", "dash", "bash", "zsh", "mksh", "yash", "busybox"] {
        let script = r#". "$1" && printf %s "$APIM_SUBSCRIPTION_KEY|$APIM_GATEWAY_URL|$APIM_AGENT_GENERATION|$APIM_AGENT_EXPIRES_AT""#;
        let mut command = Command::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        match command.args(["-uc", script, shell]).arg(sink.path()).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: no {shell} here");
            }
            output => {
                let output = output.expect("runs");
                let want = "aA0._/+=:-|https://contoso.azure-api.net|2|2026-11-24T01:00:00Z";
                assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{shell}: {output:?}");
            }
        }
    }
}

#[test]
fn what_another_hand_does_is_seen_and_mended() {
    type Hand<'a> = (&'a str, Box<dyn Fn() + 'a>);

    let ram = ram();
    let dir = Arc::new(open(ram.path()).expect("opens"));
    let mut sink = sink(&dir);
    sink.check().expect("nothing is published, so nothing is wrong");
    publish(&mut sink, 1, "secret-1").expect("published");
    let (path, target, moved) = (sink.path(), ram.path().join("target"), ram.path().join("moved"));
    fs::write(&target, "precious").expect("write");

    let replace = |by: &dyn Fn()| {
        fs::remove_file(&path).expect("rm");
        by();
    };
    let hands: [Hand<'_>; 7] = [
        ("replaced by a symbolic link", Box::new(|| replace(&|| symlink(&target, &path).expect("symlink")))),
        ("has been removed", Box::new(|| replace(&|| {}))),
        ("replaced by another file", Box::new(|| replace(&|| fs::write(&path, "EVIL=1\n").expect("write")))),
        ("not a file", Box::new(|| replace(&|| fs::create_dir(&path).expect("mkdir")))),
        ("mode 0644", Box::new(|| mode(&path, 0o644))),
        ("a second name", Box::new(|| fs::hard_link(&path, &moved).expect("link"))),
        ("has been modified", Box::new(|| fs::write(&path, "EVIL=1\n").expect("write"))),
    ];
    for (generation, (how, hand)) in (2..).zip(&hands) {
        hand();
        let error = sink.check().expect_err(how);
        assert!(error.to_string().contains(how), "{how}: {error}");
        assert!(error.is_transient(), "{error}");
        publish(&mut sink, generation, "secret-2").expect(how);
        sink.check().expect(how);
        let found = fs::symlink_metadata(&path).expect("there");
        assert!(found.is_file() && found.mode() & 0o7777 == 0o600, "{how}");
        assert_eq!(names(dir.path()), ["env"], "{how}");
    }
    assert_eq!(
        fs::read_to_string(&target).expect("read"),
        "precious",
        "nothing was written through the link"
    );
    assert_eq!(fs::read(&moved).expect("read"), b"", "the copy under another name was wiped");
}

#[test]
fn a_wipe_leaves_no_byte_even_for_an_open_descriptor() {
    let ram = ram();
    let dir = Arc::new(open(ram.path()).expect("opens"));
    let mut sink = sink(&dir);
    publish(&mut sink, 1, "0123456789abcdef").expect("published");
    let mut reader = File::open(sink.path()).expect("open");
    // Moved away: only the kept descriptor leads to it now.
    let moved = ram.path().join("moved");
    fs::rename(sink.path(), &moved).expect("mv");
    fs::write(dir.path().join(".env.0000000000000000"), "KEY=half").expect("write");
    fs::write(dir.path().join("control"), "stays").expect("write");
    for _ in 0..2 {
        sink.wipe().expect("wiped");
        assert_eq!(names(dir.path()), ["control"]);
        assert_eq!(fs::read(&moved).expect("read"), b"");
        reader.rewind().expect("rewind");
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("read");
        assert!(text.is_empty());
    }
    dir.remove().expect("removed");
    assert_eq!(names(ram.path()), ["moved"]);
}

/// Runs in a mount namespace of its own, started by the test below.
#[test]
#[ignore = "started by a_full_tmpfs_keeps_the_old_file, in a mount namespace"]
fn inside_a_full_tmpfs() {
    let base = PathBuf::from(std::env::var_os("APIM_TEST_FULL").expect("the mount point"));
    let dir = Arc::new(open(&base).expect("opens"));
    let mut sink = sink(&dir);
    publish(&mut sink, 1, "before").expect("published");
    let filler = base.join("filler");
    // As much as fits; the error is the point.
    let _ = fs::write(&filler, vec![0_u8; 1 << 20]);
    let error = publish(&mut sink, 2, "after").expect_err("full");
    assert!(error.is_transient() && error.to_string().contains("make room"), "{error}");
    assert!(fs::read_to_string(sink.path()).expect("read").contains("KEY=before\n"));
    assert_eq!(names(dir.path()), ["env"], "no half-written file is left");
    sink.check().expect("what stood before still stands");
    fs::remove_file(filler).expect("rm");
    publish(&mut sink, 3, "after").expect("there is room again");
    sink.wipe().expect("wiped");
    dir.remove().expect("removed");
    println!("inside: done");
}

#[test]
fn a_full_tmpfs_keeps_the_old_file() {
    let ram = ram();
    let script = r#"mount -t tmpfs -o size=64k,mode=0700 tmpfs "$1" && exec "$2" --exact inside_a_full_tmpfs --ignored --nocapture"#;
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(ram.path())
        .arg(std::env::current_exe().expect("this test"))
        .env("APIM_TEST_FULL", ram.path())
        .output();
    match output {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("inside: done"), "{output:?}");
        }
        other => println!("skipped: no tmpfs can be mounted here: {other:?}"),
    }
}
