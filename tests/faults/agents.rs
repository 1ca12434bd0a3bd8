//! More than one agent, and one that was killed.

use super::{
    KEY,
    support::{
        files_below,
        guard::kill_both,
        process::Process,
        scene::{Scene, poll},
    },
};

#[test]
fn the_second_agent_of_a_workspace_names_the_first() {
    let scene = Scene::new(&[], KEY);
    let first = scene.published(&[]);
    let pid = first.pid().to_string();
    let before = scene.workspace.published();
    let (code, text) = scene.run(&[], &["run"]);
    assert_eq!(code, 75, "{text}");
    for words in
        ["an agent for workspace test already runs", &format!("process {pid} holds "), "apim-agent status"]
    {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert_eq!(scene.workspace.published(), before, "the first one's file is as it was");
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1);
    assert!(scene.status()["ready"] == true);

    // Another workspace is another matter, in the same place.
    let other = scene.published_elsewhere("other");
    assert_eq!(scene.emulator.subscriptions().len(), 2);
    assert_eq!(scene.end(other).0, 0);
    assert_eq!(
        scene.emulator.subscriptions().len(),
        1,
        "the first one's subscription is not the other's to delete"
    );
    assert_eq!(scene.end(first).0, 0);
    scene.assert_clean();
}

#[test]
fn what_a_killed_agent_left_is_wiped_and_taken_over() {
    let scene = Scene::new(&[], KEY);
    let killed = scene.published(&[]);
    let file = scene.workspace.env_file();
    let old_key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
    let held_open = std::fs::File::open(&file).unwrap();
    kill_both(&killed);
    let (code, text) = scene.finish(killed);
    assert_eq!(code, 128 + 9, "{text}");
    assert_eq!(files_below(scene.workspace.runtime_dir.path()).len(), 3, "env, control and journal are left");
    let (code, text) = scene.run(&[], &["status"]);
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("no agent runs"), "{text}");

    // The next one is stopped before it publishes, to see that the wipe does not wait for that.
    scene.emulator.fault(&serde_json::json!({"operation": "Subscription_CreateOrUpdate", "action": "hold"}));
    let next = scene.start(&[]);
    let told = next.wait_for("of an agent that was killed, in ");
    assert!(told.contains("wiped      2 files"), "{told}");
    scene.workspace.assert_nothing_published();
    let left = std::io::read_to_string(held_open).unwrap();
    assert!(
        left.bytes().all(|byte| byte == 0),
        "what was left was overwritten, also for those that hold it open"
    );
    poll("the creation", || (scene.emulator.count("Subscription_CreateOrUpdate") == 2).then_some(()));
    scene.emulator.release();

    next.wait_for("\npublished ");
    scene.learn(&next);
    assert_eq!(scene.emulator.subscriptions().len(), 1, "taken over, not added to");
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    assert_eq!(scene.emulator.echo_with_key(&old_key).status, 401, "the old keys died with the takeover");
    assert_eq!(scene.end(next).0, 0);
    scene.assert_clean();
}

/// However many ask at once, new values come one after the other, and no second subscription does.
#[test]
fn many_refresh_at_once() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[("credentials.key.grace", "0s")]);
    let before = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
    poll("generation 2", || {
        let refresh = |_| Process::start(&mut scene.command(&[], &["refresh"]));
        let all_at_once: Vec<_> = (0..6).map(refresh).collect();
        for refresh in all_at_once {
            let (code, text) = scene.finish(refresh);
            assert_eq!(code, 0, "{text}");
        }
        agent.text().contains("generation 2 published").then_some(())
    });
    scene.status_when("rest", |status| {
        let key = &status["credentials"][0];
        key["state"] == "published" && key["grace_until"].is_null()
    });
    // Those that came late may have asked for yet another one, which follows within a second or so.
    let after = poll("a key that is good and stays", || {
        let key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
        let is_good = scene.emulator.echo_with_key(&key).status == 200;
        (is_good && scene.workspace.value("APIM_SUBSCRIPTION_KEY") == key).then_some(key)
    });
    assert_ne!(before, after);
    scene.learn(&agent);
    assert_eq!(scene.emulator.echo_with_key(&before).status, 401, "its grace is over");
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1);
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}
