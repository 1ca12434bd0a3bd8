//! Another hand on what is published: noticed by itself, reported and repaired.

use super::support::{KEY_AND_TOKEN, scene::Scene};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

/// What the agent says of it, and what is done to the file.
type Deed<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn another_hand_is_noticed_without_anybody_asking() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = outside.path().join("target");
    fs::write(&target, "precious").unwrap();
    let agent = scene.published(&[]);
    let file = scene.workspace.env_file();
    let content = || {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| !line.starts_with("APIM_AGENT_GENERATION=")).collect::<Vec<_>>().join("\n")
    };
    let before = content();
    let deeds: [Deed<'_>; 4] = [
        ("has been removed", &|file| fs::remove_file(file).unwrap()),
        ("has got mode 0644 instead of 0600", &|file| {
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }),
        ("has been replaced by a symbolic link", &|file| {
            let link = file.with_file_name("link");
            symlink(&target, &link).unwrap();
            fs::rename(link, file).unwrap();
        }),
        ("has been modified", &|file| fs::write(file, "APIM_ACCESS_TOKEN=forged\n").unwrap()),
    ];
    for (generation, (words, deed)) in (2..).zip(deeds) {
        deed(&file);
        let text = agent.wait_for(&format!("generation {generation} published"));
        assert!(text.contains(words), "no {words:?} in\n{text}");
        let metadata = fs::symlink_metadata(&file).unwrap();
        assert!(metadata.is_file() && metadata.permissions().mode() & 0o7777 == 0o600, "{words}");
        assert_eq!(content(), before, "{words}");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    // Its own writes, and whoever reads, are nothing to report.
    assert_eq!(scene.status()["generation"], 5);
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("env file: ").count(), 4, "{text}");
    scene.assert_clean();
}
