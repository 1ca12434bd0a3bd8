use super::*;
use crate::{
    exchange::testing::{Shows, identity},
    http::testing::{self, Reply, Seen, Server},
    identity::{Actor, Miss, Subject, claims, testing::jwt},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// A source whose subject counts the fetches.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl IdentitySource for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let audience = want.audience;
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let token =
            jwt(&json!({"iss": "i", "sub": format!("s{number}"), "aud": audience, "exp": 9_999_999_999_u64}));
        let claims = claims::parse(&token).unwrap();
        let subject = Subject { source: "counting", actor: Actor::Workspace, claims };
        Ok((subject, Proof::IdToken(Secret::new(token))))
    }
}

struct Absent;

#[async_trait]
impl IdentitySource for Absent {
    fn name(&self) -> &'static str {
        "absent"
    }

    async fn prove(&self, _want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        Err(Miss::NotHere("nothing".to_owned()))
    }
}

fn entra(server: &Server, identity: Arc<dyn IdentitySource>) -> Entra {
    let config = config::Entra {
        tenant_id: "contoso.example".to_owned(),
        client_id: "client".to_owned(),
        authority: server.url.clone(),
        audience: "api://AzureADTokenExchange".to_owned(),
        arm: config::Arm { url: server.url.clone(), scope: "unused".to_owned() },
    };
    Entra::new(&config, identity, &server.client()).unwrap()
}

async fn exchange(server: &Server) -> Result<AccessToken> {
    entra(server, Arc::new(Counting::default())).exchange(Some("api://orders/.default")).await
}

async fn refusal(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Error {
    let server = Server::start(move |_, _| reply()).await;
    let error = exchange(&server).await.err().unwrap();
    assert_eq!(server.seen().len(), 1, "no retries: {error}");
    error
}

fn form(seen: &Seen) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

const GRANTED: &str = r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"refresh_in":1800,"access_token":"the-token"}"#;

