//! Each platform's own way to a token, taken by its name and by `auto`, through to an access token.

use super::{
    Platform,
    support::{stub::Stub, token::AUDIENCE, token::jwt},
};
use serde_json::json;

/// Goes through the whole exchange by name, and once more by `auto`.
fn serves(platform: &Platform, source: &str, variables: &[(&str, &str)]) {
    platform.scene.secret("the id token", &platform.id_token());
    for name in [source, "auto"] {
        let (code, text) = platform.exec(&[("identity.source", name)], variables);
        assert_eq!(code, 0, "{name}: {text}");
        let taken = text.contains(&format!("identity source auto took {source}"));
        assert_eq!(taken, name == "auto", "{text}");
        platform.scene.assert_clean();
    }
    assert_eq!(platform.scene.emulator.count("IdentityService_GetIDToken"), 0, "not Ona's API");
}

#[test]
fn gitpod_classic() {
    let platform = Platform::new();
    platform.token_tool("gp", &format!("idp token --audience {AUDIENCE}"));
    serves(&platform, "gitpod", &[("GITPOD_WORKSPACE_ID", "acme-1")]);
    assert!(platform.asked() >= 2);

    platform.tool("gp", "echo 'token contains an invalid number of segments' >&2; exit 1");
    let agent =
        platform.start(&[("identity.source", "gitpod")], &[("GITPOD_WORKSPACE_ID", "acme-1")], &["run"]);
    agent.wait_for("and hides the reason");
    assert_eq!(platform.scene.end(agent).0, 69, "what was wanted never came");
    platform.scene.assert_clean();
}

/// In a nested container, where `gp` is not.
#[test]
fn gitpod_classic_without_gp() {
    let platform = Platform::new();
    let emulator = &platform.scene.emulator;
    let supervisor = emulator.get("supervisor").trim_start_matches("http://").to_owned();
    let variables = [
        ("GITPOD_WORKSPACE_ID", emulator.get("workspace_id")),
        ("GITPOD_HOST", "https://gitpod.io"),
        ("SUPERVISOR_ADDR", &supervisor),
        ("APIM_AGENT_WORKSPACE", "test"),
    ];
    for source in ["gitpod", "auto"] {
        let (code, text) = platform.exec(&[("identity.source", source)], &variables);
        assert_eq!(code, 0, "{text}");
        platform.scene.assert_clean();
    }
    assert!(emulator.count("IdentityProviderService_GetIDToken") >= 2);
    assert_eq!(emulator.count("IdentityService_GetIDToken"), 0, "not Ona's API");
}

#[test]
fn ona_by_its_cli() {
    for name in ["ona", "gitpod"] {
        let platform = Platform::new();
        platform.token_tool(name, &format!("idp token --audience {AUDIENCE}"));
        serves(&platform, "ona", &[("GITPOD_ENVIRONMENT_ID", "e5f6")]);
        assert!(platform.asked() >= 2);
    }
}

#[test]
fn buildkite() {
    let platform = Platform::new();
    platform.token_tool("buildkite-agent", &format!("oidc request-token --audience {AUDIENCE}"));
    serves(&platform, "buildkite", &[("BUILDKITE", "true")]);
    assert!(platform.asked() >= 2);
}

#[test]
fn circleci() {
    let platform = Platform::new();
    let variables = [("CIRCLECI", "true"), ("CIRCLE_OIDC_TOKEN_V2", &platform.id_token())];
    serves(&platform, "circleci", &variables);

    let fixed = jwt(&json!({"iss": "i", "sub": "s", "aud": "an-organisation", "exp": 9_999_999_999_u64}));
    platform.scene.secret("the fixed token", &fixed);
    let variables = [("CIRCLECI", "true"), ("CIRCLE_OIDC_TOKEN_V2", &fixed)];
    let words = ["from source circleci is for another audience", "an-organisation", "identity.audience"];
    platform.refused(&[("identity.source", "circleci")], &variables, 78, &words);

    platform.token_tool("circleci", &format!("run oidc get --claims {{\"aud\":\"{AUDIENCE}\"}}"));
    serves(&platform, "circleci", &variables);
    assert!(platform.asked() >= 2, "the tool goes before the variable");
}

#[test]
fn gitlab() {
    let platform = Platform::new();
    let token = platform.id_token();
    serves(&platform, "gitlab", &[("GITLAB_CI", "true"), ("GITLAB_OIDC_TOKEN", &token)]);
    let named = [("identity.source", "gitlab"), ("identity.variable", "FOR_AZURE")];
    let (code, text) = platform.exec(&named, &[("GITLAB_CI", "true"), ("FOR_AZURE", &token)]);
    assert_eq!(code, 0, "{text}");
    let words = [
        "the variable FOR_AZURE is not set",
        "id_tokens: { FOR_AZURE: { aud: \"api://AzureADTokenExchange\" } }",
    ];
    platform.refused(&named, &[("GITLAB_CI", "true")], 78, &words);
}

#[test]
fn github_actions() {
    let platform = Platform::new();
    let bearer = "the-runners-own-bearer-for-this-job";
    platform.scene.secret("the bearer", bearer);
    let token = platform.id_token();
    let service = Stub::serve(|_| {
        move |head: &str| {
            let asked = head
                .starts_with("GET /token?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange HTTP/1.1");
            if asked && head.to_ascii_lowercase().contains(&format!("authorization: bearer {bearer}\r\n")) {
                (
                    "200 OK\r\nContent-Type: application/json\r\n".to_owned(),
                    json!({"value": token}).to_string(),
                )
            } else {
                ("401 Unauthorized\r\n".to_owned(), json!({"message": "who are you?"}).to_string())
            }
        }
    });
    let url = format!("{}/token?api-version=2.0", service.url);
    let variables =
        |bearer| [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer)];
    serves(&platform, "github-actions", &variables(bearer));
    assert!(service.requests() >= 2);

    let source = [("identity.source", "github-actions")];
    let words = ["refused to give an id token (401)", "who are you?", "id-token: write"];
    platform.refused(&source, &variables("some-other-bearer-than-that"), 77, &words);
    let words =
        ["ACTIONS_ID_TOKEN_REQUEST_URL is set and ACTIONS_ID_TOKEN_REQUEST_TOKEN is not", "id-token: write"];
    platform.refused(&source, &variables(bearer)[..1], 78, &words);
    platform.refused(&source, &[], 78, &["ACTIONS_ID_TOKEN_REQUEST_URL is not set"]);

    let target = Stub::start("200 OK\r\n", "{}");
    let redirecting = Stub::start(&format!("302 Found\r\nLocation: {}/x\r\n", target.url), "");
    let variables = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", redirecting.url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer),
    ];
    platform.refused(&source, &variables, 78, &["redirects are not followed"]);
    assert_eq!((redirecting.requests(), target.requests()), (1, 0), "the bearer went to one place only");
    assert!(redirecting.heads()[0].contains("audience="));

    let huge = Stub::start("200 OK\r\n", &json!({"value": "x".repeat(4 << 20)}).to_string());
    let variables =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", huge.url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer)];
    let agent = platform.start(&source, &variables, &["run"]);
    agent.wait_for("; again in");
    let (code, text) = platform.scene.end(agent);
    assert!(code == 69 && !text.contains(&"x".repeat(64)), "{text}");
    platform.scene.assert_clean();
}
