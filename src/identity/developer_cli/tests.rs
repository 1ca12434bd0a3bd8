use super::*;
use crate::identity::{
    azure_cli::Az,
    testing::{broken, jwt, not_here, runner, stand_in},
};
use serde_json::json;
use std::{path::Path, time::Duration};

const WANT: Want<'_> = Want { audience: "a", scope: Some("api://orders/.default") };

/// A home where somebody has signed in to a stand-in for `az`.
fn home(script: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".azure")).unwrap();
    std::fs::write(home.path().join(".azure/azureProfile.json"), "\u{feff}{\"subscriptions\": [{}]}")
        .unwrap();
    stand_in(home.path(), "az", script);
    home
}

fn source(home: &Path, tenant: Option<&str>) -> DeveloperCli<Az> {
    let home = home.to_str().unwrap();
    DeveloperCli::new(runner(&[("PATH", home), ("HOME", home)]), tenant.map(str::to_owned))
}

fn answer(claims: &Value) -> String {
    json!({"accessToken": jwt(claims), "expires_on": 9_999_999_999_u64, "tokenType": "Bearer"}).to_string()
}

#[tokio::test]
async fn a_session_with_the_arguments_that_az_wants() {
    let claims =
        json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1, "scp": "x", "upn": "jane@acme.example"});
    let wanted = "account get-access-token --output json --scope api://orders/.default --tenant contoso.com";
    let home = home(&format!("[ \"$*\" = '{wanted}' ] && echo '{}'", answer(&claims)));
    let proven = source(home.path(), Some("contoso.com")).prove(&WANT).await;
    let (subject, proof) = proven.map_err(|_| "no session").unwrap();
    assert_eq!((subject.source, subject.actor), ("azure-cli", Actor::User));
    assert_eq!(subject.claims.user.as_deref(), Some("jane@acme.example"));
    let Proof::Session { token, expires_at, refresh_at: None } = proof else { panic!("no session") };
    assert_eq!((token.expose(), clock::unix(expires_at)), (jwt(&claims).as_str(), 9_999_999_999));
}

#[tokio::test]
async fn an_opaque_token_and_a_service_principal() {
    let opaque = json!({"accessToken": "opaque", "expires_on": 9_999_999_999_u64}).to_string();
    let principal = answer(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1, "idtyp": "app"}));
    for (printed, actor, sub) in
        [(opaque, Actor::User, "whoever has signed in to az"), (principal, Actor::Workspace, "s")]
    {
        let home = home(&format!("echo '{printed}'"));
        let (subject, _) = source(home.path(), None).prove(&WANT).await.map_err(|_| "no session").unwrap();
        assert_eq!((subject.actor, subject.claims.sub.as_str()), (actor, sub));
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_hold() {
    let printed = json!({"accessToken": "two words", "expires_on": 9_999_999_999_u64});
    let home = home(&format!("echo '{printed}'"));
    let error = broken(source(home.path(), None).prove(&WANT).await);
    assert_eq!((error.class, error.what.as_str()), (Class::Config, "the output of az holds no access token"));
    assert!(!error.to_string().contains("two words"), "{error}");
}

#[tokio::test]
async fn one_at_a_time() {
    // The stand-in fails where another one is under way.
    let printed = json!({"accessToken": "opaque", "expires_on": 9_999_999_999_u64});
    let script = format!("mkdir \"$0.lock\" || exit 1; echo '{printed}'; rmdir \"$0.lock\"");
    // mkdir and rmdir are found on the usual path.
    let home = home(&format!("PATH=/usr/bin:/bin; {script}"));
    let source = source(home.path(), None);
    let all = futures_util::future::join_all((0..6).map(|_| source.prove(&WANT))).await;
    assert!(all.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_is_not_here() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(not_here(source(empty.path(), None).prove(&WANT).await), "az is not on the PATH");
    let home = home("exit 1");
    let profile = home.path().join(".azure/azureProfile.json");
    std::fs::write(&profile, r#"{"subscriptions": []}"#).unwrap();
    let said = not_here(source(home.path(), None).prove(&WANT).await);
    assert_eq!(
        said,
        format!("az is on the PATH, but nobody has signed in there: {} is empty", profile.display())
    );
    std::fs::remove_file(&profile).unwrap();
    let said = not_here(source(home.path(), None).prove(&WANT).await);
    assert!(said.ends_with(&format!("there is no {}", profile.display())), "{said}");
}

#[tokio::test]
async fn no_id_tokens() {
    let home = home("exit 1");
    let error = broken(source(home.path(), None).prove(&Want { audience: "a", scope: None }).await);
    assert_eq!(error.what, "the identity source azure-cli gives no id tokens");
}

#[tokio::test]
async fn what_az_says_in_words_that_help() {
    let login = "run: az login --tenant contoso.com --scope api://orders/.default";
    let cases = [
        ("Please run 'az login' to setup account.", Class::Denied, login),
        (
            "AADSTS70043: The refresh token has expired.\nTrace ID: 1\nTimestamp: 2\nx\ny",
            Class::Denied,
            login,
        ),
        ("AADSTS65001: not consented", Class::Denied, "let the API pre-authorise az"),
        ("AADSTS500011: no such resource", Class::Denied, "check the credential's scope"),
        ("Tenant shouldn't be specified for MSI account", Class::Denied, "managed-identity"),
        ("AADSTS90033: A transient error", Class::Unavailable, "run it by hand"),
        ("Connection refused", Class::Unavailable, "run it by hand"),
    ];
    for (words, class, fix) in cases {
        let home = home(&format!("printf '%s\\n' \"{words}\" >&2; exit 1"));
        let error = broken(source(home.path(), Some("contoso.com")).prove(&WANT).await);
        assert_eq!(error.class, class, "{words}: {error}");
        assert!(error.fix.as_ref().is_some_and(|said| said.contains(fix)), "{words}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_answer() {
    let expired = json!({"accessToken": "opaque", "expires_on": 1}).to_string();
    for (script, words) in [
        ("echo garbage".to_owned(), "holds no access token"),
        ("exec /bin/dd if=/dev/zero bs=70000 count=1 2>/dev/null".to_owned(), "which no access token is"),
        (format!("echo '{expired}'"), "gave a token that has expired"),
    ] {
        let home = home(&script);
        let error = broken(source(home.path(), None).prove(&WANT).await);
        assert!(error.to_string().contains(words), "{error}");
    }
    let home = home("exec /bin/sleep 1000");
    let path = home.path().to_str().unwrap().to_owned();
    let mut runner = runner(&[("PATH", &path), ("HOME", &path)]);
    runner.deadline = Duration::from_millis(50);
    let error = broken(DeveloperCli::<Az>::new(runner, None).prove(&WANT).await);
    assert!(error.what.contains("no access token within 150ms"), "{error}");
    assert!(error.fix.unwrap().contains("three times request_timeout"));
}
