//! Another hand on the env file while the agent runs: noticed at the next `status` at the latest, and mended.

use super::{
    KEY,
    support::{parse_env, scene::Scene},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

/// What the agent says of it, and what is done to the file.
type Deed<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn another_hand_on_the_env_file() {
    let scene = Scene::new(&[], KEY);
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = outside.path().join("target");
    fs::write(&target, "precious").unwrap();
    let deeds: [Deed<'_>; 7] = [
        ("has been removed", &|file| fs::remove_file(file).unwrap()),
        ("has been replaced by a symbolic link", &|file| {
            fs::remove_file(file).unwrap();
            symlink(&target, file).unwrap();
        }),
        ("has been modified", &|file| {
            fs::write(file, "APIM_SUBSCRIPTION_KEY=forged-by-another-hand\n").unwrap();
        }),
        ("has been replaced by another file", &|file| {
            let other = file.with_file_name("other");
            fs::write(&other, "APIM_SUBSCRIPTION_KEY=forged-by-another-hand\n").unwrap();
            fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
            fs::rename(other, file).unwrap();
        }),
        ("has got mode 0644 instead of 0600", &|file| {
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }),
        ("has got a second name (a hard link)", &|file| {
            fs::hard_link(file, outside.path().join("copy")).unwrap();
        }),
        ("has been replaced by something that is not a file", &|file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
    ];
    let agent = scene.published(&[]);
    let file = scene.workspace.env_file();
    let mut generation = 1;
    for (words, deed) in deeds {
        deed(&file);
        // The question itself makes the agent look.
        scene.status();
        generation += 1;
        let text = agent.wait_for(&format!("generation {generation} published"));
        assert!(text.contains(words), "no {words:?} in\n{text}");
        let metadata = fs::symlink_metadata(&file).unwrap();
        assert!(
            metadata.is_file() && metadata.permissions().mode() & 0o7777 == 0o600,
            "{words}: {metadata:?}"
        );
        let values = parse_env(&fs::read_to_string(&file).unwrap());
        let value = |wanted: &str| &values.iter().find(|(name, _)| name == wanted).unwrap().1;
        assert_eq!(value("APIM_AGENT_GENERATION"), &generation.to_string(), "{words}");
        assert_eq!(scene.emulator.echo_with_key(value("APIM_SUBSCRIPTION_KEY")).status, 200, "{words}");
        let status = scene.status();
        assert!(status["ready"] == true && status["sink_error"].is_null(), "{words}: {status}");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious", "the link's target is not ours to touch");
    let copy = fs::read(outside.path().join("copy")).unwrap();
    assert!(copy.iter().all(|byte| *byte == 0), "the copy under another name was overwritten");
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    scene.assert_clean();
}

/// A link that is there when the agent ends: the link goes, its target stays, and no value is left under any name.
#[test]
fn a_link_at_the_end() {
    let scene = Scene::new(&[], KEY);
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    let (target, moved) = (outside.path().join("target"), outside.path().join("moved"));
    fs::write(&target, "precious").unwrap();
    let agent = scene.published(&[]);
    let file = scene.workspace.env_file();
    fs::rename(&file, &moved).unwrap();
    symlink(&target, &file).unwrap();
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    let left = fs::read(&moved).unwrap();
    assert!(left.iter().all(|byte| *byte == 0), "the file that was moved away was not overwritten");
    scene.assert_clean();
}
