//! `start` and `stop` from outside: on terminals that go away, behind pipes that are read to the end, twice, too late.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod platforms;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use std::{os::unix::process::CommandExt as _, path::Path};
use support::{
    KEY, KEY_AND_TOKEN,
    process::Process,
    scene::{Scene, poll},
};

/// The agent that runs.
fn agent(scene: &Scene) -> Pid {
    Pid::from_raw(i32::try_from(scene.status()["pid"].as_i64().unwrap()).unwrap())
}

/// Waits until the runtime directory is empty.
fn wait_for_nothing(scene: &Scene) {
    let empty = || std::fs::read_dir(scene.workspace.runtime_dir.path()).unwrap().next().is_none();
    poll("the end", || empty().then_some(()));
}

/// Ends the agent whatever the test comes to.
struct Ended<'a>(&'a Scene);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        // None may run any more.
        let _ = self.0.command(&[], &["stop"]).output();
    }
}

#[test]
fn it_starts_once_and_stops_once() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let _ended = Ended(&scene);
    // Also a reader that waits for the end of both pipes: `run` does.
    let (code, text) = scene.run(&[], &["start"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("\npublished ") && text.contains("\ndetached ") && !text.contains("Ctrl-C"),
        "{text}"
    );
    let first = agent(&scene);
    assert_eq!(scene.status()["ready"], true);
    assert!(scene.workspace.value("APIM_SUBSCRIPTION_KEY").len() > 16);

    let (code, text) = scene.run(&[], &["start"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("already, process {first}")), "{text}");
    assert_eq!(agent(&scene), first);

    let (code, text) = scene.run(&[], &["stop"]);
    assert_eq!(code, 0, "{text}");
    for word in ["wiped ", "revoked ", "expires "] {
        assert!(text.contains(&format!("\n{word}")) || text.starts_with(word), "{word}: {text}");
    }
    // It is over when stop returns, and not a moment later.
    scene.assert_clean();
    let (code, text) = scene.run(&[], &["stop"]);
    assert_eq!(
        (code, text.lines().next_back().unwrap_or_default().starts_with("nothing ")),
        (0, true),
        "{text}"
    );
}

#[test]
fn it_is_in_a_session_of_its_own_and_holds_nothing_of_the_callers() {
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    let (read, write) = nix::unistd::pipe().unwrap();
    // In the shell the pipe's end is also descriptor 9, as a caller's that forgot to close it.
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&write));
    let command = scene.command(&[], &["start"]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", r#"exec 9> "$0"; exec "$@""#, &path])
        .arg(command.get_program())
        .args(command.get_args());
    shell.env_clear().env("PATH", "/usr/bin:/bin").current_dir(scene.workspace.home.path());
    let (code, text) = scene.finish(Process::start(&mut shell));
    assert_eq!(code, 0, "{text}");
    drop(write);
    // Would wait for as long as the agent or its guard had it.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(read), &mut rest).unwrap();
    let pid = agent(&scene);
    assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid);
    assert_eq!(scene.run(&[], &["stop"]).0, 0);
    scene.assert_clean();
}

#[test]
fn two_at_once_come_to_one_agent() {
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    let starts = [(); 4].map(|()| Process::start(&mut scene.command(&[], &["start"])));
    for start in starts {
        let (code, text) = scene.finish(start);
        assert_eq!(code, 0, "{text}");
    }
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    assert_eq!(scene.run(&[], &["stop"]).0, 0);
    scene.assert_clean();
}

#[test]
fn what_it_cannot_get_is_told_with_the_agents_own_code() {
    let scene = Scene::new(&[], KEY);
    let (code, text) = scene.run(&[("identity.source", "bogus")], &["start"]);
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("identity.source is \"bogus\""), "{text}");
    let (code, text) = scene.run(&[("entra.client_id", "00000000-0000-0000-0000-00000000dead")], &["start"]);
    let (as_run, told) = scene.run(&[("entra.client_id", "00000000-0000-0000-0000-00000000dead")], &["run"]);
    assert_eq!(code, as_run, "{text}\n{told}");
    assert!(code != 0 && text.contains("  fix: "), "{text}");
    scene.assert_clean();
}

#[test]
fn one_that_comes_late_goes_on_and_can_be_stopped() {
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    scene
        .emulator
        .fault(&json!({"operation": "IdentityService_GetIDToken", "times": 1000, "action": "hang"}));
    let (code, text) = scene.run(&[], &["start", "--timeout", "300ms"]);
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("goes on trying"), "{text}");
    // The one that runs is waited for as well.
    let (code, text) = scene.run(&[], &["start", "--timeout", "300ms"]);
    assert_eq!((code, text.contains("goes on trying")), (75, true), "{text}");
    assert!(!scene.status()["ready"].as_bool().unwrap());
    scene.emulator.clear_faults();
    let _ = scene.run(&[], &["stop"]);
    wait_for_nothing(&scene);
    scene.assert_clean();
}

#[test]
fn a_signal_while_it_waits_ends_the_agent_and_a_hang_up_does_not() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let scene = Scene::new(&[], KEY);
        let _ended = Ended(&scene);
        scene
            .emulator
            .fault(&json!({"operation": "IdentityService_GetIDToken", "times": 1000, "action": "hang"}));
        let start = Process::start(&mut scene.command(&[], &["start"]));
        start.wait_for("apim-agent ");
        start.signal(signal);
        let (ended, text) = scene.finish(start);
        assert_eq!(ended, code, "{text}");
        assert!(text.contains("is told to end too"), "{text}");
        scene.assert_clean();
    }
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    scene.emulator.fault(&json!({"operation": "IdentityService_GetIDToken", "times": 1, "action": "hold"}));
    let start = Process::start(&mut scene.command(&[], &["start"]));
    start.wait_for("apim-agent ");
    start.signal(Signal::SIGHUP);
    assert_eq!(scene.finish(start).0, 129);
    scene.emulator.release();
    scene.status_when("ready", |status| status["ready"] == true);
    assert_eq!(scene.run(&[], &["stop"]).0, 0);
    scene.assert_clean();
}

#[test]
fn stop_ends_one_in_the_foreground_too_and_tells_what_could_not_be_revoked() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let (code, text) = scene.run(&[], &["stop"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(scene.finish(agent).0, 0);

    let _ended = Ended(&scene);
    assert_eq!(scene.run(&[("revoke_timeout", "200ms")], &["start"]).0, 0);
    scene
        .emulator
        .fault(&json!({"operation": "Subscription_Delete", "times": 1000, "action": {"status": 500}}));
    let (code, text) = scene.run(&[], &["stop"]);
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("not everything could be revoked"), "{text}");
    scene.workspace.assert_only_the_journal_left();
    scene.emulator.clear_faults();
    assert_eq!(scene.run(&[], &["release"]).0, 0);
    scene.assert_clean();
}

#[test]
fn killed_after_start_it_is_cleaned_up_after() {
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    assert_eq!(scene.run(&[], &["start"]).0, 0);
    kill(agent(&scene), Signal::SIGKILL).unwrap();
    wait_for_nothing(&scene);
    scene.assert_clean();
}

#[test]
fn the_word_for_the_detached_agent_is_not_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = support::bare(folder.path());
    command.arg0("apim-agent").args(["detached", "start", "--emulator"]);
    let (status, text) = Process::start(&mut command).finish();
    assert_eq!(status.code(), Some(64), "{text}");
    assert!(Path::new("/dev/shm").exists() && text.contains("not for people"), "{text}");
}
