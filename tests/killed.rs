//! Agents, guards and both of them killed, at any moment: nothing is left behind, here or at Azure, and nothing is deleted
//! that is in use.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use support::{
    KEY, files_below,
    guard::{end, guard, guards, kill_both},
    process::Process,
    scene::{Scene, poll},
};

/// An agent that has published, and was killed together with its guard: its printed text.
fn killed_with_its_guard(scene: &Scene) -> String {
    let agent = scene.published(&[]);
    guard(&agent);
    kill_both(&agent);
    scene.finish(agent).1
}

fn journal(scene: &Scene) -> Option<PathBuf> {
    files_below(scene.workspace.runtime_dir.path()).into_iter().find(|path| path.ends_with("journal"))
}

#[test]
fn a_killed_agents_guard_wipes_and_revokes() {
    let scene = Scene::new(&[], support::KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
    let held_open = std::fs::File::open(scene.workspace.env_file()).unwrap();
    let guard = guard(&agent);
    // Of its own session: nothing that the terminal sends reaches it.
    assert_eq!(nix::unistd::getsid(Some(guard)).unwrap(), guard);
    agent.signal(Signal::SIGKILL);
    // Its outputs are closed when the guard has ended too.
    let (code, text) = scene.finish(agent);
    assert_eq!(code, 128 + 9);
    for words in ["was killed", "wiped      2 files", "revoked    key: the subscription ws-"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert_eq!(held_open.metadata().unwrap().len(), 0, "overwritten, not only unlinked");
    assert_eq!(scene.emulator.echo_with_key(&key).status, 401);
    assert_eq!(scene.emulator.count("Subscription_Delete"), 1);
    scene.assert_clean();
}

#[test]
fn an_agent_that_ends_takes_its_guard_along() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let guard = guard(&agent);
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("was killed"), "{text}");
    poll("the guard's end", || kill(guard, None).is_err().then_some(()));
    assert_eq!(scene.emulator.count("Subscription_Delete"), 1);
    scene.assert_clean();
}

#[test]
fn what_ends_a_group_of_processes_does_not_end_the_guard_first() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let guard = guard(&agent);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        kill(guard, signal).unwrap();
    }
    agent.signal(Signal::SIGKILL);
    let (_, text) = scene.finish(agent);
    assert!(text.contains("revoked    key"), "{text}");
    scene.assert_clean();
}

#[test]
fn a_killed_guard_is_replaced() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let first = guard(&agent);
    end(first);
    let second = poll("another guard", || guards(agent.pid()).into_iter().find(|pid| *pid != first));
    assert!(scene.status()["ready"] == true, "the agent goes on");
    // In a session of its own it is on its feet.
    poll("its session", || (nix::unistd::getsid(Some(second)) == Ok(second)).then_some(()));
    agent.signal(Signal::SIGKILL);
    let (_, text) = scene.finish(agent);
    assert!(text.contains("revoked    key"), "{text}");
    scene.assert_clean();
}

#[test]
fn exec_without_an_agent_has_a_guard_too() {
    let scene = Scene::new(&[], KEY);
    let script = "echo \"pid $$\"; exec sleep 600";
    let agent = Process::start(&mut scene.command(&[], &["exec", "--", "sh", "-c", script]));
    let text = agent.wait_until("the command", |text| {
        text.split_once("pid ").is_some_and(|(_, rest)| rest.contains('\n'))
    });
    let command = text.split_once("pid ").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    guard(&agent);
    agent.signal(Signal::SIGKILL);
    // The command goes on, with credentials that are none any more.
    poll("the revocation", || scene.emulator.subscriptions().is_empty().then_some(()));
    end(Pid::from_raw(command));
    let (code, text) = scene.finish(agent);
    assert_eq!(code, 128 + 9);
    assert!(text.contains("revoked    key"), "{text}");
    scene.assert_clean();
}

#[test]
fn after_both_were_killed_release_does_it_once() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    assert!(journal(&scene).is_some());
    assert_eq!(scene.emulator.subscriptions().len(), 1);

    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("wiped") && text.contains("revoked    key: the subscription ws-"), "{text}");
    scene.assert_clean();
    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("nothing"), "{text}");
    assert_eq!(scene.emulator.count("Subscription_Delete"), 1);
}

#[test]
fn release_needs_no_configuration() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    let folder = scene.workspace.runtime_dir.path().display().to_string();
    scene.workspace.edit(|_| format!("workspace = \"test\"\nruntime_dir = \"{folder}\"\n"));
    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn after_both_were_killed_the_next_agent_takes_over_what_is_its_own() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    let agent = scene.published(&[]);
    assert_eq!(scene.emulator.subscriptions().len(), 1, "the same one, with other keys");
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("wiped      2 files of an agent that was killed"), "{text}");
    assert_eq!(scene.emulator.count("Subscription_Delete"), 1, "by its end");
    scene.assert_clean();
}

