//! People who sign in: the real binary, the emulator's Entra, and a person at its pages.

use super::{
    Platform,
    support::{Answer, KEY_AND_TOKEN, scene::poll},
};
use std::fs;
use url::{Url, form_urlencoded};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The word after `before` in what the agent has printed.
fn word_after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    rest.split_whitespace().next().unwrap().trim_end_matches(',')
}

/// What a person does at the page for the code.
fn decide(platform: &Platform, text: &str, decision: &str) -> Answer {
    let (page, code) = (word_after(text, "sign in    open "), word_after(text, " and enter "));
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("otc", code), ("decision", decision)])
        .finish();
    platform.scene.emulator.call("POST", page, &[FORM], &form)
}

#[test]
fn on_another_device_once_for_key_and_token() {
    let platform = Platform::with(KEY_AND_TOKEN);
    let agent = platform.start(&[("identity.source", "device-code")], &[], &["run"]);
    let text = agent.wait_for(" and enter ");
    assert_eq!(decide(&platform, &text, "approve").status, 200);
    let text = agent.wait_for("\npublished ");
    platform.scene.learn(&agent);
    assert!(text.contains("signed in  jane@acme.example"), "{text}");
    assert_eq!(text.matches(" and enter ").count(), 1, "asked once: {text}");
    let token = platform.scene.workspace.value("APIM_ACCESS_TOKEN");
    assert_eq!(platform.scene.emulator.echo_with_token(&token).status, 200);
    let (code, text) = platform.scene.end(agent);
    assert_eq!(code, 0, "{text}");
    platform.scene.assert_clean();
}

#[test]
fn whoever_declines_gets_nothing() {
    let platform = Platform::new();
    let agent = platform.start(&[("identity.source", "device-code")], &[], &["run"]);
    let text = agent.wait_for(" and enter ");
    assert_eq!(decide(&platform, &text, "decline").status, 200);
    let (code, text) = platform.scene.finish(agent);
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("the sign-in was declined"), "{text}");
    platform.scene.assert_clean();
}

#[test]
fn in_the_browser() {
    let platform = Platform::new();
    let pages = platform.path("pages");
    let browser = platform.tool("my-browser", &format!("echo \"$1\" > '{}'", pages.display()));
    let variables = [("BROWSER", browser.to_str().unwrap())];
    let agent = platform.start(&[("identity.source", "browser")], &variables, &["run"]);
    let page = poll("the page", || fs::read_to_string(&pages).ok().filter(|page| page.ends_with('\n')));
    // The person is signed in already, so that the page sends the browser back at once.
    let emulator = &platform.scene.emulator;
    let answer = emulator.call("GET", page.trim(), &[], "");
    assert_eq!(answer.status, 302, "{}", answer.body);
    let back = Url::parse(answer.headers["location"].to_str().unwrap()).unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    platform.scene.secret("the authorization code", &code);
    let shown = emulator.call("GET", back.as_str(), &[], "");
    assert!(shown.status == 200 && shown.body.contains("You have signed in"), "{}", shown.body);
    agent.wait_for("\npublished ");
    platform.scene.learn(&agent);
    let token = platform.scene.workspace.value("APIM_ACCESS_TOKEN");
    assert_eq!(emulator.echo_with_token(&token).status, 200);
    assert_eq!(platform.scene.end(agent).0, 0);
    platform.scene.assert_clean();
}

#[test]
fn with_an_assertion_of_ad_fs() {
    let platform = Platform::new();
    let file = platform.scene.emulator.get("saml_assertion_file").to_owned();
    let assertion = fs::read_to_string(&file).unwrap();
    platform.scene.secret("the assertion", assertion.trim());
    let command = serde_json::json!(["cat", file]).to_string();
    for setting in [("identity.assertion_file", &file), ("identity.command", &command)] {
        let (code, text) =
            platform.exec(&[("identity.source", "saml"), (setting.0, setting.1.as_str())], &[]);
        assert_eq!(code, 0, "{text}");
    }
    let (code, text) = platform.exec(&[("identity.source", "auto"), ("identity.assertion_file", &file)], &[]);
    assert!(code == 0 && text.contains("identity source auto took saml"), "{text}");
    platform.scene.assert_clean();
}
