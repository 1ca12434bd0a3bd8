use super::*;
use crate::{
    clock,
    config::{Client as Known, ClientAuth},
    error::{Class, Error},
    exchange::testing::{Identity, Shows, field, form, identity},
    http::testing::{Reply, Server as Loopback, answer},
    identity::{Actor, claims},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use std::time::Duration;

fn granted(token_type: &str, issued: &str) -> String {
    json!({"access_token": "the-token", "token_type": token_type, "issued_token_type": issued, "expires_in": 60})
        .to_string()
}

fn plain(server: &Loopback) -> config::TokenExchange {
    config::TokenExchange {
        endpoint: server.url.join("/token").unwrap(),
        revocation_endpoint: Some(server.url.join("/revoke").unwrap()),
        subject_audience: "api://broker".to_owned(),
        subject_token_type: None,
        requested_token_type: None,
        resource: Vec::new(),
        audience: Vec::new(),
        actor: None,
        client: Known { id: None, auth: ClientAuth::None },
    }
}

fn exchange(server: &Loopback, config: &config::TokenExchange, subject: Arc<Identity>) -> TokenExchange {
    TokenExchange::new(config, subject, None, &server.client())
}

#[tokio::test]
async fn the_least_request() {
    let server = Loopback::start(|_, _| Reply::json(200, &granted("Bearer", ACCESS_TOKEN))).await;
    let exchange = exchange(&server, &plain(&server), identity("ws", Shows::IdToken));
    let token = exchange.exchange(None).await.unwrap();
    assert_eq!((token.token.expose(), token.bearer), ("the-token", true));
    assert_eq!(token.subject.claims.sub, "ws");
    let seen = &server.seen()[0];
    let names: Vec<_> = form(seen).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["grant_type", "subject_token", "subject_token_type"]);
    assert_eq!(field(seen, "grant_type").as_deref(), Some("urn:ietf:params:oauth:grant-type:token-exchange"));
    assert_eq!(claims::parse(&field(seen, "subject_token").unwrap()).unwrap().aud, ["api://broker"]);
}

