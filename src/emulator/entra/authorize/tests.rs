//! The checks of a request for a code, one by one.

use super::*;
use crate::emulator::testing::request;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A good request with one parameter changed, or left out where it is empty.
fn checked(name: &str, value: &str) -> Result<Asked, Fault> {
    let world = World::default();
    let mut query = vec![
        ("client_id", world.client_id.as_str()),
        ("response_type", "code"),
        ("redirect_uri", "http://localhost:5000"),
        ("scope", "openid"),
        ("state", "s"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    query.retain(|(known, _)| *known != name);
    query.push((name, value));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let form = Form::of_query(&request("GET", &format!("/?{query}"))).unwrap();
    check(&world, &world.tenant_id, &form)
}

/// The code that the person sees.
fn on_page(name: &str, value: &str) -> u32 {
    match checked(name, value) {
        Err(Fault::Page(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

/// The error and code that the client gets.
fn redirected(name: &str, value: &str) -> (&'static str, u32) {
    match checked(name, value) {
        Err(Fault::Redirect(target, refusal)) => {
            assert_eq!(target.state.as_deref(), Some("s"));
            (refusal.error, refusal.code)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_cannot_be_answered_is_told_on_the_page() {
    assert_eq!(on_page("client_id", "x"), 700_016);
    assert_eq!(on_page("client_id", ""), 900_144);
    assert_eq!(on_page("redirect_uri", ""), 900_144);
    assert_eq!(on_page("response_mode", "smoke"), 70_007);
    for uri in [
        "https://localhost:5000",
        "http://localhost:5000/elsewhere",
        "http://localhost:5000/?a=b",
        "http://localhost:5000/#f",
        "http://me@localhost:5000",
        "http://localhost.evil.example",
        "http://127.0.0.2",
        "http://[::1]:5000",
        "https://workspace.acme.example/signin/",
        "https://workspace.acme.example:8443/signin",
        "localhost",
        "javascript:alert(1)",
    ] {
        assert_eq!(on_page("redirect_uri", uri), 50_011, "{uri}");
    }
}

#[test]
fn all_else_is_told_to_the_client() {
    assert_eq!(redirected("response_type", "id_token"), ("unsupported_response_type", 700_054));
    assert_eq!(redirected("response_type", ""), ("invalid_request", 900_144));
    assert_eq!(redirected("scope", ""), ("invalid_request", 900_144));
    assert_eq!(redirected("scope", "api://other/x"), ("invalid_resource", 500_011));
    assert_eq!(redirected("code_challenge", ""), ("invalid_request", 900_144));
    assert_eq!(redirected("code_challenge", "short"), ("invalid_request", 501_491));
    assert_eq!(redirected("code_challenge_method", "plain"), ("invalid_request", 9_002_313));
    assert_eq!(redirected("code_challenge_method", ""), ("invalid_request", 900_144));
    assert_eq!(redirected("prompt", "dance"), ("invalid_request", 90_023));
    assert_eq!(redirected("login_hint", "joan@acme.example"), ("invalid_request", 50_034));
}

#[test]
fn loopback_redirects_may_have_any_port() {
    for uri in [
        "http://localhost",
        "http://localhost/",
        "http://localhost:1",
        "http://localhost:65535/callback",
        "http://127.0.0.1:5000",
        "http://127.0.0.1:5000/callback",
    ] {
        assert_eq!(checked("redirect_uri", uri).unwrap().session.proof, Proof::None, "{uri}");
    }
    let web = checked("redirect_uri", "https://workspace.acme.example/signin").unwrap();
    assert_eq!(web.session.proof, Proof::Assertion);
}

#[test]
fn the_person_is_asked_where_prompt_says_so() {
    assert!(!checked("prompt", "none").unwrap().page);
    assert!(!checked("login_hint", "JANE@acme.example").unwrap().page);
    for prompt in ["login", "consent", "select_account"] {
        assert!(checked("prompt", prompt).unwrap().page);
    }
}

#[test]
fn an_answer_goes_back_in_the_mode_that_was_asked_for() {
    let target = |mode| Target { uri: "http://localhost:1".to_owned(), mode, state: Some("a b".to_owned()) };
    let sent = |mode| target(mode).send(vec![("code", "c&d".to_owned())]);
    let to = |response: &Response| response.headers[0].1.clone();
    assert!(to(&sent(Mode::Query)).starts_with("http://localhost:1/?code=c%26d&state=a+b&session_state="));
    assert!(to(&sent(Mode::Fragment)).starts_with("http://localhost:1/#code=c%26d&state=a+b&session_state="));
    let page = sent(Mode::FormPost);
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.status == 200 && html.contains(r#"action="http://localhost:1""#), "{html}");
    assert!(html.contains(r#"name="code" value="c&amp;d""#), "{html}");
}
