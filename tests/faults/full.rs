//! A runtime directory without room: a mount of 64 KiB, in a mount namespace of its own.

use super::{
    KEY,
    support::{BINARY, process::Process, scene::Scene},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Mounts a tmpfs at `$1`, fills it, and becomes the rest of the command line.
const SCRIPT: &str = r#"mount -t tmpfs -o size=64k,mode=700 tmpfs "$1" || exit 99
dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null
shift
exec "$@""#;

#[test]
fn without_room_what_was_published_stands_and_is_written_when_there_is_some() {
    if !may_mount() {
        println!("skipped: no mount namespace can be made here");
        return;
    }
    let scene = Scene::new(&[], KEY);
    let mount = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = mount.path().to_str().unwrap();
    let settings = [("runtime_dir", place)];
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh", place]);
    let agent = Process::start(inside(&mut command, &scene.command(&settings, &["run"])));

    // Not even the journal fits, so there is nothing that it would have to hold.
    let text = agent.wait_for("make room");
    assert!(text.contains("could not be written") && text.contains("No space left on device"), "{text}");
    let status = status(&scene, &agent, &settings);
    assert_eq!((&status["phase"], &status["ready"]), (&json!("acquiring"), &json!(false)), "{status}");
    assert!(status["credentials"][0].to_string().contains("No space left"), "{status}");
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 0);
    // The mount as the agent sees it.
    let seen = PathBuf::from(format!("/proc/{}/root{place}", agent.pid()));
    assert_eq!(names(&seen), ["control"], "no torn file");

    fs::remove_file(seen.join("filler")).unwrap();
    agent.wait_for("\npublished ");
    let folder = folder(&seen);
    let whole = fs::read_to_string(folder.join("env")).unwrap();

    // Full again: what stands there stays, whole.
    fill(&seen.join("filler"));
    let (code, text) = scene.finish(Process::start(&mut enter(&scene, &agent, &settings, &["refresh"])));
    assert_eq!(code, 0, "{text}");
    agent.wait_until("the second failure", |text| text.matches("could not be written").count() == 2);
    assert_eq!(names(&seen), ["control", "env", "journal"], "no torn file");
    assert_eq!(fs::read_to_string(folder.join("env")).unwrap(), whole);
    let status = self::status(&scene, &agent, &settings);
    assert_eq!((&status["phase"], &status["ready"]), (&json!("published"), &json!(false)), "{status}");

    // Room is not needed for the end.
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\nwiped ") && text.contains("\nrevoked "), "{text}");
    scene.assert_clean();
}

fn may_mount() -> bool {
    let probe = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    let nsenter = Command::new("nsenter").arg("--version").output();
    probe.is_ok_and(|output| output.status.success()) && nsenter.is_ok()
}

/// Appends the agent's command to one that sets the stage for it.
fn inside<'a>(stage: &'a mut Command, agent: &Command) -> &'a mut Command {
    stage.env_clear().arg(BINARY).args(agent.get_args()).current_dir(agent.get_current_dir().unwrap());
    stage.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))))
}

/// A command in the agent's mount namespace.
fn enter(scene: &Scene, agent: &Process, settings: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &agent.pid().to_string()]);
    inside(&mut command, &scene.command(settings, arguments));
    command
}

fn status(scene: &Scene, agent: &Process, settings: &[(&str, &str)]) -> Value {
    let output = enter(scene, agent, settings, &["status", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The workspace's folder below the mount.
fn folder(seen: &Path) -> PathBuf {
    let mut folders =
        fs::read_dir(seen).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.next().unwrap()
}

fn names(seen: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder(seen)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
}
