//! `exec` from outside: the credentials reach the command, and nothing of them outlives it.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use nix::sys::signal::Signal;
use serde_json::json;
use support::{
    KEY_AND_TOKEN, files_below,
    guard::kill_both,
    process::Process,
    scene::{Scene, poll},
};

/// What a command sees, one `NAME=value` a line; the agent's own output goes to standard error.
fn environment(scene: &Scene, arguments: &[&str]) -> (Option<i32>, Vec<(String, String)>, String) {
    let output = scene.command(&[], arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (output.status.code(), pairs, String::from_utf8(output.stderr).unwrap())
}

fn value<'a>(pairs: &'a [(String, String)], wanted: &str) -> &'a str {
    &pairs.iter().find(|(name, _)| name == wanted).unwrap_or_else(|| panic!("no {wanted}: {pairs:?}")).1
}

#[test]
fn without_an_agent_it_lives_the_whole_life() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let (code, pairs, errors) = environment(&scene, &["exec", "--", "env"]);
    assert_eq!(code, Some(0), "{errors}");
    let (key, token) = (value(&pairs, "APIM_SUBSCRIPTION_KEY"), value(&pairs, "APIM_ACCESS_TOKEN"));
    scene.secret("the key", key);
    scene.secret("the token", token);
    assert_eq!(value(&pairs, "APIM_GATEWAY_URL"), scene.emulator.get("gateway"));
    assert_eq!(value(&pairs, "APIM_AGENT_GENERATION"), "1");
    assert!(value(&pairs, "APIM_AGENT_EXPIRES_AT").ends_with('Z'));
    assert_eq!(scene.emulator.echo_with_key(key).status, 401, "revoked with the command's end");
    assert_eq!(scene.emulator.echo_with_token(token).status, 200, "this can only expire");
    scene.keep(errors);
    scene.assert_clean();
}

#[test]
fn with_an_agent_it_uses_that() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let (code, pairs, errors) = environment(&scene, &["exec", "--", "env"]);
    assert_eq!(code, Some(0), "{errors}");
    for name in ["APIM_SUBSCRIPTION_KEY", "APIM_ACCESS_TOKEN", "APIM_GATEWAY_URL", "APIM_AGENT_EXPIRES_AT"] {
        assert_eq!(value(&pairs, name), scene.workspace.value(name), "{name}");
    }
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1);
    assert_eq!(scene.emulator.echo_with_key(value(&pairs, "APIM_SUBSCRIPTION_KEY")).status, 200);
    scene.keep(errors);
    let (code, pairs, errors) = environment(&scene, &["exec", "--set", "cloud=china", "--", "env"]);
    assert_eq!((code, pairs.len()), (Some(64), 0), "{errors}");
    assert!(errors.contains("--set cloud has no effect here"), "{errors}");
    // It becomes the command: the process is the same, so that signals and the terminal are the command's own.
    let mut child =
        Process::start(&mut scene.command(&[], &["exec", "--", "sh", "-c", "echo pid $$; exec sleep 600"]));
    child.wait_for(&format!("pid {}\n", child.pid()));
    child.signal(Signal::SIGTERM);
    let (code, _) = scene.finish(child);
    assert_eq!(code, 128 + 15);

    // A command that asks before there are credentials waits for them.
    assert_eq!(scene.end(agent).0, 0);
    scene.emulator.fault(&json!({"operation": "Subscription_CreateOrUpdate", "action": "hold"}));
    let agent = scene.start(&[]);
    scene.status_when("the agent", |status| status["phase"] == "acquiring");
    child = Process::start(
        &mut scene.command(&[], &["exec", "--", "sh", "-c", "echo generation $APIM_AGENT_GENERATION"]),
    );
    poll("the creation", || (scene.emulator.count("Subscription_CreateOrUpdate") == 2).then_some(()));
    let (code, pairs, errors) = environment(&scene, &["exec", "--timeout", "50ms", "--", "env"]);
    assert_eq!((code, pairs.len()), (Some(75), 0), "{errors}");
    assert!(!child.text().contains("generation 1"), "{}", child.text());
    scene.emulator.release();
    child.wait_for("generation 1\n");
    assert_eq!(scene.finish(child).0, 0);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn without_an_agent_too_it_waits_no_longer_than_it_may() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    scene.emulator.fault(&json!({"operation": "Entra_Token", "action": {"status": 503}}));
    let (code, pairs, errors) = environment(&scene, &["exec", "--timeout", "300ms", "--", "env"]);
    assert_eq!((code, pairs.len()), (Some(75), 0), "{errors}");
    assert!(errors.contains("were not there within 300ms"), "{errors}");
    scene.keep(errors);
    scene.assert_clean();
}

