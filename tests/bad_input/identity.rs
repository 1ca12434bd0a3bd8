//! The workspace's identity: sources that are not there, or give what Entra would refuse. Entra is never asked then.

use super::{
    KEY, refused,
    support::{
        process::Process,
        scene::Scene,
        stub::Stub,
        token::{AUDIENCE, LATER, jwt},
    },
};
use serde_json::json;
use std::net::TcpListener;

#[test]
fn a_token_file_that_gives_no_token() {
    let scene = Scene::new(&[], KEY);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let file = path.to_str().unwrap();
    let expired = jwt(&json!({"iss": "i", "sub": "s", "aud": AUDIENCE, "exp": 1_700_000_000}));
    let elsewhere = jwt(&json!({"iss": "i", "sub": "s", "aud": "https://other.example", "exp": LATER}));
    let cases: [(&str, Option<&str>, &[&str]); 6] = [
        ("missing", None, &["token_file ", "does not exist"]),
        ("empty", Some("\n"), &["is empty", "a JWT"]),
        ("no token", Some("hello, world, I am no token"), &["is not an id token", "there is no dot in it"]),
        ("two segments", Some("eyJhbGciOiJub25lIn0.e30"), &["it has 2 segments"]),
        ("expired", Some(&expired), &["has expired", "2023-11-14T22:13:20Z", "this machine's clock"]),
        ("another audience", Some(&elsewhere), &["for another audience", "https://other.example", AUDIENCE]),
    ];
    for (name, content, words) in cases {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        for content in content.into_iter().filter(|content| content.len() > 16) {
            scene.secret(name, content);
        }
        let settings = [("identity.source", "file"), ("identity.token_file", file)];
        refused(&scene, name, &settings, 78, words);
    }
    nobody_was_asked(&scene);
}

#[test]
fn a_variable_that_gives_no_token() {
    let scene = Scene::new(&[], KEY);
    let expired = jwt(&json!({"iss": "i", "sub": "s", "aud": AUDIENCE, "exp": 1_700_000_000}));
    let cases: [(Option<&str>, &str); 4] = [
        (None, "the variable MY_ID_TOKEN is not set"),
        (Some(" "), "the variable MY_ID_TOKEN is empty"),
        (Some("this is not a token of anybody"), "the variable MY_ID_TOKEN is not an id token"),
        (Some(&expired), "the id token from source env has expired"),
    ];
    for (value, words) in cases {
        let settings = [("identity.source", "env"), ("identity.variable", "MY_ID_TOKEN")];
        let mut command = scene.command(&settings, &["run"]);
        command.envs(value.map(|value| ("MY_ID_TOKEN", value)));
        for value in value.into_iter().filter(|value| value.len() > 16) {
            scene.secret("the variable", value);
        }
        let (code, text) = scene.finish(Process::start(&mut command));
        assert_eq!(code, 78, "{text}");
        assert!(text.contains(words) && text.contains("\n  fix: "), "no {words:?} in\n{text}");
        scene.assert_clean();
    }
    nobody_was_asked(&scene);
}

#[test]
fn a_bearer_that_opens_nothing() {
    let scene = Scene::new(&[], KEY);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bearer");
    let file = path.to_str().unwrap();
    let settings = [("identity.bearer_file", file)];
    refused(&scene, "missing", &settings, 78, &["there is no bearer_file", file, "identity source ona"]);
    std::fs::write(&path, "").unwrap();
    let (code, text) = scene.run(&settings, &["run"]);
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("is empty") && text.contains(file) && text.contains("\n  fix: "), "{text}");
    let wrong = "a-bearer-of-some-other-environment";
    scene.secret("the wrong bearer", wrong);
    std::fs::write(&path, wrong).unwrap();
    let words = [
        "refused to give an id token (401)",
        "unauthenticated: invalid token",
        "is it this environment's",
        file,
    ];
    refused(&scene, "wrong", &settings, 77, &words);
    nobody_was_asked(&scene);
}

#[test]
fn an_issuer_that_redirects_is_not_followed() {
    let scene = Scene::new(&[], KEY);
    let target = Stub::start("200 OK\r\n", "{}");
    let issuer = Stub::start(&format!("308 Permanent Redirect\r\nLocation: {}/x\r\n", target.url), "");
    let words = ["127.0.0.1 redirects to 127.0.0.1", "redirects are not followed", "set identity.url to it"];
    refused(&scene, "redirect", &[("identity.url", &issuer.url)], 78, &words);
    assert_eq!((issuer.requests(), target.requests()), (1, 0), "the bearer went to one place only");
    nobody_was_asked(&scene);
}

#[test]
fn an_issuer_that_fails_is_asked_again_until_somebody_ends_it() {
    let scene = Scene::new(&[], KEY);
    // A port that was free a moment ago, and that nobody listens at.
    let closed = format!("https://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let failing =
        Stub::start("500 Internal Server Error\r\nContent-Type: text/html\r\n", "<html>oops</html>");
    for (url, words) in
        [(&closed, "refused the connection"), (&failing.url, "127.0.0.1 failed to give an id token (500)")]
    {
        let agent = scene.start(&[("identity.url", url)]);
        agent.wait_for("; again in");
        let status = scene.status();
        let key = &status["credentials"][0];
        assert_eq!((&status["phase"], &key["state"]), (&json!("acquiring"), &json!("failing")), "{status}");
        assert!(key["error"]["what"].as_str().unwrap().contains(words), "{status}");
        assert!(key["retries_at"].is_string() && !status.to_string().contains("oops"), "{status}");
        scene.workspace.assert_nothing_published();
        let (code, text) = scene.end(agent);
        assert_eq!(code, 69, "it never had what it needs: {text}");
        assert!(text.contains(words), "{text}");
        scene.assert_clean();
    }
    nobody_was_asked(&scene);
}

/// No assertion went to Entra; the tests' own questions come from the emulator's assertion file, after the fact.
fn nobody_was_asked(scene: &Scene) {
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 0);
    let own = scene.emulator.count("Subscription_List");
    assert_eq!(scene.emulator.count("Entra_Token"), own, "Entra was asked");
}
