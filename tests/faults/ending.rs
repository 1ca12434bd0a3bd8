//! The end: wiped first, revoked second, and told what could not be.

use super::{
    KEY,
    support::{
        bare, files_below,
        process::Process,
        scene::{Scene, poll},
    },
};
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{io::Write as _, process::Child};

/// Waits until the emulator has got so many requests of an operation, answered or not.
fn arrived(scene: &Scene, operation: &str, count: usize) {
    poll(operation, || (scene.emulator.count(operation) >= count).then_some(()));
}

#[test]
fn the_file_is_gone_while_the_revocation_is_still_under_way() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
    scene.emulator.fault(&json!({"operation": "Subscription_Delete", "action": "hold"}));
    agent.signal(Signal::SIGTERM);
    arrived(&scene, "Subscription_Delete", 1);
    scene.workspace.assert_nothing_published();
    assert_eq!(
        scene.emulator.echo_with_key(&key).status,
        200,
        "the deletion is on hold, so the order is proved"
    );
    assert_eq!(scene.status()["phase"], "stopping");
    scene.emulator.release();
    let (code, text) = scene.finish(agent);
    assert_eq!(code, 0, "{text}");
    assert_eq!(scene.emulator.echo_with_key(&key).status, 401);
    scene.assert_clean();
}

#[test]
fn a_signal_in_the_middle_of_the_first_creation() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let scene = Scene::new(&[], KEY);
        scene.emulator.fault(&json!({"operation": "Subscription_CreateOrUpdate", "action": "hold"}));
        let agent = scene.start(&[]);
        arrived(&scene, "Subscription_CreateOrUpdate", 1);
        agent.signal(signal);
        // The signal has been taken in when the control socket says so.
        scene.status_when("the end", |status| status["phase"] == "stopping");
        scene.emulator.release();
        let (code, text) = scene.finish(agent);
        assert_eq!(code, 0, "{signal}: {text}");
        assert!(text.contains("\nrevoked ") && !text.contains("\npublished "), "{signal}: {text}");
        scene.assert_clean();
    }
}

/// ARM creates it, and the agent is told to end before it ever learns of that.
#[test]
fn a_signal_after_an_answer_that_was_lost() {
    let scene = Scene::new(&[], KEY);
    scene.emulator.fault(&json!({"operation": "Subscription_CreateOrUpdate", "times": 1000, "after": true,
        "action": "reset"}));
    let agent = scene.start(&[]);
    agent.wait_for("; again in");
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    let (code, text) = scene.end(agent);
    assert_eq!(code, 69, "it never had what it needs: {text}");
    scene.assert_clean();
}

/// Faults of the deletion that pass within the deadline.
#[test]
fn a_revocation_is_tried_again() {
    let scene = Scene::new(&[], KEY);
    let cases: [(&str, Value); 4] = [
        ("500", json!({"action": {"status": 500}})),
        ("lost", json!({"after": true, "action": "reset"})),
        ("429", json!({"action": {"status": 429, "headers": {"Retry-After": "1"}}})),
        ("hang", json!({"action": "hang"})),
    ];
    for (name, mut fault) in cases {
        let agent = scene.published(&[("request_timeout", "1s")]);
        fault["operation"] = json!("Subscription_Delete");
        let before = scene.emulator.count("Subscription_Delete");
        scene.emulator.fault(&fault);
        let (code, text) = scene.end(agent);
        assert_eq!(code, 0, "{name}: {text}");
        assert!(text.contains("ARM did not delete") || text.contains("127.0.0.1"), "{name}: {text}");
        assert_eq!(scene.emulator.count("Subscription_Delete") - before, 2, "{name}: {text}");
        scene.assert_clean();
    }
}

/// What cannot be revoked is named, and the next agent of the workspace takes it over and releases it.
#[test]
fn what_cannot_be_revoked_is_named_and_left_to_the_next() {
    let scene = Scene::new(&[], KEY);
    let cases = [
        ("500", json!({"status": 500}), "ARM did not delete the subscription ws-"),
        ("hang", json!("hang"), ""),
    ];
    for (name, action, words) in cases {
        let agent = scene.published(&[("revoke_timeout", "1500ms")]);
        let sid = scene.emulator.subscriptions().remove(0);
        scene.emulator.fault(&json!({"operation": "Subscription_Delete", "times": 1000, "action": action}));
        let (code, text) = scene.end(agent);
        assert_eq!(code, 75, "{name}: {text}");
        for words in [
            "not everything could be revoked, the env file is wiped all the same",
            "key: ",
            words,
            "\n  fix: ",
        ] {
            assert!(text.contains(words), "{name}: no {words:?} in\n{text}");
        }
        scene.workspace.assert_only_the_journal_left();
        scene.assert_silent();

        scene.emulator.clear_faults();
        let agent = scene.published(&[]);
        assert_eq!(scene.emulator.subscriptions(), [sid], "{name}: the next one takes it over");
        assert_eq!(scene.end(agent).0, 0);
        scene.assert_clean();
    }
}

