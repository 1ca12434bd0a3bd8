//! The emulator's Entra from outside, as a client and the person at its browser meet it.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::HashMap;
use support::{Answer, Emulator};
use url::{Url, form_urlencoded};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://localhost:49152";

fn encode(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Posts a form below the tenant, with the client's id in it.
fn post(emulator: &Emulator, path: &str, pairs: &[(&str, &str)]) -> Answer {
    let url = format!("{}/{}/{path}", emulator.get("authority"), emulator.get("tenant_id"));
    let form = [pairs, &[("client_id", emulator.get("client_id"))]].concat();
    emulator.call("POST", &url, &[FORM], &encode(&form))
}

fn token(emulator: &Emulator, pairs: &[(&str, &str)]) -> Answer {
    post(emulator, "oauth2/v2.0/token", pairs)
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}"))
}

/// What a form on a page sends besides the person's decision: its address and its hidden fields.
fn form_of(page: &str) -> (String, Vec<(String, String)>) {
    let attribute = |tag: &str, name: &str| {
        let value = tag.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_default().to_owned()
    };
    let tags = |start: &'static str| page.split(start).skip(1).map(|rest| rest.split('>').next().unwrap());
    let action = attribute(tags("<form ").next().unwrap_or_else(|| panic!("no form: {page}")), "action");
    let hidden = tags("<input ").filter(|tag| tag.contains("type=\"hidden\""));
    (action, hidden.map(|tag| (attribute(tag, "name"), attribute(tag, "value"))).collect())
}

/// Sends such a form.
fn press(emulator: &Emulator, page: &str, typed: &[(&str, &str)]) -> Answer {
    let (action, hidden) = form_of(page);
    let hidden: Vec<_> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = format!("{}{action}", emulator.get("authority"));
    emulator.call("POST", &url, &[FORM], &encode(&[&hidden, typed].concat()))
}

/// The claims of a token, not checked.
fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn authorize(emulator: &Emulator, more: &[(&str, &str)]) -> Answer {
    let query = [
        &[
            ("client_id", emulator.get("client_id")),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "here"),
        ],
        more,
    ]
    .concat();
    let (authority, tenant) = (emulator.get("authority"), emulator.get("tenant_id"));
    let url = format!("{authority}/{tenant}/oauth2/v2.0/authorize?{}", encode(&query));
    emulator.call("GET", &url, &[], "")
}

/// What the browser brings back to the client.
fn brought_back(answer: &Answer) -> HashMap<String, String> {
    assert_eq!(answer.status, 302, "{}", answer.body);
    let location = Url::parse(answer.headers["location"].to_str().unwrap()).unwrap();
    assert_eq!(location.as_str().split('?').next(), Some(format!("{REDIRECT}/").as_str()));
    location.query_pairs().into_owned().collect()
}

fn redeem(emulator: &Emulator, code: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    token(emulator, &form)
}

#[test]
fn a_person_types_the_devices_code_and_arm_and_the_gateway_know_who_calls() {
    let emulator = Emulator::start(&[]);
    let scope = "openid offline_access https://management.azure.com/.default";
    let started = post(&emulator, "oauth2/v2.0/devicecode", &[("scope", scope)]).json();
    let poll = || {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        token(&emulator, &[("grant_type", grant), ("device_code", text(&started, "device_code"))])
    };
    let waiting = poll();
    assert_eq!((waiting.status, &waiting.json()["error"]), (400, &json!("authorization_pending")));
    let hasty = poll();
    assert_eq!((hasty.status, &hasty.json()["error"]), (400, &json!("slow_down")));

    let page = emulator.call("GET", text(&started, "verification_uri"), &[], "");
    assert_eq!(page.status, 200);
    let wrong = press(&emulator, &page.body, &[("otc", "WRONG"), ("decision", "approve")]);
    assert!(wrong.status == 400 && wrong.body.contains("AADSTS70018"), "{}", wrong.body);
    let typed =
        press(&emulator, &page.body, &[("otc", text(&started, "user_code")), ("decision", "approve")]);
    assert_eq!(typed.status, 200, "{}", typed.body);

    let tokens = poll().json();
    let id = claims(text(&tokens, "id_token"));
    assert_eq!(id["preferred_username"], "jane@acme.example");
    let bearer = format!("Bearer {}", text(&tokens, "access_token"));
    let url =
        format!("{}{}/subscriptions?api-version=2024-05-01", emulator.get("arm"), emulator.service_id());
    assert_eq!(emulator.call("GET", &url, &[("Authorization", &bearer)], "").status, 200);

    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
        ("scope", "api://echo/Echo.Read"),
    ];
    let api = token(&emulator, &refresh).json();
    assert_eq!(emulator.echo_with_token(text(&api, "access_token")).status, 200);

    let callers: Vec<_> =
        emulator.journal().iter().filter_map(|row| row["caller"].as_str().map(str::to_owned)).collect();
    assert_eq!(callers[..3], ["user jane@acme.example"; 3], "Entra, ARM, Entra: {callers:?}");
}

#[test]
fn a_browser_brings_a_code_back_at_once_or_after_the_page() {
    let emulator = Emulator::start(&[]);
    let scope = ("scope", "openid api://echo/Echo.Read");
    let carried = brought_back(&authorize(&emulator, &[scope, ("nonce", "n-1")]));
    assert_eq!(carried["state"], "here");
    let tokens = redeem(&emulator, &carried["code"]);
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(claims(text(&tokens.json(), "id_token"))["nonce"], "n-1");
    assert_eq!(claims(text(&tokens.json(), "access_token"))["scp"], "Echo.Read");
    assert_eq!(redeem(&emulator, &carried["code"]).json()["error_codes"], json!([54_005]));

    let asked = |decision: &str| {
        let page = authorize(&emulator, &[scope, ("prompt", "select_account")]);
        assert!(page.status == 200 && page.body.contains("jane@acme.example"), "{}", page.body);
        brought_back(&press(&emulator, &page.body, &[("decision", decision)]))
    };
    assert_eq!(redeem(&emulator, &asked("approve")["code"]).status, 200);
    let declined = asked("decline");
    assert_eq!((declined["error"].as_str(), declined["state"].as_str()), ("access_denied", "here"));

    let posted = authorize(&emulator, &[scope, ("response_mode", "form_post")]);
    let (action, fields) = form_of(&posted.body);
    assert_eq!(action, REDIRECT);
    let code = &fields.iter().find(|(name, _)| name == "code").unwrap().1;
    assert_eq!(redeem(&emulator, code).status, 200);

    let bad = authorize(&emulator, &[scope, ("redirect_uri", "http://localhost.evil.example")]);
    assert!(bad.status == 400 && bad.body.contains("AADSTS9000411"), "twice: {}", bad.body);
    let journal = json!(emulator.journal()).to_string();
    assert!(!journal.contains(&carried["code"]));
}

#[test]
fn the_saml_assertion_in_the_file_becomes_a_persons_token() {
    let emulator = Emulator::start(&[]);
    let xml = std::fs::read_to_string(emulator.get("saml_assertion_file")).unwrap();
    let exchange = |xml: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"),
            ("assertion", &URL_SAFE_NO_PAD.encode(xml)),
            ("scope", "api://echo/.default"),
        ];
        token(&emulator, &form)
    };
    let tokens = exchange(&xml);
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(claims(text(&tokens.json(), "access_token"))["upn"], "jane@acme.example");
    let forged = exchange(&xml.replace("jane@", "joan@"));
    assert_eq!((forged.status, &forged.json()["error_codes"]), (400, &json!([50_006])));
}
