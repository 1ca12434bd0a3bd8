//! One of two cannot be had: the other one is published, and everybody is told which.

use super::support::{KEY_AND_TOKEN, scene::Scene};
use serde_json::json;

/// The workspace may look at subscriptions, and not create any.
const READER: &[&str] = &["--role-action", "Microsoft.ApiManagement/service/subscriptions/read"];

const REFUSED: &[&str] = &["key: ARM did not create the subscription", "AuthorizationFailed", "\n  fix: "];

fn optional_key() -> String {
    KEY_AND_TOKEN.replacen("kind = \"subscription-key\"", "kind = \"subscription-key\"\nrequired = false", 1)
}

#[test]
fn a_required_one_is_refused() {
    let scene = Scene::new(READER, KEY_AND_TOKEN);
    let witness = scene.workspace.home.path().join("it-ran");
    let touch = ["exec", "--", "touch", witness.to_str().unwrap()];
    let refused = |arguments: &[&str], code: i32| {
        let (found, text) = scene.run(&[], arguments);
        assert_eq!(found, code, "{arguments:?}: {text}");
        text
    };
    // Without an agent.
    let text = refused(&touch, 77);
    assert!(REFUSED.iter().all(|words| text.contains(words)), "{text}");

    let agent = scene.published(&[]);
    let text = agent.wait_for("not complete yet");
    assert!(text.contains("missing, see above") && text.contains(" (workspace, ona)\n"), "{text}");
    assert_eq!(scene.emulator.echo_with_token(&scene.workspace.value("APIM_ACCESS_TOKEN")).status, 200);
    let status = scene.status();
    assert_eq!((&status["ready"], &status["phase"]), (&json!(false), &json!("published")), "{status}");
    let [key, token] = [&status["credentials"][0], &status["credentials"][1]];
    assert_eq!((&key["required"], &key["state"]), (&json!(true), &json!("failing")), "{status}");
    assert_eq!((&token["state"], &token["error"]), (&json!("published"), &json!(null)), "{status}");
    let file = std::fs::read_to_string(scene.workspace.env_file()).unwrap();
    let why = "\n# APIM_SUBSCRIPTION_KEY has no valid value at the moment: ARM ";
    assert!(file.contains(why), "{file}");
    let identity = &token["identity"];
    assert_eq!((&identity["source"], &identity["actor"]), (&json!("ona"), &json!("workspace")), "{status}");
    assert!(identity["subject"].as_str().unwrap().starts_with("organization_id:"), "{status}");

    let text = refused(&["status"], 75);
    assert!(text.contains("\n    by ona (workspace) organization_id:"), "{text}");
    let output = scene.command(&[], &["env"]).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("missing: APIM_SUBSCRIPTION_KEY"), "{errors}");
    let text = refused(&touch, 77);
    assert!(REFUSED.iter().all(|words| text.contains(words)), "{text}");
    assert!(text.contains("apim-agent refresh"), "the agent goes on trying: {text}");
    assert!(!witness.exists(), "the command ran all the same");

    let (code, text) = scene.end(agent);
    assert_eq!(code, 77, "{text}");
    assert!(REFUSED.iter().all(|words| text.contains(words)), "{text}");
    scene.assert_clean();
}

#[test]
fn an_optional_one_is_refused() {
    let scene = Scene::new(READER, &optional_key());
    let ran = |when: &str| {
        let output = scene.command(&[], &["exec", "--", "env"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{when}");
        assert!(text.contains("APIM_ACCESS_TOKEN=") && !text.contains("APIM_SUBSCRIPTION_KEY="), "{when}");
    };
    ran("without an agent");
    let agent = scene.published(&[]);
    let text = agent.wait_for("\nCtrl-C wipes");
    assert!(text.contains(" ms, without APIM_SUBSCRIPTION_KEY (optional): "), "{text}");
    ran("with an agent");
    let status = scene.status();
    assert_eq!((&status["ready"], &status["credentials"][0]["required"]), (&json!(true), &json!(false)));
    let (code, text) = scene.run(&[], &["status"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("generation 1 is published, 1 optional credential is missing\n"), "{text}");
    let output = scene.command(&[], &["env"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("note: without APIM_SUBSCRIPTION_KEY (optional)"), "{errors}");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn when_all_are_refused_it_ends_by_itself() {
    let scene = Scene::new(READER, &KEY_AND_TOKEN.replace("api://echo/.default", "api://nobody/.default"));
    let (code, text) = scene.run(&[], &["run"]);
    assert_eq!(code, 77, "{text}");
    assert!(REFUSED.iter().all(|words| text.contains(words)), "{text}");
    assert!(text.contains("besides, token: "), "{text}");
    scene.assert_clean();
}