#[test]
fn and_releases_what_is_not() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    scene.workspace.edit(|text| text.replace("[credentials.key]", "[credentials.other]"));
    let agent = scene.published(&[]);
    agent.wait_for("revoked    key: the subscription ws-");
    assert_eq!(scene.emulator.subscriptions().len(), 1, "its own is left alone");
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn an_agent_that_ends_before_it_is_ready_releases_it_too() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    scene.workspace.edit(|text| text.replace("[credentials.key]", "[credentials.other]"));
    let down = json!({"operation": "Subscription_CreateOrUpdate", "times": 1000, "action": {"status": 503}});
    scene.emulator.fault(&down);
    let agent = scene.start(&[]);
    poll("its first try", || (scene.emulator.count("Subscription_CreateOrUpdate") == 2).then_some(()));
    let (_, text) = scene.end(agent);
    assert!(text.contains("revoked    key: the subscription ws-"), "{text}");
    scene.assert_clean();
}

#[test]
fn while_arm_is_down_the_journal_is_kept() {
    let scene = Scene::new(&[], KEY);
    let settings: &[_] = &[("revoke_timeout", "100ms")];
    let agent = scene.published(settings);
    let down = json!({"operation": "Subscription_Delete", "times": 1000, "action": {"status": 503}});
    scene.emulator.fault(&down);
    agent.signal(Signal::SIGKILL);
    let (_, text) = scene.finish(agent);
    assert!(text.contains("left       key: ") && text.contains("apim-agent release"), "{text}");
    scene.workspace.assert_nothing_published();
    assert!(journal(&scene).is_some(), "the guard gives up, and leaves what is needed");

    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 75, "{text}");
    // An agent takes it over, and cannot release it at its end either.
    let (code, text) = scene.end(scene.published(settings));
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("apim-agent release"), "{text}");
    assert!(journal(&scene).is_some());
    assert_eq!(scene.emulator.subscriptions().len(), 1);

    scene.emulator.clear_faults();
    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn release_does_not_touch_a_living_agents() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("already runs") && text.contains("stop it"), "{text}");
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    assert_eq!(scene.status()["ready"], true);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn workspaces_do_not_see_each_others_journals() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    let other = scene.published_elsewhere("other");
    kill_both(&other);
    scene.finish(other);
    assert_eq!(scene.emulator.subscriptions().len(), 2);
    let (code, text) = scene.run(&[("workspace", "other")], &["release"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(scene.emulator.subscriptions().len(), 1, "{text}");
    assert!(journal(&scene).is_some());
    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn a_torn_journal_gives_what_is_whole_and_one_that_cannot_be_read_stays() {
    let scene = Scene::new(&[], KEY);
    killed_with_its_guard(&scene);
    let path = journal(&scene).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"version\":1", "\"version\":9")).unwrap();
    for command in ["release", "run"] {
        let (code, printed) = scene.run(&[], &[command]);
        assert_eq!(code, 75, "{printed}");
        assert!(printed.contains("the journal is of version 9"), "{printed}");
        assert!(path.exists());
    }
    std::fs::write(&path, format!("{text}{{\"credential\":\"torn\",\"ki")).unwrap();
    let (code, printed) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("cut off") && printed.contains("revoked    key"), "{printed}");
    scene.assert_clean();
}

/// Only its holder can have a token revoked, so after a death there is nothing but the truth.
#[test]
fn a_killed_agents_tokens_are_told_of() {
    let scene = Scene::new(&[], "");
    scene.workspace.edit(|text| {
        let (broker, audience) = (scene.emulator.get("broker"), scene.emulator.get("broker_audience"));
        format!(
            "{text}[exchanges.broker]\nkind = \"token-exchange\"\ntoken_endpoint = \"{broker}/token\"\n\
             revocation_endpoint = \"{broker}/revoke\"\nsubject_audience = \"{audience}\"\n\
             [credentials.brokered]\nkind = \"brokered\"\nexchange = \"broker\"\nenv = \"BROKERED\"\n"
        )
    });
    let agent = scene.published(&[]);
    agent.signal(Signal::SIGKILL);
    let (_, text) = scene.finish(agent);
    assert!(text.contains("expires    brokered: its last token merely expires, at 2"), "{text}");
    scene.workspace.assert_nothing_left();
    scene.assert_silent();
}

/// The long form of this is `scripts/torture`.
#[test]
fn at_any_moment() {
    let scene = Scene::new(&["--latency", "5ms"], support::KEY_AND_TOKEN);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..24 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // From before its first breath to after its last, with renewals in between.
        let moment = Duration::from_millis((random >> 33) % 900);
        let agent = scene.start(&[("credentials.key.lifetime", "2s"), ("credentials.key.grace", "100ms")]);
        std::thread::sleep(moment);
        if round % 5 == 4 {
            kill_both(&agent);
            scene.finish(agent);
            let (code, text) = scene.run(&[], &["release"]);
            assert_eq!(code, 0, "round {round}, after {moment:?}: {text}");
        } else {
            agent.signal(Signal::SIGKILL);
            scene.finish(agent);
        }
        // A guard that had not been told of the directory yet is not there, and neither is anything else.
        scene.workspace.assert_nothing_published();
        let left = scene.emulator.subscriptions();
        assert!(left.is_empty(), "round {round}, after {moment:?}: {left:?}");
    }
    let (code, text) = scene.run(&[], &["release"]);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}
