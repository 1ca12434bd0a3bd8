//! Faults that pass, before anything is published: told of with the time of the next try, and tried again.

use super::{
    KEY, TOKEN,
    support::scene::{Scene, Settings},
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// One action at one operation, and words of the error.
type Case<'a> = (&'a str, Value, &'a [&'a str]);

/// While the fault lasts, `status` tells of it and nothing is published; once it is over, all is well.
fn passes(scene: &Scene, settings: Settings<'_>, operation: &str, (name, action, words): Case<'_>) {
    let after = action["after"].as_bool().unwrap_or_default();
    let action = action.get("lost").unwrap_or(&action);
    scene.emulator.fault(&json!({"operation": operation, "times": 1000, "after": after, "action": action}));
    let agent = scene.start(settings);
    agent.wait_for("; again in");
    let status = scene.status();
    let credential = &status["credentials"][0];
    assert_eq!(status["phase"], "acquiring", "{name}: {status}");
    assert_eq!(credential["state"], "failing", "{name}: {status}");
    let error = credential["error"].to_string();
    for words in words {
        assert!(error.contains(words), "{name}: no {words:?} in {error}");
    }
    if let Some(asked) = action["headers"]["Retry-After"].as_str() {
        let at = |text: &Value| OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
        let wait = (at(&credential["retries_at"]) - at(&credential["error"]["at"])).whole_seconds();
        // Both are told in whole seconds. By itself the agent would wait two at most.
        assert!((wait - asked.parse::<i64>().unwrap()).abs() <= 1, "{name}: {wait} s: {status}");
    }
    scene.workspace.assert_nothing_published();
    scene.emulator.clear_faults();

    agent.wait_for("\npublished ");
    scene.learn(&agent);
    let status = scene.status();
    assert_eq!(
        (&status["ready"], &status["credentials"][0]["error"]),
        (&json!(true), &Value::Null),
        "{name}"
    );
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{name}: {text}");
    scene.assert_clean();
}

fn answer(status: u16, content_type: &str, body: &str) -> Value {
    json!({"status": status, "headers": {"Content-Type": content_type}, "body": body})
}

fn busy(status: u16, body: &Value) -> Value {
    let headers = json!({"Content-Type": "application/json", "Retry-After": "4"});
    json!({"status": status, "headers": headers, "body": body.to_string()})
}

/// The answer is lost after the work was done.
fn lost(action: &str) -> Value {
    json!({"after": true, "lost": action})
}

/// Short enough for a test that waits for it, long enough for a busy machine.
const PATIENCE: Settings<'_> = &[("request_timeout", "1s")];

#[test]
fn the_identity_service() {
    let scene = Scene::new(&[], TOKEN);
    let cases: [Case<'_>; 4] = [
        (
            "500",
            answer(500, "text/html", "<html>oops"),
            &["failed to give an id token (500)", "text/html, 10 bytes"],
        ),
        ("hang", json!("hang"), &["no id token from 127.0.0.1", "timed out after 1s"]),
        ("reset", json!("reset"), &["no id token from 127.0.0.1"]),
        ("garbage", json!("garbage"), &["answered something that holds no id token"]),
    ];
    for case in cases {
        passes(&scene, PATIENCE, "IdentityService_GetIDToken", case);
    }
}

#[test]
fn entra() {
    let scene = Scene::new(&[], TOKEN);
    let throttled =
        json!({"error": "temporarily_unavailable", "error_description": "AADSTS90033: A transient error."});
    let cases: [Case<'_>; 7] = [
        ("HTML", answer(200, "text/html", "<html>Sign in to the hotel"), &["text/html, 26 bytes"]),
        ("HTML, 503", answer(503, "text/html", "<html>oops"), &["Entra failed (503)", "text/html, 10 bytes"]),
        ("truncated", json!("truncate"), &["closed the connection before its answer was whole"]),
        ("429", busy(429, &throttled), &["Entra wants fewer requests (429)", "AADSTS90033"]),
        ("nothing", json!("hang"), &["timed out after 1s", "request_timeout"]),
        ("reset", json!("reset"), &["reset the connection"]),
        ("garbage", json!("garbage"), &["fix"]),
    ];
    for case in cases {
        passes(&scene, PATIENCE, "Entra_Token", case);
    }
}

