//! Both calls over TLS, against a vault on loopback.

use super::{
    testing::{FakeVault, VERSION},
    *,
};
use serde_json::json;

async fn secret(fake: &FakeVault, vault: &Vault) -> Result<Stored> {
    let answer = vault.secret("partner", None).await;
    // Whatever happens: nobody but the vault has seen a token.
    assert!(fake.exchange.scopes().iter().all(|scope| scope == "https://vault.azure.net/.default"));
    answer
}

fn fails(answer: Result<Stored>) -> Error {
    answer.map(|stored| stored.version).expect_err("refused")
}

#[tokio::test]
async fn the_challenge_is_answered_once_and_its_token_kept() {
    let fake = FakeVault::start().await;
    let more = json!({"contentType": "text/plain", "attributes": {"enabled": true, "exp": 1_900_000_000}});
    fake.secret("partner", VERSION, "s3cret", &more);
    let vault = fake.vault();
    let stored = secret(&fake, &vault).await.expect("the secret");
    assert_eq!((stored.value.expose(), stored.version.as_str()), ("s3cret", VERSION));
    assert_eq!(stored.content_type.as_deref(), Some("text/plain"));
    assert_eq!(stored.attributes.expires, Some(clock::from_unix(1_900_000_000)));
    assert!(stored.attributes.enabled && stored.attributes.not_before.is_none() && !stored.managed);
    vault.secret("partner", Some(VERSION)).await.expect("by its version");

    let token = Some("token-1".to_owned());
    assert_eq!(
        fake.asked(),
        [
            ("/secrets/partner/".to_owned(), None),
            ("/secrets/partner/".to_owned(), token.clone()),
            (format!("/secrets/partner/{VERSION}"), token),
        ]
    );
    assert_eq!(fake.exchange.count(), 1);
}

#[tokio::test]
async fn secrets_and_certificates_share_the_token() {
    let fake = FakeVault::start().await;
    fake.secret("partner", VERSION, "s3cret", &json!({"managed": true}));
    let policy = json!({"cer": "AQID", "policy": {"key_props": {"exportable": false}}});
    fake.certificate("partner", VERSION, &policy);
    let vault = fake.vault();
    let public = vault.certificate("partner", None).await.expect("the certificate");
    assert_eq!((public.der.as_deref(), public.exportable), (Some([1, 2, 3].as_slice()), Some(false)));
    assert!(vault.secret("partner", Some(&public.version)).await.expect("the secret").managed);
    assert_eq!(fake.exchange.count(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let fake = FakeVault::start().await;
    fake.secret("partner", VERSION, "s3cret", &json!({}));
    let vault = fake.vault();
    secret(&fake, &vault).await.expect("the secret");
    fake.refuse("token-1");
    secret(&fake, &vault).await.expect("with another token");
    assert_eq!(fake.exchange.count(), 2);
    for token in ["token-2", "token-3", "token-4"] {
        fake.refuse(token);
    }
    let error = fails(secret(&fake, &vault).await);
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(fake.exchange.count() <= 4, "not without end");
}

#[tokio::test]
async fn a_host_that_wants_a_token_for_something_else_gets_none() {
    let fake = FakeVault::start().await;
    fake.challenge("https://management.azure.com");
    let error = fails(secret(&fake, &fake.vault()).await);
    assert_eq!(error.class, Class::Config, "{error}");
    assert!(error.to_string().contains("https://management.azure.com/.default"), "{error}");
    assert_eq!(fake.exchange.count(), 0);
    // What is no challenge at all.
    fake.challenge("\" nonsense");
    let error = fails(secret(&fake, &fake.vault()).await);
    assert_eq!((error.class, fake.exchange.count()), (Class::Config, 0), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (fake, other) = (FakeVault::start().await, FakeVault::start().await);
    fake.answer("/secrets/partner/", 302, &json!({}));
    fake.header("location", other.server.url.join("/secrets/partner/").expect("a URL").as_str());
    let error = fails(secret(&fake, &fake.vault()).await);
    assert_eq!(error.class, Class::Config, "{error}");
    assert_eq!(other.server.accepted(), 0);
}

#[tokio::test]
async fn refusals_come_with_their_reason_and_their_wait() {
    let fake = FakeVault::start().await;
    fake.header("retry-after", "9");
    let vault = fake.vault();
    let error = fails(secret(&fake, &vault).await);
    assert_eq!(error.class, Class::Config, "SecretNotFound: {error}");
    for (status, inner, class) in [
        (403, "ForbiddenByRbac", Class::Denied),
        (403, "ForbiddenByConnection", Class::Denied),
        (403, "SecretDisabled", Class::Denied),
        (429, "Throttled", Class::TryAgain),
        (503, "", Class::Unavailable),
    ] {
        let inner = json!({"code": "X", "message": "words\r\n\"quoted\"", "innererror": {"code": inner}});
        fake.answer("/secrets/partner/", status, &json!({"error": inner}));
        let before = fake.asked().len();
        let error = fails(secret(&fake, &vault).await);
        assert_eq!(error.class, class, "{error}");
        assert_eq!(error.retry_after.map(|wait| wait.as_secs()), Some(9), "{error}");
        assert!(error.why.as_ref().is_some_and(|why| why.contains("words \"quoted\"")), "{error}");
        assert_eq!(fake.asked().len(), before + 1, "no retries of the SDK's");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_not_repeated() {
    let fake = FakeVault::start().await;
    let vault = fake.vault();
    let id = format!("https://contoso.vault.azure.net/secrets/partner/{VERSION}");
    let mut invalid = format!(r#"{{"id":"{id}","value":"hunter2"#).into_bytes();
    invalid.extend(b"\xff\xfe\"}");
    let bodies = [
        b"hunter2".to_vec(),
        json!({"id": id, "value": {"hunter2": 1}}).to_string().into_bytes(),
        json!({"id": id}).to_string().into_bytes(),
        json!({"value": "hunter2"}).to_string().into_bytes(),
        json!({"id": "https://x/secrets/a/..%2f", "value": "hunter2"}).to_string().into_bytes(),
        json!({"id": id, "value": "hunter2", "attributes": {"exp": i64::MAX}}).to_string().into_bytes(),
        invalid,
    ];
    for body in bodies {
        fake.answer_bytes("/secrets/partner/", 200, body.clone());
        let error = fails(secret(&fake, &vault).await);
        assert_eq!(error.class, Class::Unavailable, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
