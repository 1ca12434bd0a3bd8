//! From Entra: the access token is what is published.

use super::{Stage, support::hostile::Hostile};
use serde_json::{Value, json};

/// Entra's answer is this, once or for good.
fn answer(stage: &Stage, times: u32, body: &Value) {
    stage.scene.emulator.fault(&json!({"operation": "Entra_Token", "times": times, "action": {
        "status": 200, "headers": {"Content-Type": "application/json"}, "body": body.to_string(),
    }}));
}

/// A token with all that is allowed besides letters and digits (RFC 6750, 2.1).
const GOOD: &str = "a.good-token_of~some+length/-==";

fn token(value: &str) -> Value {
    json!({"token_type": "Bearer", "expires_in": 3599, "access_token": value})
}

/// Those that JSON can carry to the emulator, which reads no more than a megabyte itself.
fn values(stage: &Stage) -> Vec<Hostile> {
    stage.values().into_iter().filter(|value| value.text().is_some() && value.bytes.len() < 1 << 19).collect()
}

#[test]
fn an_access_token_that_is_none() {
    let stage = Stage::new();
    let values = values(&stage);
    assert!(values.len() > 20);
    for value in values {
        let text = value.text().unwrap();
        answer(&stage, 1000, &token(text));
        let (code, said) = stage.run(value.name, &[], &["\n  fix: "]);
        // Whether it may be one at all is RFC 6750's word (b64token): what may not be is refused for good, and what fits
        // into no variable is in a file.
        let may_be_one = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        let words = if may_be_one { "\npublished " } else { "Entra's answer holds no access token" };
        assert!(said.contains(words), "{}: {said}", value.name);
        assert_eq!(code, if may_be_one { 0 } else { 78 }, "{}: {said}", value.name);
        stage.scene.emulator.clear_faults();
        stage.scene.assert_clean();
    }
}

#[test]
fn one_of_unusual_characters() {
    let stage = Stage::new();
    stage.scene.secret("the good token", GOOD);
    answer(&stage, 1000, &token(GOOD));
    let agent = stage.scene.start(&[]);
    stage.settle("unusual", &agent, "\npublished ", &[]);
    assert_eq!(stage.scene.workspace.value("APIM_ACCESS_TOKEN"), GOOD);
    let (code, text) = stage.scene.end(agent);
    assert_eq!(code, 0, "{text}");
    stage.scene.emulator.clear_faults();
    stage.scene.assert_clean();
}

/// What was published before stays, whole, until it is replaced as a whole.
#[test]
fn a_renewal_that_brings_one() {
    let stage = Stage::new();
    stage.scene.secret("the good token", GOOD);
    // Due for renewal a fiftieth of its life later.
    let first = json!({"token_type": "Bearer", "expires_in": 50, "refresh_in": 1, "access_token": GOOD});
    answer(&stage, 1, &first);
    answer(&stage, 1000, &token(values(&stage)[1].text().unwrap()));
    let agent = stage.scene.start(&[]);
    agent.wait_for("\npublished ");
    assert_eq!(stage.scene.workspace.value("APIM_ACCESS_TOKEN"), GOOD);
    stage.settle("renewal", &agent, "generation 2 published", &["holds no access token"]);
    if !agent.text().contains("generation 2 published") {
        assert_eq!(stage.scene.workspace.value("APIM_ACCESS_TOKEN"), GOOD, "the old one is still there");
    }
    let (code, text) = stage.scene.end(agent);
    assert_eq!(code, 0, "{text}");
    stage.scene.emulator.clear_faults();
    stage.scene.assert_clean();
}

/// Half a surrogate pair is JSON, but no text.
#[test]
fn an_answer_that_is_no_text() {
    let stage = Stage::new();
    let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"0a1b2c3d-mark-4e5f6a7b\ud800"}"#;
    stage.scene.emulator.fault(&json!({"operation": "Entra_Token", "times": 1000, "action": {
        "status": 200, "headers": {"Content-Type": "application/json"}, "body": body,
    }}));
    let (code, text) = stage.run("half a pair", &[], &["Entra's answer holds no access token"]);
    assert_eq!(code, 69, "{text}");
    assert!(!text.contains("\npublished "), "{text}");
    stage.scene.emulator.clear_faults();
    stage.scene.assert_clean();
}
