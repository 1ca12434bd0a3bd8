//! The broker with an issuer that it trusts, and clients where a test wants some.

use super::*;
use crate::{
    clock::from_unix,
    emulator::{
        jwt::{Invalid, Verified},
        testing::request,
        trust::{TrustedIssuer, tests::Shelf},
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::Value;

const NOW: u64 = 1_795_478_400;
const ISSUER: &str = "https://issuer.example";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Bench {
    issuer: SigningKey,
    broker: Broker,
}

/// The workspace `one` is trusted; the only good access token is `good`, the managed identity's.
fn bench(clients: Vec<BrokerClient>) -> Bench {
    let world = Arc::new(World { broker_clients: clients, ..World::default() });
    let issuer = SigningKey::generate().unwrap();
    let credential = TrustedIssuer { url: ISSUER.to_owned(), subject: Some("one".to_owned()) };
    let trust = Trust::new(vec![credential], Box::new(Shelf::with(ISSUER, &issuer)));
    let claims = json!({
        "aud": world.api_audience,
        "iss": format!("https://sts.windows.net/{}/", world.tenant_id),
        "tid": world.tenant_id,
        "exp": NOW + 60,
        "appid": world.client_id,
        "sub": "robot",
    });
    let verify = Box::new(move |token: &str| match token {
        "good" => Ok(Verified { header: json!({}), claims: claims.clone() }),
        _ => Err(Invalid::Signature),
    });
    let store = Arc::new(Store::new(Duration::ZERO));
    Bench { issuer, broker: Broker::with(world, store, verify, trust) }
}

impl Bench {
    fn id_token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": ISSUER,
            "sub": "one",
            "aud": ["other", self.broker.world.broker_audience],
            "iat": NOW,
            "exp": NOW + 60,
            "environment_id": "env-1",
            "creator_email": "jane@acme.example",
        });
        change(&mut claims);
        self.issuer.sign(&claims).unwrap()
    }

    /// A good request's parameters.
    fn good(&self) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", TOKEN_EXCHANGE.to_owned()),
            ("subject_token", self.id_token(|_| ())),
            ("subject_token_type", ID_TOKEN.to_owned()),
        ]
    }

    /// The answer to a good request with parameters added, or replaced where they are there; an empty one is left out.
    async fn exchange(&self, changes: &[(&'static str, &str)]) -> (u16, Value) {
        let mut form = self.good();
        for (name, value) in changes {
            form.retain(|(key, _)| key != name);
            form.push((name, (*value).to_owned()));
        }
        let response = self.broker.exchange(&post(TOKEN_PATH, &form), from_unix(NOW)).await;
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    async fn key(&self, changes: &[(&'static str, &str)]) -> String {
        let (status, body) = self.exchange(changes).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn revoke(&self, form: &[(&'static str, String)], at: u64) -> Response {
        self.broker.revoke(&post(REVOKE_PATH, form), from_unix(at))
    }
}

fn post(path: &str, form: &[(&'static str, String)]) -> Request {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    request("POST", path)
        .with_header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .with_body(body)
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn an_id_token_is_traded_for_a_key_of_the_workspaces_own() {
    let bench = bench(Vec::new());
    let response = bench.broker.exchange(&post(TOKEN_PATH, &bench.good()), from_unix(NOW)).await;
    assert_eq!((response.status, header(&response, "Cache-Control")), (200, Some("no-store")));
    assert_eq!(response.caller.as_deref(), Some("workspace one"));
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((&body["token_type"], &body["issued_token_type"]), (&json!("N_A"), &json!(SUBSCRIPTION_KEY)));
    assert_eq!((&body["expires_in"], body.get("scope")), (&json!(3600), None));

    let key = body["access_token"].as_str().unwrap();
    let holder = bench.broker.store.holder_of(key, from_unix(NOW)).unwrap();
    assert_eq!((holder.scope.as_str(), holder.state), ("/products/starter", State::Active));
    let ends = crate::clock::rfc3339(from_unix(NOW + 3600));
    assert_eq!(holder.display_name, format!("apim-agent env-1 jane@acme.example until {ends}"));
    assert_ne!(bench.key(&[]).await, key, "each exchange mints a key of its own");
}

#[tokio::test]
async fn all_that_may_be_asked_for_is_granted() {
    let bench = bench(Vec::new());
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    for changes in [
        &[("subject_token_type", jwt)][..],
        &[("subject_token", "good"), ("subject_token_type", ACCESS_TOKEN)],
        &[("actor_token", "good"), ("actor_token_type", ACCESS_TOKEN)],
        &[("requested_token_type", SUBSCRIPTION_KEY)],
        &[("requested_token_type", ACCESS_TOKEN)],
        &[("resource", "https://127.0.0.1:1/echo/orders"), ("audience", "starter")],
        &[("resource", "api://echo"), ("audience", "api://echo"), ("scope", "Echo.Call")],
        &[("scope", "")],
        &[("actor_token", ""), ("actor_token_type", "")],
    ] {
        let (status, body) = bench.exchange(changes).await;
        assert_eq!((status, body.get("scope")), (200, None), "{changes:?}: {body}");
    }
    let (_, body) = bench.exchange(&[("scope", "Echo.Call Echo.Delete api://echo/.default")]).await;
    assert_eq!(
        body["scope"], "Echo.Call api://echo/.default",
        "what is granted differs, so the answer says it"
    );

    let mut form = bench.good();
    form.extend([("actor_token", "good".to_owned()), ("actor_token_type", ACCESS_TOKEN.to_owned())]);
    form.extend([("audience", "echo".to_owned()), ("audience", "starter".to_owned())]);
    let response = bench.broker.exchange(&post(TOKEN_PATH, &form), from_unix(NOW)).await;
    assert_eq!(
        (response.status, response.caller.as_deref()),
        (200, Some("workspace one by workspace robot"))
    );
}

#[tokio::test]
async fn each_flaw_has_its_error() {
    let bench = bench(Vec::new());
    let [saml, older_saml] =
        ["saml2", "saml1"].map(|kind| format!("urn:ietf:params:oauth:token-type:{kind}"));
    let refresh = "urn:ietf:params:oauth:token-type:refresh_token";
    for (changes, status, error, word) in [
        (&[("grant_type", "")][..], 400, "invalid_request", "grant_type is missing"),
        (&[("grant_type", "client_credentials")], 400, "unsupported_grant_type", "client_credentials"),
        (&[("subject_token", "")], 400, "invalid_request", "subject_token is missing"),
        (&[("subject_token_type", "")], 400, "invalid_request", "subject_token_type is missing"),
        (
            &[("subject_token", ""), ("subject_token_type", "")],
            400,
            "invalid_request",
            "subject_token is missing",
        ),
        (&[("subject_token_type", refresh)], 400, "invalid_request", "is not taken here"),
        (&[("subject_token_type", &saml)], 400, "invalid_request", "is not base64url of a text"),
        (&[("subject_token_type", &older_saml)], 501, "invalid_request", "SAML 1.1"),
        (&[("subject_token_type", ACCESS_TOKEN)], 400, "invalid_request", "TokenSignatureInvalid"),
        (&[("actor_token", "good")], 400, "invalid_request", "actor_token_type is missing"),
        (&[("actor_token_type", ACCESS_TOKEN)], 400, "invalid_request", "actor_token is missing"),
        (
            &[("actor_token", "x"), ("actor_token_type", ID_TOKEN)],
            400,
            "invalid_request",
            "actor_token is no JWT",
        ),
        (&[("requested_token_type", refresh)], 400, "invalid_request", "refresh_token"),
        (&[("resource", "/echo")], 400, "invalid_request", "absolute URI"),
        (&[("resource", "https://127.0.0.1:1/echo#x")], 400, "invalid_request", "fragment"),
        (&[("resource", "https://127.0.0.1:1/echoes")], 400, "invalid_target", "/echoes"),
        (&[("resource", "https://other.example/echo")], 400, "invalid_target", "other.example"),
        (&[("audience", "unlimited")], 400, "invalid_target", "unlimited"),
        (&[("scope", "Echo.Delete")], 400, "invalid_scope", "Echo.Delete"),
        (&[("scope", "a\"ö\\")], 400, "invalid_scope", "a???"),
    ] {
        let (got, body) = bench.exchange(changes).await;
        assert_eq!((got, body["error"].as_str().unwrap()), (status, error), "{changes:?}");
        assert!(body["error_description"].as_str().unwrap().contains(word), "{body}");
    }
    let doubled = [bench.good(), bench.good()].concat();
    let untyped = request("POST", TOKEN_PATH).with_body("grant_type=x");
    for (request, status) in [
        (post(TOKEN_PATH, &doubled), 400),
        (untyped, 400),
        (request("GET", TOKEN_PATH), 405),
        (request("GET", REVOKE_PATH), 405),
    ] {
        let response = bench.broker.exchange(&request, from_unix(NOW)).await;
        assert_eq!((response.status, header(&response, "Cache-Control")), (status, Some("no-store")));
    }
    let (_, total) = bench.broker.store.page("", |_| true, 0, 1);
    assert_eq!(total, 0, "a refusal mints nothing");
}

#[tokio::test]
async fn a_subject_token_must_convince() {
    let bench = bench(Vec::new());
    let stranger = SigningKey::generate().unwrap();
    let forged = stranger.sign(&json!({"iss": ISSUER, "sub": "one"})).unwrap();
    let set = |name: &'static str, value: Value| bench.id_token(|claims| claims[name] = value);
    for (token, word) in [
        ("x".to_owned(), "is no JWT"),
        (set("iss", json!("https://other.example")), "not trusted"),
        (set("sub", json!("two")), "not trusted"),
        (set("sub", json!(1)), "is no JWT"),
        (forged, "does not publish"),
        (set("aud", json!("api://AzureADTokenExchange")), "is not for api://apim-broker"),
        (set("aud", json!([])), "is not for"),
        (set("exp", json!(NOW)), "has expired"),
        (set("exp", json!(null)), "has expired"),
        (set("nbf", json!(NOW + 1)), "is not yet valid"),
        (set("iat", json!("now")), "is not yet valid"),
    ] {
        let (status, body) = bench.exchange(&[("subject_token", &token)]).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
        assert!(body["error_description"].as_str().unwrap().contains(word), "{body}");
    }
}

#[tokio::test]
async fn a_revoked_key_and_one_past_its_life_are_gone() {
    let bench = bench(Vec::new());
    let (revoked, ended) = (bench.key(&[]).await, bench.key(&[]).await);
    let sid = |key: &str| bench.broker.store.holder_of(key, from_unix(NOW)).map(|holder| holder.sid);
    let ended_sid = sid(&ended).unwrap();

    let hint = ("token_type_hint", "refresh_token".to_owned());
    let response = bench.revoke(&[("token", revoked.clone()), hint], NOW);
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert!(response.caller.unwrap().starts_with("subscription br-"));
    assert_eq!(sid(&revoked), None);
    // Again, and what never was.
    for token in [revoked, "unknown".to_owned()] {
        assert_eq!(bench.revoke(&[("token", token)], NOW).status, 200);
    }
    assert_eq!(bench.revoke(&[], NOW).status, 400);

    assert!(!bench.broker.has_ended(&ended_sid, from_unix(NOW + 3599)));
    assert!(bench.broker.has_ended(&ended_sid, from_unix(NOW + 3600)));
    bench.broker.sweep(from_unix(NOW + 3600));
    assert_eq!(sid(&ended), None);
}

/// A client with a key of its own, and how it signs.
fn signing_client() -> (BrokerClient, impl Fn(Value) -> String) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let public_key = pair.public_key_pem();
    let random = SystemRandom::new();
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &random).unwrap();
    let sign = move |claims: Value| {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(json!({"alg": "ES256"})), encode(claims));
        let signature = key.sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let authentication = ClientAuthentication::PrivateKeyJwt { public_key };
    (BrokerClient { id: "agent".to_owned(), authentication, may_exchange: true }, sign)
}

fn assertion(id: &str) -> Value {
    json!({
        "iss": "agent",
        "sub": "agent",
        "aud": "https://127.0.0.1:1/broker/token",
        "exp": NOW + 60,
        "jti": id,
    })
}

#[tokio::test]
async fn a_signed_assertion_proves_a_client_once() {
    let (client, sign) = signing_client();
    let bench = bench(vec![client]);
    let with = |assertion: &str| {
        [("client_assertion_type", JWT_BEARER.to_owned()), ("client_assertion", assertion.to_owned())]
    };
    let first = sign(assertion("1"));
    let good = [("client_assertion_type", JWT_BEARER), ("client_assertion", &first)];
    let key = bench.key(&good).await;
    let (status, body) = bench.exchange(&good).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
    assert!(body["error_description"].as_str().unwrap().contains("used before"), "{body}");

    let set = |name: &'static str, value: Value| {
        let mut claims = assertion("2");
        claims[name] = value;
        sign(claims)
    };
    let stranger = signing_client().1(assertion("2"));
    for (assertion, word) in [
        ("x".to_owned(), "is no JWT"),
        (stranger, "wrong signature"),
        (set("iss", json!("other")), "as both iss and sub"),
        (set("sub", json!(null)), "has no sub"),
        (set("aud", json!("https://other.example/broker/token")), "token endpoint"),
        (set("aud", json!([])), "token endpoint"),
        (set("exp", json!(null)), "has no exp"),
        (set("exp", json!(NOW)), "has expired"),
        (set("exp", json!(NOW + 3601)), "lives too long"),
        (set("nbf", json!(NOW + 1)), "is not yet valid"),
        (set("jti", json!("")), "has no jti"),
    ] {
        let changes = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
        let (status, body) = bench.exchange(&changes).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")), "{body}");
        assert!(body["error_description"].as_str().unwrap().contains(word), "{body}");
    }
    let third = sign(assertion("3"));
    let (status, body) = bench.exchange(&[("client_assertion", &third)]).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let (status, _) = bench.exchange(&[good[0], ("client_assertion", &third), ("client_id", "other")]).await;
    assert_eq!(status, 401);

    assert_eq!(bench.revoke(&[("token", key.clone())], NOW).status, 401, "who asks to revoke?");
    let form = [&with(&sign(assertion("4")))[..], &[("token", key)]].concat();
    assert_eq!(bench.revoke(&form, NOW).status, 200);
}

#[tokio::test]
async fn a_certificate_proves_the_client_that_it_is_registered_for() {
    let client = |id: &str, certificate: &[u8], may_exchange| BrokerClient {
        id: id.to_owned(),
        authentication: ClientAuthentication::Tls {
            thumbprint: crate::emulator::gateway::thumbprint(certificate),
        },
        may_exchange,
    };
    let (signing, _) = signing_client();
    let bench = bench(vec![
        client("one", b"one", true),
        client("two", b"two", true),
        client("low", b"low", false),
        signing,
    ]);
    let ask = |id: &str, certificate: Option<&'static [u8]>| {
        let mut request = post(TOKEN_PATH, &[bench.good(), vec![("client_id", id.to_owned())]].concat());
        request.client_certificate = certificate.map(bytes::Bytes::from_static);
        let bench = &bench;
        async move {
            let response = bench.broker.exchange(&request, from_unix(NOW)).await;
            let body: Value = serde_json::from_slice(&response.body).unwrap();
            let key = body["access_token"].as_str().unwrap_or_default().to_owned();
            (response.status, body["error"].as_str().unwrap_or_default().to_owned(), key)
        }
    };
    for (id, certificate, status, error) in [
        ("one", Some(&b"two"[..]), 401, "invalid_client"),
        ("one", None, 401, "invalid_client"),
        ("three", Some(b"one"), 401, "invalid_client"),
        ("", Some(b"one"), 401, "invalid_client"),
        ("agent", Some(b"one"), 401, "invalid_client"),
        ("low", Some(b"low"), 400, "unauthorized_client"),
    ] {
        let (got, said, _) = ask(id, certificate).await;
        assert_eq!((got, said.as_str()), (status, error), "{id}");
    }
    let (status, _, key) = ask("one", Some(b"one")).await;
    assert_eq!(status, 200);

    let revoke = |id: &str, certificate: &'static [u8]| {
        let mut request = post(REVOKE_PATH, &[("token", key.clone()), ("client_id", id.to_owned())]);
        request.client_certificate = Some(bytes::Bytes::from_static(certificate));
        bench.broker.revoke(&request, from_unix(NOW))
    };
    let foreign = revoke("two", b"two");
    let body: Value = serde_json::from_slice(&foreign.body).unwrap();
    assert_eq!((foreign.status, &body["error"]), (400, &json!("invalid_grant")));
    assert!(bench.broker.store.holder_of(&key, from_unix(NOW)).is_some());
    assert_eq!(revoke("one", b"one").status, 200);
    assert!(bench.broker.store.holder_of(&key, from_unix(NOW)).is_none());
}
