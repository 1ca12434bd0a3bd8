//! The configuration is changed under an agent that runs.

use super::support::{KEY_AND_TOKEN, bare, process::Process, scene::Scene};
use serde_json::json;

const OTHER: &str = r#"
[credentials.other]
kind = "access-token"
scope = "api://echo/.default"
env = "OTHER_TOKEN"
"#;

fn edit(scene: &Scene, agent: &Process, from: &str, to: &str, words: &str) -> String {
    let before = agent.text().len();
    scene.workspace.edit(|text| {
        assert!(text.contains(from), "no {from:?} in\n{text}");
        text.replacen(from, to, 1)
    });
    let text = agent.wait_until(words, |text| text[before..].contains(words));
    text[before..].to_owned()
}

#[test]
fn what_still_holds_is_not_dropped() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
    let token = scene.workspace.value("APIM_ACCESS_TOKEN");
    let key_table = "[credentials.key]";

    edit(
        &scene,
        &agent,
        key_table,
        &format!("{OTHER}{key_table}"),
        "generation 2 published: OTHER_TOKEN until ",
    );
    agent.wait_for("configuration: added other\n");
    scene.learn(&agent);
    assert_eq!(scene.workspace.value("APIM_SUBSCRIPTION_KEY"), key);
    assert_eq!(scene.workspace.value("APIM_ACCESS_TOKEN"), token);
    let names: Vec<_> = scene.workspace.published().into_iter().map(|(name, _)| name).collect();
    assert!(
        names.ends_with(&["OTHER_TOKEN", "APIM_SUBSCRIPTION_KEY", "APIM_ACCESS_TOKEN"].map(str::to_owned))
    );

    edit(&scene, &agent, OTHER, "", "expires    OTHER_TOKEN: cannot be revoked");
    agent.wait_for("configuration: removed other\n");
    assert!(scene.workspace.published().iter().all(|(name, _)| name != "OTHER_TOKEN"));
    assert_eq!(scene.status()["credentials"].as_array().unwrap().len(), 2);

    // Under another variable it is the same value.
    edit(&scene, &agent, "\"APIM_ACCESS_TOKEN\"", "\"TOKEN\"", "generation 4 published");
    agent.wait_for("configuration: adjusted token\n");
    assert_eq!(scene.workspace.value("TOKEN"), token);

    // A comment is no change.
    scene.workspace.edit(|text| format!("# nothing\n{text}"));
    let told = edit(&scene, &agent, "workspace = \"test\"", "workspace = \"else\"", "configuration: ");
    assert!(told.contains("configuration: workspace takes effect at the next start\n"), "{told}");
    scene.workspace.edit(|text| text.replacen("\"else\"", "\"test\"", 1));
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1, "the key was never touched");
    assert_eq!(scene.emulator.echo_with_key(&key).status, 200);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn a_changed_one_is_revoked_before_it_is_had_again() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let key = scene.workspace.value("APIM_SUBSCRIPTION_KEY");
    let lifetime = "env = \"APIM_SUBSCRIPTION_KEY\"\nlifetime = \"2h\"";
    let told = edit(
        &scene,
        &agent,
        "env = \"APIM_SUBSCRIPTION_KEY\"",
        lifetime,
        "generation 3 published: APIM_SUBSCRIPTION_KEY until ",
    );
    assert!(told.contains("configuration: changed key\n"), "{told}");
    assert!(told.contains("generation 2 published; without APIM_SUBSCRIPTION_KEY\n"), "{told}");
    assert!(told.contains("revoked    APIM_SUBSCRIPTION_KEY: its subscription is deleted\n"), "{told}");
    scene.learn(&agent);
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    assert_eq!(scene.emulator.echo_with_key(&key).status, 401);
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn what_leaves_is_released_however_long_that_takes_and_at_the_end_at_the_latest() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let fault = json!({"operation": "Subscription_Delete", "times": 1000, "action": {"status": 403}});
    scene.emulator.fault(&fault);
    let key_entry = KEY_AND_TOKEN.split_once("[credentials.token]").unwrap().0;
    edit(&scene, &agent, key_entry, "\n", "APIM_SUBSCRIPTION_KEY: ARM did not delete the subscription");
    let status = scene.status();
    assert_eq!((&status["ready"], &status["generation"]), (&json!(true), &json!(2)), "{status}");
    let leaving = &status["credentials"][1];
    assert_eq!((&leaving["name"], &leaving["state"]), (&json!("key"), &json!("releasing")), "{status}");
    assert!(leaving["retries_at"].is_string(), "{status}");
    scene.emulator.clear_faults();
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn a_broken_file_leaves_the_one_before_in_force() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let before = scene.workspace.published();
    let told = edit(&scene, &agent, "kind = \"access-token\"", "kind = \"acess-token\"", "\n           fix ");
    for words in [
        "configuration: the changed configuration is not applied, the one before stays in force",
        "acess-token",
    ] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
    let status = scene.status();
    assert!(status["config_error"]["why"].as_str().unwrap().contains("acess-token"), "{status}");
    assert_eq!((&status["ready"], &status["generation"]), (&json!(true), &json!(1)), "{status}");
    let (_, text) = scene.run(&[], &["status"]);
    assert!(
        text.contains("\n  the changed configuration is not applied, the one before stays in force, "),
        "{text}"
    );
    edit(
        &scene,
        &agent,
        "kind = \"acess-token\"",
        "kind = \"access-token\"",
        "configuration: in order again",
    );
    assert!(scene.status()["config_error"].is_null());
    assert_eq!(scene.workspace.published(), before);

    // A file that is gone, and back.
    let file = scene.workspace.home.path().join("apim-agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    agent.wait_for("apim-agent.toml does not exist");
    std::fs::write(&file, format!("{text}{OTHER}")).unwrap();
    agent.wait_for("configuration: added other\n");
    agent.wait_for("OTHER_TOKEN until ");
    scene.learn(&agent);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// What `run --emulator` sets beats the file, then as at the start.
#[test]
fn on_an_emulator_of_its_own_too() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let mut command = scene.command(&[], &["run", "--emulator"]);
    let agent = Process::start(command.env("XDG_RUNTIME_DIR", scene.workspace.runtime_dir.path()));
    agent.wait_for("\npublished ");
    scene.workspace.edit(|text| format!("{text}{OTHER}"));
    agent.wait_for("OTHER_TOKEN until ");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// What its absence would mean for the settings is beside the point.
#[test]
fn a_file_that_was_found_and_is_gone_is_missed_by_name() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let home = scene.workspace.home.path();
    let agent = |arguments: &[&str]| {
        let mut command = bare(home);
        command.env("XDG_RUNTIME_DIR", scene.workspace.runtime_dir.path()).current_dir(home);
        Process::start(command.args(["--workspace", "found"]).args(arguments))
    };
    let allow = || assert_eq!(scene.finish(agent(&["allow"])).0, 0);
    allow();
    let agent = agent(&["run"]);
    agent.wait_for("\npublished ");
    let file = home.join("apim-agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    agent.wait_for("apim-agent.toml does not exist any more\n           fix  put it back");
    // A setting for the next start that is taken back is told of as well.
    std::fs::write(&file, format!("request_timeout = \"9s\"\n{text}")).unwrap();
    allow();
    agent.wait_for("configuration: request_timeout takes effect at the next start\n");
    std::fs::write(&file, text).unwrap();
    agent.wait_for("configuration: as it was at the start\n");
    assert_eq!(scene.end(agent).0, 0);
}
