use super::*;
use crate::clock::from_unix;
use Class::{Config, Denied, TryAgain, Unavailable};
use serde_json::json;
use std::time::Duration;

fn presented() -> Presented {
    Presented {
        flow: Flow::ClientAssertion,
        tenant_id: "contoso.example".to_owned(),
        client_id: "11111111-2222".to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
        scope: "api://orders/.default".to_owned(),
        claims: Claims {
            iss: "https://app.gitpod.io".to_owned(),
            sub: "organization_id:o'1:project_id:p".to_owned(),
            aud: vec!["api://AzureADTokenExchange".to_owned()],
            exp: from_unix(1_795_482_000),
            workspace: None,
            user: None,
        },
    }
}

fn entra(status: u16, error: &str, code: u32, words: &str) -> Response<Bytes> {
    let body = json!({
        "error": error,
        "error_description": format!(
            "AADSTS{code}: {words}\r\nTrace ID: t-1\r\nCorrelation ID: c-1\r\nTimestamp: 2026-11-24 12:00:00Z"
        ),
        "error_codes": [code], "timestamp": "2026-11-24 12:00:00Z", "trace_id": "t-1", "correlation_id": "c-1",
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    });
    Response::builder().status(status).body(body.to_string().into()).unwrap()
}

fn explained(answer: &Response<Bytes>) -> Error {
    explain(answer, &presented(), from_unix(1_795_478_400))
}

#[test]
fn a_subject_that_does_not_match() {
    let words = "No matching federated identity record found for presented assertion subject 'organization_id:o'. \
                 Check your federated identity credential Subject, Audience and Issuer against the presented assertion.";
    let error = explained(&entra(401, "invalid_client", 700_213, words));
    assert_eq!(error.class, Denied);
    assert_eq!(error.what, "Entra refused the application 11111111-2222 a token for api://orders/.default");
    assert_eq!(
        error.why.unwrap(),
        format!(
            "AADSTS700213: {words}; the workspace's token has issuer \"https://app.gitpod.io\", subject \
             \"organization_id:o'1:project_id:p\", audience \"api://AzureADTokenExchange\"; trace id t-1; \
             correlation id c-1"
        )
    );
    assert_eq!(
        error.fix.unwrap(),
        "add the matching federated credential: az ad app federated-credential create --id 11111111-2222 --parameters \
         '{\"audiences\":[\"api://AzureADTokenExchange\"],\"issuer\":\"https://app.gitpod.io\",\
         \"name\":\"apim-agent\",\"subject\":\"organization_id:o'\\''1:project_id:p\"}'"
    );
}

#[test]
fn each_code_has_its_class_and_its_fix() {
    for (code, class, fix) in [
        (70_021, Denied, "made minutes ago"),
        (700_211, Denied, "az ad app federated-credential create"),
        (700_212, Denied, "az ad app federated-credential create"),
        (7_002_121, Denied, "az ad app federated-credential create"),
        (7_002_138, Denied, "case-sensitive"),
        (70_025, Denied, "az ad app federated-credential create"),
        (700_024, Denied, "clock"),
        (50_027, Config, "identity.source"),
        (700_027, Denied, "https://app.gitpod.io serves the keys"),
        (50_013, Denied, "openid-configuration"),
        (700_016, Config, "entra.client_id (11111111-2222)"),
        (7_000_215, Denied, "entra.client_id"),
        (7_000_218, Denied, "entra.client_id"),
        (501_661, Unavailable, "reachable from the internet"),
        (90_002, Config, "entra.tenant_id (contoso.example)"),
        (500_011, Config, "scope api://orders/.default"),
        (65_001, Denied, "admin-consent"),
    ] {
        for status in [400, 401] {
            let error = explained(&entra(status, "invalid_client", code, "words"));
            assert_eq!(error.class, class, "{code}");
            assert!(error.fix.as_deref().unwrap().contains(fix), "{code}: {error}");
            assert!(error.why.unwrap().starts_with(&format!("AADSTS{code}: words; ")));
        }
    }
}

#[test]
fn the_clock_is_shown_where_time_is_the_question() {
    let error = explained(&entra(
        401,
        "invalid_client",
        700_024,
        "Client assertion is not within its valid time range.",
    ));
    let why = error.why.unwrap();
    assert!(
        why.contains("good until 2026-11-24T01:00:00Z, and this machine's clock says 2026-11-24T00:00:00Z"),
        "{why}"
    );
}

#[test]
fn other_codes_by_the_oauth_error() {
    for (error, class) in [
        ("invalid_client", Denied),
        ("unauthorized_client", Denied),
        ("interaction_required", Denied),
        ("invalid_request", Config),
        ("invalid_scope", Config),
        ("temporarily_unavailable", Unavailable),
        ("something_new", Denied),
    ] {
        assert_eq!(explained(&entra(400, error, 99_999, "words")).class, class, "{error}");
    }
}

#[test]
fn throttled_and_failing() {
    for (status, wait, class, seconds) in [
        (429, "17", TryAgain, 17),
        (429, "Tue, 24 Nov 2026 00:00:09 GMT", TryAgain, 9),
        (503, "3", Unavailable, 3),
    ] {
        let mut answer = entra(status, "temporarily_unavailable", 700_213, "words");
        answer.headers_mut().insert("retry-after", wait.parse().unwrap());
        let error = explained(&answer);
        assert_eq!((error.class, error.retry_after), (class, Some(Duration::from_secs(seconds))));
    }
}

#[test]
fn what_is_not_entras_is_described_and_not_shown() {
    for (body, outline) in [
        ("<html>hunter2</html>", "status 400, text/html, 20 bytes"),
        ("", "status 400, text/html, an empty body"),
        ("{\"error\":\"invalid_client\",\"error_desc", "status 400, text/html, 37 bytes"),
        ("{}", "status 400, text/html, 2 bytes"),
        ("[1]", "status 400, text/html, 3 bytes"),
    ] {
        let answer =
            Response::builder().status(400).header("content-type", "text/html").body(body.into()).unwrap();
        let error = explained(&answer);
        assert_eq!((error.class, error.why.as_deref()), (Unavailable, Some(outline)));
    }
}

#[test]
fn the_code_is_found_in_the_description_too() {
    let parse = |body: serde_json::Value| Refusal::parse(body.to_string().as_bytes()).unwrap();
    let newer = parse(json!({
        "error": "unauthorized_client",
        "error_description": "AADSTS700016: Application with identifier 'x' was not found. Trace ID: t Correlation ID: c",
    }));
    assert_eq!(newer.code, Some(700_016));
    assert_eq!(newer.description, "AADSTS700016: Application with identifier 'x' was not found.");
    assert_eq!(parse(json!({"error": "e", "error_description": "AADSTS: no number"})).code, None);
    assert_eq!(parse(json!({"error": "e", "error_codes": ["7"]})).code, None);
}
