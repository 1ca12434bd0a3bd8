//! From a Key Vault: a secret is any text, so all of them are published that a file can hold, and read back as they are.

use super::{
    Stage,
    support::{hostile::Hostile, parse_env},
};
use serde_json::json;
use std::fs;

/// The setting of the one credential, instead of the stage's.
fn settings(stage: &Stage) -> [(String, String); 3] {
    let emulator = &stage.scene.emulator;
    [("kind", "vault-secret"), ("vault", emulator.get("key_vault")), ("secret", emulator.get("secret_name"))]
        .map(|(key, value)| (format!("credentials.password.{key}"), value.to_owned()))
}

/// Puts it into the vault, as the person who rotates what is in it. Whether the vault has taken it: it takes 25 KiB.
fn store(stage: &Stage, value: &str) -> bool {
    let emulator = &stage.scene.emulator;
    let token = format!("{}/_emulator/operator-token", emulator.get("control"));
    let token = emulator.call("GET", &token, &[], "").json();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let url = format!(
        "{}/secrets/{}?api-version=2025-07-01",
        emulator.get("key_vault"),
        emulator.get("secret_name")
    );
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    emulator.call("PUT", &url, &headers, &json!({ "value": value }).to_string()).status == 200
}

#[test]
fn each_secret_is_published_as_it_is_or_refused() {
    let stage = Stage::new();
    stage.scene.workspace.edit(|text| text.split("[credentials.token]").next().unwrap().to_owned());
    let own = settings(&stage);
    let env = ("credentials.password.env", "PASSWORD");
    let settings: Vec<_> =
        own.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain([env]).collect();
    let (mut published, mut refused) = (0, 0);
    for Hostile { name, bytes } in stage.values() {
        let Some(text) = String::from_utf8(bytes).ok().filter(|text| text.len() <= 25 << 10) else {
            continue;
        };
        assert!(store(&stage, &text), "{name}: the vault does not take it");
        let agent = stage.scene.start(&settings);
        stage.settle(name, &agent, "\npublished ", &[]);
        if agent.text().contains("\npublished ") {
            let set = fs::read_to_string(stage.scene.workspace.env_file()).unwrap();
            let set = parse_env(&set);
            let of =
                |wanted: &str| set.iter().find(|(known, _)| known == wanted).map(|(_, value)| value.clone());
            let found = match of("PASSWORD_FILE") {
                Some(path) => fs::read_to_string(path).unwrap(),
                None => of("PASSWORD").expect("one of the two variables"),
            };
            assert!(found == text, "{name}: it is published as something else");
            published += 1;
        } else {
            assert!(text.contains('\0'), "{name}: {}", agent.text());
            refused += 1;
        }
        // What no file can hold is nothing that waiting would mend, and it is all that was asked for.
        let (wanted, (code, said)) =
            if text.contains('\0') { (78, stage.scene.finish(agent)) } else { (0, stage.scene.end(agent)) };
        assert_eq!(code, wanted, "{name}: {said}");
        stage.assert_nothing_executed(name);
        stage.scene.assert_clean();
    }
    assert!(published > 15 && refused > 0, "{published} published, {refused} refused");
}
