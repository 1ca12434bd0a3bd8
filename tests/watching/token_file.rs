//! A token file that is replaced is a reason to try again at once.

use super::support::{scene::Scene, token::plausible};
use apim_agent::clock;

const TWO: &str = r#"
[credentials.own]
scope = "api://echo/.default"
env = "OWN_TOKEN"
[credentials.other]
scope = "api://echo/.default"
exchange = "other"
env = "OTHER_TOKEN"
"#;

#[test]
fn what_failed_because_of_it_is_tried_at_once() {
    let scene = Scene::new(&[], TWO);
    // As a projected volume has it: a link through a folder that is replaced as a whole.
    let volume = scene.workspace.home.path().join("volume");
    let provide = |version: &str, token: &str| {
        std::fs::create_dir_all(volume.join(version)).unwrap();
        std::fs::write(volume.join(version).join("token"), token).unwrap();
        std::os::unix::fs::symlink(version, volume.join("..new")).unwrap();
        std::fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
    };
    let foreign = plausible("https://issuer.example", "nobody");
    scene.secret("the foreign token", &foreign);
    provide("..1", &foreign);
    std::os::unix::fs::symlink("..data/token", volume.join("token")).unwrap();
    let [tenant, client, authority] =
        ["tenant_id", "client_id", "authority"].map(|key| scene.emulator.get(key).to_owned());
    scene.workspace.edit(|text| {
        format!(
            r#"{text}
[identities.other]
source = "file"
token_file = "{}/token"
[exchanges.other]
kind = "entra"
identity = "other"
tenant_id = "{tenant}"
client_id = "{client}"
authority = "{authority}"
"#,
            volume.display()
        )
    });
    let agent = scene.published(&[]);
    let status = scene.status();
    let other = &status["credentials"][1];
    assert_eq!(other["state"], "failing", "{status}");
    let by_itself = clock::parse_rfc3339(other["retries_at"].as_str().unwrap()).unwrap();

    provide("..2", &std::fs::read_to_string(scene.emulator.get("assertion_file")).unwrap());
    agent.wait_for("generation 2 after ");
    assert!(clock::now() < by_itself, "nobody told it of the new file");
    scene.learn(&agent);
    let status = scene.status();
    let sources = ["ona", "file"].map(serde_json::Value::from);
    let found = [0, 1].map(|index| status["credentials"][index]["identity"]["source"].clone());
    assert_eq!(found, sources, "{status}");
    // The test put the tokens there itself.
    std::fs::remove_dir_all(&volume).unwrap();
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}
