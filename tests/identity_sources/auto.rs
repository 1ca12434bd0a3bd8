//! `auto`: all that it looked at, and that it never goes past a broken source.

use super::Platform;

const AUTO: [(&str, &str); 1] = [("identity.source", "auto")];

#[test]
fn nothing_is_here() {
    let platform = Platform::new();
    let words = [
        "none of the identity sources is here",
        "command: identity.command is not set",
        "file: identity.token_file",
        "env: the variable APIM_AGENT_ID_TOKEN is not set",
        "ona: there is no bearer_file",
        "gitpod: GITPOD_WORKSPACE_ID is not set",
        "github-actions: ACTIONS_ID_TOKEN_REQUEST_URL is not set",
        "gitlab: GITLAB_CI is not true",
        "buildkite: BUILDKITE is not true",
        "circleci: CIRCLECI is not true",
        "saml: identity.assertion_file is not set",
        "managed-identity: IDENTITY_ENDPOINT is not set",
        "azure-cli: az is ",
        "azd: azd is ",
    ];
    platform.refused(&AUTO, &[], 78, &words);
}

#[test]
fn what_is_here_and_broken_stops_it() {
    let platform = Platform::new();
    // What would serve, were it reached.
    platform.token_tool("circleci", "run oidc get --claims {\"aud\":\"api://AzureADTokenExchange\"}");
    let cases = [
        (("APIM_AGENT_ID_TOKEN", " "), "the variable APIM_AGENT_ID_TOKEN is empty"),
        (("AZURE_FEDERATED_TOKEN_FILE", "/no/such/token"), "token_file /no/such/token does not exist"),
        (("APIM_AGENT_IDENTITY_COMMAND", "[\"/no/such/cli\"]"), "/no/such/cli cannot be started"),
        (("GITPOD_WORKSPACE_ID", "acme-1"), "gp is not on the PATH"),
        (("ACTIONS_ID_TOKEN_REQUEST_URL", "https://127.0.0.1:1/"), "half of what it takes is missing"),
        (("GITLAB_CI", "true"), "the variable GITLAB_OIDC_TOKEN is not set"),
        (("BUILDKITE", "true"), "buildkite-agent is not on the PATH"),
    ];
    for (variable, words) in cases {
        platform.refused(&AUTO, &[variable, ("CIRCLECI", "true")], 78, &[words]);
    }
    assert_eq!(platform.asked(), 0, "nobody was asked for another identity");
    let (code, text) = platform.exec(&AUTO, &[("CIRCLECI", "true")]);
    assert_eq!((code, platform.asked()), (0, 1), "{text}");
}