#[tokio::test]
async fn one_post_with_a_fresh_assertion_each_time() {
    let server = Server::start(|_, _| Reply::json(200, GRANTED)).await;
    let entra = entra(&server, Arc::new(Counting::default()));
    for number in 0..2 {
        let before = clock::now();
        let token = entra.exchange(Some("api://orders/.default")).await.unwrap();
        let after = clock::now();
        assert_eq!((token.token.expose(), token.subject.claims.sub), ("the-token", format!("s{number}")));
        let life = Duration::from_secs(3599);
        assert!((before + life..=after + life).contains(&token.expires_at));
        assert_eq!(token.refresh_at, Some(token.expires_at - Duration::from_secs(1799)));
    }
    let seen = server.seen();
    assert_eq!((seen.len(), server.accepted()), (2, 1), "the warmed connection serves both");
    assert!(
        seen[0].head.starts_with("POST /contoso.example/oauth2/v2.0/token HTTP/1.1\r\n"),
        "{}",
        seen[0].head
    );
    let fields = form(&seen[1]);
    let assertion = &fields["client_assertion"];
    assert_eq!(claims::parse(assertion).unwrap().sub, "s1");
    let expected = [
        ("client_assertion", assertion.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_id", "client"),
        ("grant_type", "client_credentials"),
        ("scope", "api://orders/.default"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn a_refusal_keeps_its_code_in_spite_of_escapes() {
    let error = refusal(|| {
        Reply::json(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS700213: No \"match\".\r\nTrace ID: t","error_codes":[700213]}"#,
        )
    })
    .await;
    assert_eq!(error.class, Class::Denied);
    assert!(
        error.why.unwrap().starts_with("AADSTS700213: No \"match\".; the workspace's token has issuer \"i\"")
    );
    assert!(error.fix.unwrap().contains("az ad app federated-credential create --id client "));
}

#[tokio::test]
async fn throttling_and_faults_are_not_retried_here() {
    let error = refusal(|| Reply::Answer(testing::answer(429, &[("retry-after", "9")], ""))).await;
    assert_eq!((error.class, error.retry_after), (Class::TryAgain, Some(Duration::from_secs(9))));
    assert_eq!(refusal(|| Reply::json(500, "{}")).await.class, Class::Unavailable);
    let error =
        refusal(|| Reply::Answer(testing::answer(502, &[("content-type", "text/html")], "<html>"))).await;
    assert_eq!(error.why.as_deref(), Some("status 502, text/html, 6 bytes"));
    let error = refusal(|| Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec())).await;
    assert!(error.what.starts_with("no access token for api://orders/.default: 127.0.0.1:"), "{error}");
    assert_eq!(error.class, Class::Unavailable);
}

const SAML_1: &str = r#"<?xml version="1.0"?><saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion" MajorVersion="1"/>"#;

#[tokio::test]
async fn a_saml_assertion_is_granted_to_a_public_client() {
    for (xml, grant) in [
        (
            "<Assertion xmlns='urn:oasis:names:tc:SAML:2.0:assertion'/>",
            "urn:ietf:params:oauth:grant-type:saml2-bearer",
        ),
        (SAML_1, "urn:ietf:params:oauth:grant-type:saml1_1-bearer"),
    ] {
        let server = Server::start(|_, _| Reply::json(200, GRANTED)).await;
        let person = identity("ada", Shows::Saml(xml));
        let token = entra(&server, person).exchange(Some("api://orders/.default")).await.unwrap();
        assert_eq!((token.token.expose(), token.subject.claims.sub.as_str()), ("the-token", "ada"));
        assert_eq!(token.refresh_at, Some(token.expires_at - Duration::from_secs(1799)));
        let seen = server.seen();
        assert!(
            seen[0].head.starts_with("POST /contoso.example/oauth2/v2.0/token HTTP/1.1\r\n"),
            "{}",
            seen[0].head
        );
        let expected = [
            ("assertion", URL_SAFE_NO_PAD.encode(xml)),
            ("client_id", "client".to_owned()),
            ("grant_type", grant.to_owned()),
            ("scope", "api://orders/.default".to_owned()),
        ];
        assert_eq!(form(&seen[0]), expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
}

#[tokio::test]
async fn whoever_has_no_ad_fs_is_told_so() {
    for (code, error) in [(50_107, "invalid_grant"), (50_008, "invalid_grant"), (99_999, "invalid_grant")] {
        let body = format!(
            r#"{{"error":"{error}","error_description":"AADSTS{code}: No.","error_codes":[{code}]}}"#
        );
        let server = Server::start(move |_, _| Reply::json(400, &body)).await;
        let person = identity("ada", Shows::Saml(SAML_1));
        let error = entra(&server, person).exchange(Some("api://orders/.default")).await.err().unwrap();
        assert_eq!(error.class, Class::Denied);
        assert!(error.fix.unwrap().starts_with("Entra takes SAML assertions only of an AD FS"), "{code}");
    }
}

#[tokio::test]
async fn an_assertion_that_comes_back_is_not_shown() {
    let server = Server::start(|_, seen| {
        let assertion = form(seen)["assertion"].clone();
        Reply::json(
            400,
            &json!({"error": "invalid_grant", "error_description": format!("bad {assertion}")}).to_string(),
        )
    })
    .await;
    let person = identity("ada", Shows::Saml(SAML_1));
    let error = entra(&server, person).exchange(Some("api://orders/.default")).await.err().unwrap();
    assert!(!error.to_string().contains(&URL_SAFE_NO_PAD.encode(SAML_1)[..24]), "{error}");
}

#[tokio::test]
async fn a_session_is_handed_on_as_it_is() {
    let server = Server::start(|_, _| Reply::json(500, "{}")).await;
    let person = identity("ada", Shows::Session(Actor::User));
    let token = entra(&server, Arc::clone(&person) as Arc<dyn IdentitySource>);
    let token = token.exchange(Some("api://orders/.default")).await.unwrap();
    assert_eq!(
        (token.token.expose(), token.bearer, token.subject.actor),
        ("session-of-ada", true, Actor::User)
    );
    assert_eq!(person.wanted.lock().unwrap()[0].1.as_deref(), Some("api://orders/.default"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_success_without_a_token_is_none() {
    for (body, why) in [
        ("<html>", "it is not a token answer"),
        ("{}", "it is not a token answer"),
        (r#"{"token_type":"Bearer","expires_in":60,"access_token":""}"#, "its access_token is empty"),
        (r#"{"token_type":"pop","expires_in":60,"access_token":"t"}"#, "its token_type is not Bearer"),
        (r#"{"token_type":"Bearer","expires_in":0,"access_token":"t"}"#, "its expires_in is not a life"),
        (r#"{"token_type":"Bearer","expires_in":-1,"access_token":"t"}"#, "its expires_in is not a life"),
        (r#"{"token_type":"Bearer","access_token":"t"}"#, "it is not a token answer"),
        (
            r#"{"token_type":"Bearer","expires_in":9223372036854775807,"access_token":"t"}"#,
            "its expires_in is not a life",
        ),
    ] {
        let error = refusal(move || Reply::json(200, body)).await;
        assert_eq!(error.class, Class::Unavailable);
        assert!(error.why.as_deref().unwrap().starts_with(why), "{error}");
    }
}

#[tokio::test]
async fn a_silly_refresh_in_is_no_hint() {
    for hint in ["\"soon\"", "3600", "-1", "null"] {
        let body = GRANTED.replace("1800", hint);
        let server = Server::start(move |_, _| Reply::json(200, &body)).await;
        assert_eq!(exchange(&server).await.unwrap().refresh_at, None, "{hint}");
    }
}

#[tokio::test]
async fn nothing_is_asked_without_an_identity() {
    let server = Server::start(|_, _| Reply::json(200, GRANTED)).await;
    let error = entra(&server, Arc::new(Absent)).exchange(Some("api://orders/.default")).await.err().unwrap();
    assert_eq!((error.class, error.why.as_deref()), (Class::Config, Some("nothing")));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_the_sdk_refuses_is_a_matter_of_configuration() {
    let server = Server::start(|_, _| Reply::json(200, GRANTED)).await;
    let mut bad = entra(&server, Arc::new(Counting::default()));
    bad.tenant_id = "a/b".to_owned();
    let error = bad.exchange(Some("api://orders/.default")).await.err().unwrap();
    assert_eq!(error.class, Class::Config);
    assert!(error.why.unwrap().contains("invalid tenant ID a/b"));

    let config = config::Entra {
        tenant_id: "t".to_owned(),
        client_id: "c".to_owned(),
        authority: "http://127.0.0.1/".parse().unwrap(),
        audience: "a".to_owned(),
        arm: config::Arm { url: server.url.clone(), scope: "unused".to_owned() },
    };
    assert!(Entra::new(&config, Arc::new(Absent), &server.client()).is_err());
}
