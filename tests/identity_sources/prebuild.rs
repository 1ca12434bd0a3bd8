//! Prebuilds get nothing, whatever the source.

use super::Platform;
use apim_agent::config::Source;

#[test]
fn every_source_refuses_and_asks_nobody() {
    let platform = Platform::new();
    let token = platform.id_token();
    platform.scene.secret("the id token", &token);
    let tools =
        ["gp", "ona", "gitpod", "buildkite-agent", "circleci", "my-issuer", "az", "azd", "my-browser"];
    for name in tools {
        platform.token_tool(name, "");
    }
    let variables = [
        ("GITPOD_HEADLESS", "true"),
        ("GITPOD_WORKSPACE_ID", "acme-1"),
        ("GITPOD_ENVIRONMENT_ID", "e5f6"),
        ("APIM_AGENT_WORKSPACE", "test"),
        ("APIM_AGENT_IDENTITY_COMMAND", "[\"my-issuer\"]"),
        ("AZURE_FEDERATED_TOKEN_FILE", platform.scene.emulator.get("assertion_file")),
        ("APIM_AGENT_ID_TOKEN", &token),
        ("GITLAB_CI", "true"),
        ("GITLAB_OIDC_TOKEN", &token),
        ("BUILDKITE", "true"),
        ("CIRCLECI", "true"),
        ("APIM_AGENT_IDENTITY_ASSERTION_FILE", "/no/such/assertion"),
        ("APIM_AGENT_IDENTITY_IMDS_URL", "http://127.0.0.1:1"),
        ("BROWSER", "my-browser"),
    ];
    for (name, _) in Source::ALL {
        let words =
            ["this is a prebuild", "GITPOD_HEADLESS is true", "becomes a snapshot", "a task's `command`"];
        platform.refused(&[("identity.source", name)], &variables, 77, &words);
    }
    // Nor does one that fails for a reason of its own keep the agent waiting.
    let elsewhere = [
        ("credentials.elsewhere.kind", "vault-secret"),
        ("credentials.elsewhere.vault", "https://127.0.0.1:1"),
        ("credentials.elsewhere.secret", "s"),
        ("credentials.elsewhere.env", "ELSEWHERE"),
    ];
    platform.refused(&elsewhere, &variables[..1], 77, &["this is a prebuild"]);
    assert_eq!(platform.asked(), 0);
    platform.scene.assert_untouched();

    let codespace =
        [("CODESPACES", "true"), ("ACTION_NAME", "createPrebuildTemplate"), ("APIM_AGENT_ID_TOKEN", &token)];
    platform.refused(
        &[("identity.source", "env")],
        &codespace,
        77,
        &["ACTION_NAME is createPrebuildTemplate"],
    );
    let (code, text) = platform.exec(&[("identity.source", "env")], &[codespace[0], codespace[2]]);
    assert_eq!(code, 0, "a codespace that is no prebuild: {text}");
}
