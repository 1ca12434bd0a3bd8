//! Faults at a renewal: the old value stays while it is good, and never a moment longer.

use super::{
    KEY, TOKEN,
    support::{
        files_below,
        scene::{Scene, poll},
    },
};
use serde_json::json;

/// What `status` says of the only credential.
fn state(status: &serde_json::Value) -> &str {
    status["credentials"][0]["state"].as_str().unwrap()
}

#[test]
fn entra_is_down_for_longer_than_the_token_lives() {
    let scene = Scene::new(&["--access-token-life", "8s"], TOKEN);
    let agent = scene.published(&[]);
    let token = scene.workspace.value("APIM_ACCESS_TOKEN");
    scene.emulator.fault(&json!({"operation": "Entra_Token", "times": 100_000, "action": {"status": 503}}));
    agent.wait_for("APIM_ACCESS_TOKEN: Entra failed (503)");
    let status = scene.status();
    assert_eq!((state(&status), &status["ready"]), ("failing", &json!(true)), "{status}");
    assert_eq!(scene.workspace.value("APIM_ACCESS_TOKEN"), token, "the old one stays");
    assert_eq!(scene.emulator.echo_with_token(&token).status, 200, "and is good");

    agent.wait_for("APIM_ACCESS_TOKEN: has expired and was taken out");
    let status = scene.status_when("a set without it", |status| status["expires_at"].is_null());
    assert_eq!((state(&status), &status["ready"]), ("expired", &json!(false)), "{status}");
    assert!(
        status["credentials"][0]["error"]["what"].as_str().unwrap().contains("Entra failed (503)"),
        "{status}"
    );
    let names: Vec<_> = scene.workspace.published().into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name == "APIM_ACCESS_TOKEN"), "{names:?}");
    let (_, text) = scene.run(&[], &["env", "--format", "dotenv"]);
    assert!(!text.contains("APIM_ACCESS_TOKEN="), "{text}");

    scene.emulator.clear_faults();
    scene.status_when("the recovery", |status| status["ready"] == true);
    let fresh = scene.workspace.value("APIM_ACCESS_TOKEN");
    assert_ne!(fresh, token);
    assert_eq!(scene.emulator.echo_with_token(&fresh).status, 200);
    scene.learn(&agent);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn arm_is_down_for_longer_than_the_key_lives() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[("credentials.key.lifetime", "6s"), ("credentials.key.grace", "0s")]);
    scene.emulator.fault(&json!({"operation": "arm", "times": 100_000, "action": {"status": 503}}));
    agent.wait_for("APIM_SUBSCRIPTION_KEY: ARM did not update the subscription");
    agent.wait_for("APIM_SUBSCRIPTION_KEY: has expired and was taken out");
    let status = scene.status_when("a set without it", |status| status["expires_at"].is_null());
    assert_eq!((state(&status), &status["ready"]), ("expired", &json!(false)), "{status}");
    let names: Vec<_> = scene.workspace.published().into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name == "APIM_SUBSCRIPTION_KEY"), "{names:?}");

    scene.emulator.clear_faults();
    scene.status_when("the recovery", |status| status["ready"] == true);
    scene.learn(&agent);
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// ARM makes the change, and the agent does not hear of it: neither a lost key nor a version that stays stale.
#[test]
fn answers_to_changes_are_lost() {
    let scene = Scene::new(&["--rate-limit", "1000000"], KEY);
    let agent = scene.published(&[("credentials.key.lifetime", "4s"), ("credentials.key.grace", "1s")]);
    for action in ["reset", "truncate"] {
        scene.emulator.fault(&json!({"operation": "Subscription_Update", "after": true, "action": action}));
    }
    // The calls go on over several renewals, and are never refused.
    poll("four renewals", || {
        let (key, done) =
            (scene.workspace.value("APIM_SUBSCRIPTION_KEY"), agent.text().contains("generation 5 published"));
        assert_eq!(scene.emulator.echo_with_key(&key).status, 200, "{}", agent.text());
        done.then_some(())
    });
    let faults = scene.emulator.journal().iter().filter(|row| row["fault"].is_string()).count();
    assert_eq!(faults, 2, "both answers were lost");
    scene.learn(&agent);
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// Somebody deletes the subscription: every key of it is dead, and the next renewal finds out and makes a new one.
#[test]
fn the_subscription_is_deleted_by_another_hand() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let [sid] = &scene.emulator.subscriptions()[..] else { panic!("one subscription") };
    scene.emulator.delete(sid);
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 401);
    assert_eq!(scene.run(&[], &["refresh"]).0, 0);
    agent.wait_for("was deleted by another hand");
    agent.wait_for("generation 2 published");
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    scene.learn(&agent);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// The gateway learns a new key late: nothing is published before it does.
#[test]
fn nothing_is_published_before_the_gateway_knows_it() {
    let scene = Scene::new(&["--key-delay", "2s"], KEY);
    let agent = scene.start(&[]);
    poll("a refused probe", || {
        let probed =
            scene.emulator.journal().iter().any(|row| row["service"] == "gateway" && row["status"] == 401);
        assert!(probed || !agent.text().contains("\npublished "), "published without a proof");
        probed.then_some(())
    });
    let status = scene.status();
    assert_eq!(status["phase"], "acquiring", "{status}");
    let found = files_below(scene.workspace.runtime_dir.path());
    let others = found.iter().filter(|path| !path.ends_with("control") && !path.ends_with("journal"));
    assert_eq!(others.count(), 0, "{found:?}");
    agent.wait_for("\npublished ");
    // The very first call with what is published is good.
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    scene.learn(&agent);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}
