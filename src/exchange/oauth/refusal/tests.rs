use super::*;
use crate::clock::from_unix;
use Class::{Config, Denied, TryAgain, Unavailable};
use serde_json::json;
use std::time::Duration;

const ENDPOINT: &str = "https://sts.example/token?tenant=hidden";
const SUBJECT_TOKEN: &str = "opaque-subject-token-0123456789abcdef";

fn claims() -> Claims {
    Claims {
        iss: "https://app.gitpod.io".to_owned(),
        sub: "org:1".to_owned(),
        aud: vec!["sts".to_owned()],
        exp: from_unix(1_795_482_000),
        workspace: None,
        user: None,
    }
}

fn answer(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).header("retry-after", "7").body(body.to_owned().into()).unwrap()
}

fn explained(status: u16, body: &str) -> Error {
    let (claims, endpoint) = (claims(), ENDPOINT.parse().unwrap());
    let form = Form::grant("g").secret("subject_token", SUBJECT_TOKEN);
    let asked = Asked {
        endpoint: &endpoint,
        purpose: Purpose::Token(&claims),
        client_id: Some("agent"),
        form: &form,
    };
    explain(&answer(status, body), &asked, from_unix(1_795_478_400))
}

fn revocation(status: u16, body: &str) -> Error {
    let endpoint = "https://sts.example/revoke".parse().unwrap();
    let form = Form::default();
    let asked = Asked { endpoint: &endpoint, purpose: Purpose::Revocation, client_id: None, form: &form };
    explain(&answer(status, body), &asked, from_unix(1_795_478_400))
}

#[test]
fn each_error_has_its_class_and_its_advice() {
    for (status, error, class, advice) in [
        (400, "invalid_request", Config, "check the exchange's settings"),
        (401, "invalid_client", Denied, "check client_id agent, client_auth"),
        (400, "invalid_client", Denied, "check client_id agent, client_auth"),
        (400, "invalid_grant", Denied, "have the server trust the subject token's issuer"),
        (400, "unauthorized_client", Denied, "have client_id agent allowed this grant"),
        (400, "unsupported_grant_type", Config, "the server does not know this grant: check token_endpoint"),
        (400, "invalid_scope", Config, "correct the credential's scope"),
        (400, "invalid_target", Config, "correct the exchange's resource and audience"),
        (403, "access_denied", Denied, "have whoever runs the server allow it"),
        (400, "interaction_required", Denied, "the server wants a person here"),
        (400, "temporarily_unavailable", Unavailable, "nothing"),
        (400, "server_error", Unavailable, "nothing"),
        (400, "slow_down", TryAgain, "nothing"),
        (429, "invalid_grant", TryAgain, "nothing"),
        (503, "invalid_grant", Unavailable, "nothing"),
        (400, "x_of_its_own", Denied, "see what the server's documentation says"),
        (401, "x_of_its_own", Denied, "have client_id agent let in"),
    ] {
        let body = json!({"error": error, "error_description": "Words."}).to_string();
        let refused = explained(status, &body);
        assert_eq!(refused.class, class, "{error}");
        assert_eq!(refused.what, "no token from https://sts.example/token");
        assert!(refused.why.unwrap().starts_with(&format!("it answered {error}: Words.")));
        assert!(refused.fix.clone().unwrap().starts_with(advice), "{error}: {:?}", refused.fix);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(7)));
    }
}

#[test]
fn a_refused_grant_shows_what_the_token_says() {
    let error = explained(400, r#"{"error":"invalid_grant"}"#);
    assert_eq!(
        error.why.unwrap(),
        "it answered invalid_grant; the subject token has issuer \"https://app.gitpod.io\", subject \"org:1\", audience \
         \"sts\" and is good until 2026-11-24T01:00:00Z (this machine's clock says 2026-11-24T00:00:00Z)"
    );
}

#[test]
fn revocations() {
    let refused = |status, error: &str| {
        let error = revocation(status, &json!({"error": error}).to_string());
        (error.class, error.fix.unwrap())
    };
    assert_eq!(
        refused(400, "unsupported_token_type"),
        (Config, "the server revokes no such tokens: remove revocation_endpoint".to_owned())
    );
    let error = revocation(503, "");
    assert_eq!((error.class, error.retry_after), (Unavailable, Some(Duration::from_secs(7))));
    assert_eq!(error.what, "no revocation at https://sts.example/revoke");
    assert_eq!(refused(401, "invalid_client").0, Denied);
}

#[test]
fn what_is_no_oauth_answer() {
    for (status, body, class) in [
        (400, "<html>no</html>", Unavailable),
        (400, r#"{"error":""}"#, Unavailable),
        (400, r#"{"error":7}"#, Unavailable),
        (400, r#"["error"]"#, Unavailable),
        (302, "", Unavailable),
        (404, "<html>", Config),
        (405, "", Config),
        (401, "", Denied),
        (403, "<html>", Denied),
        (500, "<html>", Unavailable),
    ] {
        let error = explained(status, body);
        assert_eq!(error.class, class, "{status} {body}");
        assert!(error.why.unwrap().starts_with(&format!("status {status}, ")), "{body}");
    }
}

#[test]
fn a_gateway_before_the_broker_is_heard_too() {
    let words = "Access denied due to missing subscription key.";
    let error = explained(401, &json!({"statusCode": 401, "message": words}).to_string());
    assert_eq!((error.class, error.why), (Denied, Some(format!("it answered 401: {words}"))));
    let error = explained(401, &json!({"statusCode": 404, "message": words}).to_string());
    assert!(
        error.why.unwrap().starts_with("status 401"),
        "a body about another status is none of the gateway's"
    );
}

#[test]
fn no_secret_comes_back_and_no_text_is_endless() {
    for words in [
        format!("cannot read {SUBJECT_TOKEN}"),
        format!("cannot read {}…", &SUBJECT_TOKEN[..26]),
        format!("cannot read eyJ{}", "a".repeat(64)),
    ] {
        let body = json!({"error": "invalid_grant", "error_description": words});
        let shown = explained(400, &body.to_string()).to_string();
        assert!(!shown.contains("opaque-subject") && !shown.contains("eyJ"), "{shown}");
        let body = json!({"error": words});
        let shown = explained(400, &body.to_string()).to_string();
        assert!(!shown.contains("opaque-subject") && !shown.contains("eyJ"), "{shown}");
    }
    let body = json!({"error": "e\u{1b}[2J\n".repeat(500), "error_description": "d\r\n".repeat(200_000)});
    let shown = explained(400, &body.to_string()).to_string();
    assert!(shown.chars().count() < 1200 && !shown.contains(char::is_control), "{shown}");
}

proptest::proptest! {
    #[test]
    fn any_answer_is_survived(status in 300_u16..600, body in "\\PC{0,80}", error in "\\PC{0,40}") {
        let told = explained(status, &json!({"error": error, "error_description": body}).to_string());
        proptest::prop_assert!(!told.to_string().contains(char::is_control));
        proptest::prop_assert!(told.fix.is_some() && told.why.is_some());
        let _ = explained(status, &body);
    }
}
