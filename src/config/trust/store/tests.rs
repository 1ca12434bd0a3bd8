use super::*;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A store with one record.
struct Desk {
    _folder: tempfile::TempDir,
    store: Store,
    mark: Mark,
    record: PathBuf,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::below(folder.path().join("a/state"));
    let path = Path::new("/repo/apim-agent.toml");
    let mark = Mark::of(path, "text");
    assert!(!store.holds(&mark).unwrap(), "nothing is there yet");
    assert!(!folder.path().join("a").exists(), "asking creates nothing");
    store.allow(path, &mark, &[], NOW).unwrap();
    assert!(store.holds(&mark).unwrap());
    let record = store.folder().join(&mark.0);
    Desk { _folder: folder, store, mark, record }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refused(desk: &Desk, words: &str) {
    for error in [
        desk.store.holds(&desk.mark).unwrap_err(),
        desk.store.last(Path::new("/repo/apim-agent.toml")).unwrap_err(),
    ] {
        assert!(error.class == Class::Denied && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_mark_is_of_this_text_in_this_place() {
    let mark = |path: &str, text: &str| Mark::of(Path::new(path), text);
    assert_eq!(mark("/a", "b"), mark("/a", "b"));
    for (path, text) in [("/a", "c"), ("/b", "b"), ("/ab", ""), ("/", "ab")] {
        assert_ne!(mark("/a", "b"), mark(path, text), "{path} {text}");
    }
    assert_eq!(mark("/a", "b").0.len(), 64);
}

#[test]
fn records_are_ours_alone_and_nothing_half_written_is_left() {
    let desk = desk();
    let folder = desk.store.folder();
    for (path, mode) in
        [(&desk.record, 0o600), (&folder, 0o700), (&folder.parent().unwrap().to_owned(), 0o700)]
    {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    desk.store.allow(Path::new("/repo/apim-agent.toml"), &desk.mark, &[], NOW).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "twice is once");
}

#[test]
fn taking_back_takes_all_of_one_file_and_none_of_another() {
    let desk = desk();
    let (path, other) = (Path::new("/repo/apim-agent.toml"), Path::new("/other/apim-agent.toml"));
    desk.store.allow(path, &Mark::of(path, "later"), &[], NOW).unwrap();
    let kept = Mark::of(other, "text");
    desk.store.allow(other, &kept, &[], NOW).unwrap();
    assert_eq!(desk.store.deny(path).unwrap(), 2);
    assert!(!desk.store.holds(&desk.mark).unwrap() && desk.store.holds(&kept).unwrap());
    assert_eq!(desk.store.deny(path).unwrap(), 0);
}

#[test]
fn what_others_could_have_written_counts_for_nothing() {
    for mode in [0o707, 0o770, 0o755] {
        let desk = desk();
        chmod(&desk.store.folder(), mode);
        refused(&desk, "open to others");
    }
    let desk = desk();
    chmod(&desk.record, 0o666);
    refused(&desk, "open to others");
    chmod(&desk.record, 0o600);
    fs::write(&desk.record, "{}").unwrap();
    refused(&desk, "it is no record");
    let aside = desk.record.with_file_name(".aside");
    fs::rename(&desk.record, &aside).unwrap();
    symlink(&aside, &desk.record).unwrap();
    refused(&desk, "it is a link");
}

#[test]
fn a_folder_that_is_a_link_or_another_users_is_refused() {
    let desk = desk();
    let (folder, aside) = (desk.store.folder(), desk.store.state.join("aside"));
    fs::rename(&folder, &aside).unwrap();
    symlink(&aside, &folder).unwrap();
    refused(&desk, "it is no folder");
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert!(desk.store.holds(&desk.mark).unwrap());
    if !Uid::effective().is_root() {
        println!("skipped: only root can give a folder away");
        return;
    }
    chown(&folder, Some(65534), None).unwrap();
    refused(&desk, "uid 65534");
}
