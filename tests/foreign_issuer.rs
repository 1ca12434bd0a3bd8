//! A foreign OIDC server as the workspace's identity: the emulated Entra fetches its discovery document and its keys.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use apim_agent::{clock, emulator::jwt::SigningKey};
use serde_json::json;
use std::time::Duration;
use support::{KEY_AND_TOKEN, scene::Scene, stub::Stub, token::AUDIENCE};

const SUBJECT: &str = "system:serviceaccount:payments:builder";

fn token(key: &SigningKey, iss: &str, sub: &str) -> String {
    let now = clock::now();
    let (iat, exp) = (clock::unix(now), clock::unix(now + Duration::from_hours(1)));
    key.sign(&json!({"iss": iss, "sub": sub, "aud": AUDIENCE, "iat": iat, "nbf": iat, "exp": exp})).unwrap()
}

#[test]
fn its_tokens_are_good_for_the_subject_that_is_trusted_and_only_with_its_signature() {
    let (key, other_key) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    // One document for both questions: where the keys are, and the keys.
    let issuer = Stub::start_with("200 OK\r\nContent-Type: application/json\r\n", |url| {
        json!({"issuer": url, "jwks_uri": format!("{url}/keys"), "keys": key.jwks()["keys"]}).to_string()
    });
    let scene = Scene::new(&["--trust-issuer", &format!("{},{SUBJECT}", issuer.url)], KEY_AND_TOKEN);
    let file = scene.workspace.runtime_dir.path().join("token");
    let settings = [("identity.source", "file"), ("identity.token_file", file.to_str().unwrap())];
    let exec = |token: String| {
        scene.secret("an id token", &token);
        std::fs::write(&file, token).unwrap();
        scene.run(&settings, &["exec", "--", "sh", "-c", "test -n \"$APIM_ACCESS_TOKEN\""])
    };

    let (code, text) = exec(token(&key, &issuer.url, SUBJECT));
    assert_eq!(code, 0, "{text}");
    assert!(issuer.requests() >= 2, "the discovery document and the keys are really fetched");

    let (code, text) = exec(token(&key, &issuer.url, "system:serviceaccount:payments:intruder"));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("AADSTS700213") && text.contains("payments:intruder"), "{text}");

    let (code, text) = exec(token(&other_key, &issuer.url, SUBJECT));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("AADSTS7000272") || text.contains("AADSTS700027"), "{text}");

    let nobody = Stub::start("404 Not Found\r\n", "");
    let (code, text) = exec(token(&key, &nobody.url, SUBJECT));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("AADSTS700211"), "{text}");
    assert_eq!(nobody.requests(), 0, "an issuer that is not trusted is asked for nothing");

    std::fs::remove_file(&file).unwrap();
    scene.assert_clean();
}
