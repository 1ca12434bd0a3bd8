//! Values that no variable can hold: files beside the env file, on a real tmpfs.

use apim_agent::{
    error::Error,
    lease::{Part, Value},
    secret::Secret,
    sink::{Item, Missing, Set, Sink, publisher::EnvFile, runtime_dir::RuntimeDir},
};
use std::{
    fs::{self, File, Permissions},
    io::{Read, Seek},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

/// A published place on a tmpfs, gone at the end.
struct Place {
    ram: tempfile::TempDir,
    dir: Arc<RuntimeDir>,
    sink: EnvFile,
}

impl Place {
    fn new() -> Self {
        let ram =
            tempfile::Builder::new().prefix("apim-agent-test-").tempdir_in("/dev/shm").expect("a tmpfs");
        let (dir, sink) = opened(ram.path());
        Self { ram, dir, sink }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    fn inode(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).expect(name).ino()
    }

    fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }
}

fn opened(base: &Path) -> (Arc<RuntimeDir>, EnvFile) {
    let dir = Arc::new(RuntimeDir::open(Some(base), None, "acme/payments").expect("opens"));
    let sink = EnvFile::new(Arc::clone(&dir), "https://contoso.azure-api.net".to_owned(), Vec::new());
    (dir, sink)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

fn text(value: &str) -> Value {
    Value::Text(Secret::new(value.to_owned()))
}

fn pair(chain: &str, key: &str) -> Value {
    let part = |extension, content: &str| Part { extension, content: Secret::new(content.to_owned()) };
    Value::Files(vec![part("crt", chain), part("key", key)])
}

/// Credential `partner`, published as `PARTNER`.
fn publish(sink: &mut EnvFile, generation: u64, value: &Value) -> Result<(), Error> {
    let item = Item { name: "partner", env: "PARTNER", value };
    let expires_at = Some(apim_agent::clock::from_unix(1_795_482_000));
    sink.publish(&Set { generation, expires_at, items: vec![item], missing: Vec::new() })
}

/// In the way of a rename: a folder that is not empty.
fn obstacle(path: &Path) {
    fs::create_dir(path).expect("mkdir");
    fs::write(path.join("x"), "").expect("write");
}

#[test]
fn a_pair_is_there_before_the_env_file_names_it() {
    let mut place = Place::new();
    obstacle(&place.path("env"));
    publish(&mut place.sink, 1, &pair("C1", "K1")).expect_err("the env file has no place");
    assert_eq!((place.text("partner.crt"), place.text("partner.key")), ("C1".to_owned(), "K1".to_owned()));
    fs::remove_dir_all(place.path("env")).expect("rm");

    publish(&mut place.sink, 2, &pair("C1", "K1")).expect("published");
    let env = place.text("env");
    for (variable, file) in [("PARTNER_CRT_FILE", "partner.crt"), ("PARTNER_KEY_FILE", "partner.key")] {
        assert!(env.contains(&format!("\n{variable}={}\n", place.path(file).display())), "{env}");
        assert_eq!(fs::metadata(place.path(file)).expect(file).mode() & 0o7777, 0o600);
    }
    assert!(!env.contains("\nPARTNER="), "{env}");
    assert_eq!(place.names(), ["env", "partner.crt", "partner.key"]);

    // And the other way round: without its files a set is not announced.
    fs::remove_file(place.path("partner.crt")).expect("rm");
    obstacle(&place.path("partner.crt"));
    publish(&mut place.sink, 3, &pair("C2", "K2")).expect_err("the certificate has no place");
    assert_eq!((place.text("env"), place.text("partner.key")), (env, "K1".to_owned()), "all as before");
    assert_eq!(place.names(), ["env", "partner.crt", "partner.key"], "no half-written file is left");
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let mut place = Place::new();
    publish(&mut place.sink, 1, &pair("C1", "K1")).expect("published");
    let before = (place.inode("env"), place.inode("partner.crt"), place.inode("partner.key"));
    publish(&mut place.sink, 2, &pair("C2", "K1")).expect("published");
    let after = (place.inode("env"), place.inode("partner.crt"), place.inode("partner.key"));
    assert!(before.0 != after.0 && before.1 != after.1 && before.2 == after.2);
    assert_eq!((place.text("partner.crt"), place.text("partner.key")), ("C2".to_owned(), "K1".to_owned()));
    place.sink.check().expect("untouched");
}

#[test]
fn a_file_that_the_set_no_longer_names_is_wiped() {
    let mut place = Place::new();
    publish(&mut place.sink, 1, &text("two words")).expect("published");
    assert_eq!(
        (place.names(), place.text("partner.value")),
        (vec!["env".to_owned(), "partner.value".to_owned()], "two words".to_owned())
    );
    let mut reader = File::open(place.path("partner.value")).expect("open");
    publish(&mut place.sink, 2, &text("word")).expect("published");
    assert_eq!(place.names(), ["env"]);
    assert!(place.text("env").contains("\nPARTNER=word\n"));
    let mut old = String::new();
    reader.read_to_string(&mut old).expect("read");
    assert_eq!(old, "", "an open descriptor shows nothing either");

    publish(&mut place.sink, 3, &pair("C", "K")).expect("published");
    let none = Set {
        generation: 4,
        expires_at: None,
        items: Vec::new(),
        missing: vec![Missing { env: "PARTNER", why: None }],
    };
    place.sink.publish(&none).expect("published");
    assert_eq!(place.names(), ["env"]);
    place.sink.check().expect("untouched");
}

#[test]
fn a_wipe_leaves_no_byte_of_any_file() {
    let mut place = Place::new();
    publish(&mut place.sink, 1, &pair("C", "K")).expect("published");
    let moved = place.ram.path().join("moved");
    fs::rename(place.path("partner.key"), &moved).expect("mv");
    let mut reader = File::open(place.path("partner.crt")).expect("open");
    fs::write(place.path(".env.0000000000000000"), "half a key").expect("write");
    fs::write(place.path("control"), "stays").expect("write");
    for _ in 0..2 {
        place.sink.wipe().expect("wiped");
        assert_eq!(place.names(), ["control"]);
        assert_eq!(fs::read(&moved).expect("read"), b"");
        reader.rewind().expect("rewind");
        assert_eq!(reader.read_to_end(&mut Vec::new()).expect("read"), 0);
    }
    publish(&mut place.sink, 2, &pair("C", "K")).expect("published again");
    assert_eq!(place.text("partner.key"), "K");
}

#[test]
fn what_another_hand_does_to_a_key_is_seen_and_mended() {
    type Hand<'a> = (&'a str, Box<dyn Fn() + 'a>);

    let mut place = Place::new();
    let (path, target) = (place.path("partner.key"), place.ram.path().join("target"));
    let copy = place.ram.path().join("copy");
    fs::write(&target, "precious").expect("write");
    let remove = || fs::remove_file(&path).expect("rm");
    let hands: [Hand<'_>; 6] = [
        (
            "replaced by a symbolic link",
            Box::new(|| {
                remove();
                symlink(&target, &path).expect("symlink");
            }),
        ),
        ("has been removed", Box::new(remove)),
        ("a second name", Box::new(|| fs::hard_link(&path, &copy).expect("link"))),
        (
            "mode 0644",
            Box::new(|| {
                fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
            }),
        ),
        ("has been modified", Box::new(|| fs::write(&path, "EVIL").expect("write"))),
        (
            "replaced by another file",
            Box::new(|| {
                remove();
                fs::write(&path, "K").expect("write");
            }),
        ),
    ];
    let sink = &mut place.sink;
    let same = pair("C", "K");
    publish(sink, 1, &same).expect("published");
    for (generation, (how, hand)) in (2..).zip(&hands) {
        hand();
        let error = sink.check().expect_err(how);
        assert!(error.to_string().contains(how) && error.to_string().contains("partner.key"), "{error}");
        publish(sink, generation, &same).expect(how);
        sink.check().expect(how);
        let found = fs::symlink_metadata(&path).expect("there");
        assert!(found.is_file() && found.mode() & 0o7777 == 0o600, "{how}");
        assert_eq!(fs::read_to_string(&path).expect("read"), "K", "{how}");
    }
    assert_eq!(fs::read_to_string(&target).expect("read"), "precious", "not written through the link");
    assert_eq!(fs::read(&copy).expect("read"), b"", "the copy under another name was wiped");
}

#[test]
fn hostile_values_are_kept_byte_by_byte_and_run_by_nobody() {
    let mut place = Place::new();
    let witness = place.ram.path().join("witness");
    let touch = format!("touch {}", witness.display());
    let values = [
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("a\n{touch}\n"),
        format!("'; {touch}; '"),
        format!("\"; {touch}; \""),
        format!("word & {touch} #"),
        "trailing newlines\n\n\r\n".to_owned(),
        "\u{feff}ünï\u{202e}\u{7f}\u{1b}[31m".to_owned(),
        "\n".to_owned(),
        "'".repeat(1 << 20),
    ];
    for (generation, value) in (1..).zip(&values) {
        publish(&mut place.sink, generation, &text(value)).expect("published");
        assert!(place.text("partner.value") == *value, "generation {generation}");
        assert_eq!(fs::metadata(place.path("partner.value")).expect("there").mode() & 0o7777, 0o600);
        let script = r#"unset PARTNER; . "$1" && [ -z "${PARTNER+set}" ] && exec cat "$PARTNER_FILE""#;
        let output = Command::new("sh").args(["-uc", script, "sh"]).arg(place.path("env")).output();
        let output = output.expect("runs");
        assert!(output.status.success() && output.stdout == value.as_bytes(), "generation {generation}");
        assert!(!witness.exists(), "generation {generation}");
    }
    let mut reader = File::open(place.path("partner.value")).expect("open");
    place.sink.wipe().expect("wiped");
    assert_eq!(reader.read_to_end(&mut Vec::new()).expect("read"), 0);
}

/// Runs in a mount namespace of its own, started by the test below.
#[test]
#[ignore = "started by a_full_tmpfs_keeps_the_old_pair_whole, in a mount namespace"]
fn inside_a_full_tmpfs() {
    const PAGES: usize = 4096;
    let base = PathBuf::from(std::env::var_os("APIM_TEST_FULL").expect("the mount point"));
    let (dir, mut sink) = opened(&base);
    // The new certificate will have room, and the new key will not.
    let version = |letter: &str| pair(&letter.repeat(2 * PAGES), &letter.repeat(10 * PAGES));
    publish(&mut sink, 1, &version("a")).expect("published");
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect(name);
    let before = (read("env"), read("partner.crt"), read("partner.key"));
    let filler = base.join("filler");
    // As much as fits; the error is the point.
    let _ = fs::write(&filler, vec![0_u8; 1 << 20]);
    let full = fs::metadata(&filler).expect("there").len();
    File::options().write(true).open(&filler).expect("open").set_len(full - 4 * PAGES as u64).expect("room");
    let error = publish(&mut sink, 2, &version("b")).expect_err("full");
    assert!(error.is_transient() && error.to_string().contains("partner.key"), "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    assert!((read("env"), read("partner.crt"), read("partner.key")) == before, "the old pair, whole");
    assert_eq!(names(dir.path()), ["env", "partner.crt", "partner.key"], "no half-written file is left");
    sink.check().expect("what stood before still stands");
    fs::remove_file(filler).expect("rm");
    publish(&mut sink, 3, &version("b")).expect("there is room again");
    assert!(read("partner.key").starts_with('b') && read("partner.crt").starts_with('b'));
    println!("inside: done");
}

#[test]
fn a_full_tmpfs_keeps_the_old_pair_whole() {
    let ram = tempfile::Builder::new().prefix("apim-agent-test-").tempdir_in("/dev/shm").expect("a tmpfs");
    let script = r#"mount -t tmpfs -o size=160k,mode=0700 tmpfs "$1" && exec "$2" --exact inside_a_full_tmpfs --ignored --nocapture"#;
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(ram.path())
        .arg(std::env::current_exe().expect("ourselves"))
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