#[test]
fn it_ends_as_its_command_ends() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let mut agent = Some(agent);
    for has_agent in [true, false] {
        if !has_agent {
            assert_eq!(scene.end(agent.take().unwrap()).0, 0);
        }
        for (script, wanted) in
            [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)]
        {
            let (code, text) = scene.run(&[], &["exec", "--", "sh", "-c", script]);
            assert_eq!(code, wanted, "{script}, agent: {has_agent}: {text}");
        }
        let (code, text) = scene.run(&[], &["exec", "--", "/dev/null"]);
        assert_eq!(code, 126, "{text}");
        let (code, text) = scene.run(&[], &["exec", "--", "/nonexistent/command", "argument"]);
        assert_eq!(code, 127, "{text}");
        for words in ["cannot start /nonexistent/command", "No such file or directory", "search path"] {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
    }
    scene.assert_clean();
}

#[test]
fn signals_reach_the_command_and_the_end_is_still_clean() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        // One that handles the signal, and one that dies of it.
        let script =
            format!("trap 'echo got {name}; exit 3' {name}; echo started; while :; do sleep 0.05; done");
        let exec = Process::start(&mut scene.command(&[], &["exec", "--", "sh", "-c", &script]));
        exec.wait_for("started\n");
        exec.signal(signal);
        let (code, text) = scene.finish(exec);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(&format!("got {name}\n")), "{text}");
        scene.assert_clean();

        let exec = Process::start(
            &mut scene.command(&[], &["exec", "--", "sh", "-c", "echo started; exec sleep 600"]),
        );
        exec.wait_for("started\n");
        exec.signal(signal);
        assert_eq!(scene.finish(exec).0, 128 + signal as i32, "{signal}");
        scene.assert_clean();
    }
}

#[test]
fn a_signal_before_the_command_starts_means_that_it_never_does() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let witness = scene.workspace.home.path().join("it-ran");
    scene.emulator.fault(&json!({"operation": "Subscription_CreateOrUpdate", "action": "hold"}));
    let mut command = scene.command(&[], &["exec", "--", "touch"]);
    let exec = Process::start(command.arg(&witness));
    poll("the creation", || (scene.emulator.count("Subscription_CreateOrUpdate") == 1).then_some(()));
    exec.signal(Signal::SIGTERM);
    scene.status_when("the end", |status| status["phase"] == "stopping");
    scene.emulator.release();
    let (code, text) = scene.finish(exec);
    assert_eq!(code, 128 + 15, "{text}");
    assert!(!witness.exists());
    scene.assert_clean();
}

#[test]
fn what_cannot_be_revoked_is_told_beside_the_commands_own_end() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    scene
        .emulator
        .fault(&json!({"operation": "Subscription_Delete", "times": 1000, "action": {"status": 500}}));
    let settings = [("revoke_timeout", "1500ms")];
    let (code, text) = scene.run(&settings, &["exec", "--", "sh", "-c", "exit 7"]);
    assert_eq!(code, 7, "{text}");
    for words in
        ["not everything could be revoked", "key: ARM did not delete the subscription ws-", "\n  fix: "]
    {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    scene.workspace.assert_only_the_journal_left();
    scene.emulator.clear_faults();
    assert_eq!(scene.run(&[], &["exec", "--", "true"]).0, 0, "the next one takes it over");
    scene.assert_clean();
}

#[test]
fn what_a_killed_agent_left_is_told_of() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let killed = scene.published(&[]);
    kill_both(&killed);
    assert_eq!(scene.finish(killed).0, 128 + 9);
    let (code, pairs, errors) = environment(&scene, &["exec", "--", "env"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("2 files of an agent that was killed, in "), "{errors}");
    scene.secret("the key", value(&pairs, "APIM_SUBSCRIPTION_KEY"));
    scene.keep(errors);
    scene.assert_clean();
}