/// The first signal is a request, the second one an order: ARM is not waited for any longer, and the agent says so.
#[test]
fn a_second_signal_ends_the_wait() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[("revoke_timeout", "5m"), ("request_timeout", "5m")]);
    scene.emulator.fault(&json!({"operation": "Subscription_Delete", "action": "hang"}));
    agent.signal(Signal::SIGTERM);
    arrived(&scene, "Subscription_Delete", 1);
    // Those that send one often send it twice, so what comes at once is not yet the second one: it is sent until it is.
    poll("the end", || {
        agent.signal(Signal::SIGTERM);
        agent.has_ended().then_some(())
    });
    let (code, text) = scene.finish(agent);
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("no answer before the deadline for revocations"), "{text}");
    scene.workspace.assert_only_the_journal_left();
    let next = scene.published(&[]);
    assert_eq!(scene.end(next).0, 0);
    scene.assert_clean();
}

/// All that would otherwise be an end without a wipe.
#[test]
fn every_signal_that_can_be_caught_is_an_orderly_end() {
    let scene = Scene::new(&[], KEY);
    for signal in
        [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGXCPU, Signal::SIGPWR]
    {
        let agent = scene.published(&[]);
        agent.signal(signal);
        let (code, text) = scene.finish(agent);
        assert_eq!(code, 0, "{signal}: {text}");
        scene.assert_clean();
    }
}

/// Killed when the test fails.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It has ended in a test that passes.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pager that is not scrolled, a terminal stopped by Ctrl-S: the pipe is full, and nobody reads.
#[test]
fn a_reader_that_stalls_does_not_hold_up_the_wipe() {
    const PAGE: usize = 4096;
    let scene = Scene::new(&[], KEY);
    let (reader, mut writer) = std::io::pipe().unwrap();
    assert_eq!(
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PAGE.try_into().unwrap())),
        Ok(PAGE.try_into().unwrap())
    );
    writer.write_all(&[b'.'; PAGE]).unwrap();
    let mut command = scene.command(&[], &["run"]);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut agent = Guard(command.spawn().unwrap());
    drop(command);
    poll("the env file", || {
        files_below(scene.workspace.runtime_dir.path()).iter().any(|path| path.ends_with("env")).then_some(())
    });
    kill(Pid::from_raw(agent.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let status = poll("the end", || agent.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    drop(reader);
    scene.assert_clean();
}

#[test]
fn a_start_that_fails_leaves_no_folder() {
    let scene = Scene::new(&[], KEY);
    let ca_file = scene.workspace.home.path().join("ca.pem");
    std::fs::write(&ca_file, "not a certificate").unwrap();
    for command in [&["run"][..], &["exec", "--", "true"]] {
        let (code, text) = scene.run(&[("ca_file", ca_file.to_str().unwrap())], command);
        assert_eq!(code, 78, "{text}");
        scene.assert_clean();
    }
}

/// The emulator makes its files before there is an agent.
#[test]
fn a_signal_while_the_emulator_starts() {
    let (home, ram) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let mut command = bare(home.path());
    command.env("XDG_RUNTIME_DIR", ram.path()).args(["--workspace", "early", "run", "--emulator"]);
    let agent = Process::start(&mut command);
    // Without a pause: the start is a matter of milliseconds.
    let folder = loop {
        let mut found = std::fs::read_dir(ram.path()).unwrap().flatten().map(|entry| entry.path());
        if let Some(folder) = found.find(|path| path.to_string_lossy().contains("/apim-emulator-")) {
            break folder;
        }
        assert!(!agent.has_ended(), "{}", agent.text());
    };
    agent.signal(Signal::SIGTERM);
    let (status, text) = agent.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(!folder.exists(), "{} is left: {text}", folder.display());
    assert_eq!(files_below(ram.path()), Vec::<std::path::PathBuf>::new());
}