#[test]
fn arm() {
    let scene = Scene::new(&[], KEY);
    let error = |code: &str| json!({"error": {"code": code, "message": "Words of ARM's.", "details": null}});
    let cases: [Case<'_>; 9] = [
        (
            "409",
            answer(409, "application/json", &error("Conflict").to_string()),
            &["Conflict: Words of ARM's."],
        ),
        (
            "412 for good",
            answer(412, "application/json", &error("PreconditionFailed").to_string()),
            &["PreconditionFailed"],
        ),
        ("429", busy(429, &error("TooManyRequests")), &["TooManyRequests", "when ARM allows it"]),
        (
            "500",
            answer(500, "application/json", &error("InternalServerError").to_string()),
            &["InternalServerError"],
        ),
        ("502, HTML", answer(502, "text/html", "<html>oops"), &["status 502, text/html"]),
        ("hang", json!("hang"), &["timed out after 1s"]),
        ("truncate", json!("truncate"), &["closed the connection before its answer was whole"]),
        ("lost by reset", lost("reset"), &["reset the connection"]),
        ("lost by silence", lost("hang"), &["timed out after 1s"]),
    ];
    for case in cases {
        passes(&scene, PATIENCE, "Subscription_CreateOrUpdate", case);
    }
}

#[test]
fn the_gateway() {
    let scene = Scene::new(&[], KEY);
    let cases: [Case<'_>; 4] = [
        (
            "500",
            answer(500, "text/html", "<html>oops"),
            &["the gateway or the API behind it fails", "status 500"],
        ),
        (
            "503",
            busy(503, &json!({"statusCode": 503, "message": "Service Unavailable"})),
            &["Service Unavailable"],
        ),
        ("hang", json!("hang"), &["timed out after 1s"]),
        ("reset", json!("reset"), &["reset the connection"]),
    ];
    for case in cases {
        passes(&scene, PATIENCE, "gateway", case);
    }
}

/// Creations at the same time stumble over each other in the service: no word of it, and no wait of a second.
#[test]
fn one_412_is_nothing_to_tell() {
    let scene = Scene::new(&[], KEY);
    let body = json!({"error": {"code": "PreconditionFailed", "message": "Words of ARM's."}}).to_string();
    scene.emulator.fault(&json!({"operation": "Subscription_CreateOrUpdate",
        "action": answer(412, "application/json", &body)}));
    let agent = scene.published(&[]);
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 2);
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("; again in"), "{text}");
    scene.assert_clean();
}

/// A credential that cannot be had does not keep the other from being published.
#[test]
fn one_of_two() {
    let scene = Scene::new(&[], &format!("{KEY}{TOKEN}"));
    scene.emulator.fault(&json!({"operation": "Subscription_CreateOrUpdate", "times": 1000,
        "action": {"status": 500}}));
    let agent = scene.published(&[]);
    let text = agent.wait_for("not complete yet");
    assert!(text.contains("APIM_SUBSCRIPTION_KEY: ARM did not create the subscription"), "{text}");
    let status = scene.status();
    assert_eq!((&status["phase"], &status["ready"]), (&json!("published"), &json!(false)), "{status}");
    assert!(scene.workspace.published().iter().all(|(name, _)| name != "APIM_SUBSCRIPTION_KEY"));
    assert_eq!(scene.emulator.echo_with_token(&scene.workspace.value("APIM_ACCESS_TOKEN")).status, 200);
    scene.emulator.clear_faults();
    scene.status_when("the key", |status| status["ready"] == true);
    scene.learn(&agent);
    assert_eq!(scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY")).status, 200);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}
