//! From the workspace's identity: what is no id token goes nowhere.

use super::{Stage, support::stub::Stub};
use serde_json::json;

#[test]
fn from_the_identity_service() {
    let stage = Stage::new();
    for value in stage.values() {
        let json = value.text().map(|text| json!({ "token": text }).to_string().into_bytes());
        let body = json.unwrap_or_else(|| [b"{\"token\":\"", &value.bytes[..], b"\"}"].concat());
        let head = "200 OK\r\nContent-Type: application/json\r\n";
        let stub = Stub::serve(|_| move |_: &str| (head.to_owned(), body.clone()));
        let (code, text) = stage.run(value.name, &[("identity.url", &stub.url)], &["127.0.0.1"]);
        // What cannot be read at all may be a portal's, and over in a minute.
        let unreadable = value.text().is_none();
        assert_eq!(code, if unreadable { 69 } else { 78 }, "{}: {text}", value.name);
        let words =
            if unreadable { "answered something that holds no id token" } else { "is not an id token" };
        let too_long = value.bytes.len() >= 1 << 20;
        assert!(text.contains(words) || too_long, "{}: {text}", value.name);
        assert!(!text.contains("\npublished "), "{}: {text}", value.name);
        stage.scene.assert_clean();
    }
    nobody_was_asked(&stage);
}

#[test]
fn from_a_file_and_from_a_command() {
    let stage = Stage::new();
    // In RAM: the leak check looks through the home folder.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("token");
    let file = path.to_str().unwrap();
    let command = json!(["cat", file]).to_string();
    let settings = [
        [("identity.source", "file"), ("identity.token_file", file)],
        [("identity.source", "command"), ("identity.command", &command)],
    ];
    for value in stage.values() {
        std::fs::write(&path, &value.bytes).unwrap();
        for settings in settings {
            let (code, text) = stage.run(value.name, &settings, &["\n  fix: "]);
            assert_eq!(code, 78, "{}: {text}", value.name);
            let words =
                ["is not an id token", "it is not text", "it is longer than 64 KiB", "longer than 64 KiB"];
            assert!(words.iter().any(|words| text.contains(words)), "{}: {text}", value.name);
            stage.scene.assert_clean();
        }
    }
    nobody_was_asked(&stage);
}

/// Nothing went to Entra but the tests' own questions.
fn nobody_was_asked(stage: &Stage) {
    let own = stage.scene.emulator.count("Subscription_List");
    assert_eq!(stage.scene.emulator.count("Entra_Token"), own, "Entra was asked");
}
