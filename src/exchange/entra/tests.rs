use super::*;
use crate::{
    http::testing::{self, Reply, Seen, Server},
    identity::{Actor, Miss, Subject, claims, testing::jwt},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
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

#[tokio::test]
async fn a_success_without_a_token_is_none() {
    for (body, why) in [
        ("<html>", "it is not a token answer"),
        ("{}", "it is not a token answer"),
        (r#"{"token_type":"Bearer","expires_in":60,"access_token":""}"#, "its access_token is empty"),
        (r#"{"token_type":"pop","expires_in":60,"access_token":"t"}"#, "its token_type is not Bearer"),
        (r#"{"token_type":"Bearer","expires_in":0,"access_token":"t"}"#, "its expires_in is not a life"),
        (r#"{"token_type":"Bearer","expires_in":-1,"access_token":"t"}"#, "it is not a token answer"),
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