#[tokio::test]
async fn every_parameter_in_its_place() {
    let server = Loopback::start(|_, _| Reply::json(200, &granted("Bearer", "urn:x:wanted"))).await;
    let list = |values: [&str; 2]| values.map(str::to_owned).to_vec();
    let config = config::TokenExchange {
        subject_token_type: Some("urn:ietf:params:oauth:token-type:jwt".to_owned()),
        requested_token_type: Some("urn:x:wanted".to_owned()),
        resource: list(["https://a.example/orders", "https://b.example/?x=1&y=2"]),
        audience: list(["orders", "billing"]),
        client: Known { id: Some("agent".to_owned()), auth: ClientAuth::None },
        ..plain(&server)
    };
    let actor: Arc<dyn IdentitySource> = identity("helper", Shows::Session(Actor::Workspace));
    let exchange = TokenExchange::new(&config, identity("ws", Shows::IdToken), Some(actor), &server.client());
    assert_eq!(exchange.exchange(Some("read write")).await.unwrap().subject.claims.sub, "ws");
    let seen = &server.seen()[0];
    let subject = field(seen, "subject_token").unwrap();
    let expected = [
        ("grant_type", GRANT),
        ("resource", "https://a.example/orders"),
        ("resource", "https://b.example/?x=1&y=2"),
        ("audience", "orders"),
        ("audience", "billing"),
        ("scope", "read write"),
        ("requested_token_type", "urn:x:wanted"),
        ("subject_token", &subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("actor_token", "session-of-helper"),
        ("actor_token_type", ACCESS_TOKEN),
        ("client_id", "agent"),
    ];
    assert_eq!(form(seen), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_subject_token_is_said_to_be_what_it_is() {
    const SAML: &str = "<Assertion xmlns='urn:oasis:names:tc:SAML:2.0:assertion'/>";
    const OLD_SAML: &str = "<Assertion xmlns='urn:oasis:names:tc:SAML:1.0:assertion'/>";
    for (shows, token_type, sent) in [
        (Shows::IdToken, ID_TOKEN, None),
        (Shows::Saml(SAML), SAML_2, Some(URL_SAFE_NO_PAD.encode(SAML))),
        (Shows::Saml(OLD_SAML), SAML_1_1, Some(URL_SAFE_NO_PAD.encode(OLD_SAML))),
        (Shows::Session(Actor::User), ACCESS_TOKEN, Some("session-of-ws".to_owned())),
    ] {
        let server = Loopback::start(|_, _| Reply::json(200, &granted("Bearer", ACCESS_TOKEN))).await;
        let subject = identity("ws", shows);
        exchange(&server, &plain(&server), Arc::clone(&subject)).exchange(None).await.unwrap();
        let seen = &server.seen()[0];
        assert_eq!(field(seen, "subject_token_type").as_deref(), Some(token_type));
        assert!(sent.is_none_or(|sent| field(seen, "subject_token") == Some(sent)), "{token_type}");
        let wanted = subject.wanted.lock().unwrap();
        assert_eq!(*wanted, [("api://broker".to_owned(), Some("api://broker/.default".to_owned()))]);
    }
    assert_eq!(session_scope("api://broker/.default"), "api://broker/.default");
}

#[tokio::test]
async fn what_is_no_access_token_is_no_bearer_token() {
    let server = Loopback::start(|_, _| Reply::json(200, &granted("N_A", "urn:x:key"))).await;
    let exchange = exchange(&server, &plain(&server), identity("ws", Shows::IdToken));
    assert!(!exchange.exchange(None).await.unwrap().bearer);
}

#[tokio::test]
async fn another_token_than_was_asked_for_is_none() {
    let server = Loopback::start(|_, _| Reply::json(200, &granted("Bearer", ACCESS_TOKEN))).await;
    let config = config::TokenExchange { requested_token_type: Some(ID_TOKEN.to_owned()), ..plain(&server) };
    let error =
        exchange(&server, &config, identity("ws", Shows::IdToken)).exchange(None).await.err().unwrap();
    assert_eq!(error.class, Class::Unavailable);
    assert!(error.why.unwrap().starts_with("its issued_token_type is not the requested_token_type"));
}

#[tokio::test]
async fn a_life_that_is_not_said_is_taken_to_be_short() {
    let server =
        Loopback::start(|_, _| Reply::json(200, r#"{"access_token":"opaque","token_type":"Bearer"}"#)).await;
    let exchange = exchange(&server, &plain(&server), identity("ws", Shows::IdToken));
    let before = clock::now();
    let token = exchange.exchange(None).await.unwrap();
    let life = Duration::from_mins(5);
    assert!((before + life..=clock::now() + life).contains(&token.expires_at));
}

#[tokio::test]
async fn a_revocation_hints_at_what_was_issued() {
    for (issued, hint) in
        [(ACCESS_TOKEN, Some("access_token")), (REFRESH_TOKEN, Some("refresh_token")), ("urn:x:key", None)]
    {
        let server = Loopback::start(move |_, seen| {
            if seen.head.starts_with("POST /token") {
                Reply::json(200, &granted("Bearer", issued))
            } else {
                Reply::Answer(answer(200, &[], ""))
            }
        })
        .await;
        let exchange = exchange(&server, &plain(&server), identity("ws", Shows::IdToken));
        let token = exchange.exchange(None).await.unwrap();
        assert!(exchange.revoke(&token.token).await.unwrap());
        let seen = &server.seen()[1];
        assert!(seen.head.starts_with("POST /revoke "), "{}", seen.head);
        assert_eq!(field(seen, "token").as_deref(), Some("the-token"));
        assert_eq!(field(seen, "token_type_hint").as_deref(), hint, "{issued}");
    }
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_revoked() {
    let server = Loopback::start(|_, _| Reply::json(200, "")).await;
    let config = config::TokenExchange { revocation_endpoint: None, ..plain(&server) };
    let exchange = exchange(&server, &config, identity("ws", Shows::IdToken));
    assert!(!exchange.revoke(&Secret::new("t".to_owned())).await.unwrap());
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_refused_revocation_is_no_revocation() {
    let server = Loopback::start(|_, _| Reply::json(400, r#"{"error":"unsupported_token_type"}"#)).await;
    let exchange = exchange(&server, &plain(&server), identity("ws", Shows::IdToken));
    let error: Error = exchange.revoke(&Secret::new("the-secret".to_owned())).await.unwrap_err();
    assert_eq!(error.class, Class::Config);
    assert!(!error.to_string().contains("the-secret"));
}