/// The command's process may write its environment wherever it likes; ours may not.
#[test]
fn while_the_command_runs_only_its_own_process_holds_the_values() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let exec =
        Process::start(&mut scene.command(&[], &["exec", "--", "sh", "-c", "echo started; exec sleep 600"]));
    exec.wait_for("started\n");
    scene.learn(&exec);
    let found = files_below(scene.workspace.runtime_dir.path());
    assert_eq!(found.len(), 3, "the env file, the socket and the journal: {found:?}");
    exec.signal(Signal::SIGTERM);
    assert_eq!(scene.finish(exec).0, 128 + 15);
    scene.assert_clean();
}

/// SIGKILL may be next: what is told to end is wiped and revoked at once, also when the command takes its time.
#[test]
fn a_command_that_outlives_the_signal_is_attended_without_credentials() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let goes_on = scene.workspace.home.path().join("goes-on");
    std::fs::write(&goes_on, "").unwrap();
    let script = format!(
        "trap 'echo got INT' INT; trap 'echo got TERM' TERM; trap 'echo got QUIT' QUIT; trap 'echo got HUP' HUP; trap 'echo got USR1' USR1
        echo started; while [ -e {} ]; do sleep 0.05; done; exit 3",
        goes_on.display()
    );
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP"), (Signal::SIGQUIT, "QUIT")] {
        std::fs::write(&goes_on, "").unwrap();
        let exec = Process::start(&mut scene.command(&[], &["exec", "--", "sh", "-c", &script]));
        exec.wait_for("started\n");
        scene.learn(&exec);
        let key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
        // These are the command's to decide on.
        exec.signal(Signal::SIGINT);
        exec.wait_for("got INT\n");
        exec.signal(Signal::SIGUSR1);
        exec.wait_for("got USR1\n");
        assert_eq!(scene.emulator.echo_with_key(&key).status, 200);
        scene.workspace.env_file();

        exec.signal(signal);
        exec.wait_for(&format!("got {name}\n"));
        poll("the revocation", || scene.emulator.subscriptions().is_empty().then_some(()));
        poll("the removal", || files_below(scene.workspace.runtime_dir.path()).is_empty().then_some(()));
        assert!(!exec.has_ended(), "the command still runs: {}", exec.text());
        std::fs::remove_file(&goes_on).unwrap();
        let (code, text) = scene.finish(exec);
        assert_eq!(code, 3, "{text}");
        scene.assert_clean();
    }
}

/// They are revoked when its command ends: nobody else may come to depend on them.
#[test]
fn its_credentials_are_for_its_command_alone() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let first =
        Process::start(&mut scene.command(&[], &["exec", "--", "sh", "-c", "echo started; exec sleep 600"]));
    first.wait_for("started\n");
    for arguments in [&["exec", "--", "env"][..], &["env"], &["refresh"]] {
        let (code, text) = scene.run(&[], arguments);
        assert_eq!(code, 75, "{arguments:?}: {text}");
        for words in [&format!("an exec (process {}) runs", first.pid()), "apim-agent run"] {
            assert!(text.contains(words), "{arguments:?}: no {words:?} in\n{text}");
        }
    }
    assert_eq!(scene.status()["phase"], "published");
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1);
    first.signal(Signal::SIGTERM);
    assert_eq!(scene.finish(first).0, 128 + 15);
    scene.assert_clean();
}

/// With it the command could ask Entra for more than it was given.
#[test]
fn the_id_token_is_not_for_the_command() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let seen = |settings: &[(&str, &str)], variable: &str| {
        let mut command = scene.command(settings, &["exec", "--", "env"]);
        let output = command.env(variable, "the-id-token").env("OTHER", "stays").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("OTHER=stays\n"), "{}", output.status);
        text.contains("the-id-token")
    };
    assert!(!seen(&[], "APIM_AGENT_ID_TOKEN"));
    assert!(!seen(&[("identity.variable", "CI_TOKEN")], "CI_TOKEN"));
    let agent = scene.published(&[]);
    assert!(!seen(&[], "APIM_AGENT_ID_TOKEN"));
    assert_eq!(scene.end(agent).0, 0);
}
