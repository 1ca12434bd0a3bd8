//! The kind, against a vault on loopback.

use super::{
    super::vault::testing::{FakeVault, NEXT, VERSION},
    *,
};
use serde_json::json;

fn lessor(fake: &FakeVault, version: Option<&str>) -> VaultSecret {
    let place = InVault {
        exchange: "default".to_owned(),
        vault: fake.server.url.clone(),
        name: "partner".to_owned(),
        version: version.map(str::to_owned),
    };
    VaultSecret::new(fake.vault(), &place, Duration::from_hours(1))
}

fn text(lease: &Lease) -> &str {
    lease.text().expect("a text").expose()
}

#[tokio::test]
async fn the_current_version_is_followed_and_a_fixed_one_stays() {
    let fake = FakeVault::start().await;
    fake.secret("partner", VERSION, "one", &json!({}));
    let (current, fixed) = (lessor(&fake, None), lessor(&fake, Some(VERSION)));
    let first = current.issue().await.expect("a lease");
    let again = current.issue().await.expect("the same");
    assert_eq!((text(&first), text(&again)), ("one", "one"));
    fake.secret("partner", NEXT, "two", &json!({}));
    assert_eq!(text(&current.issue().await.expect("the next version")), "two");
    assert_eq!(text(&fixed.issue().await.expect("the fixed version")), "one");
    current.probe(&first).await.expect("nobody to ask");
    current.retire().await.expect("nothing to do");
    assert!(!current.retires());
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_the_vault_was_believed_and_ends_with_the_secret() {
    let fake = FakeVault::start().await;
    fake.secret("partner", VERSION, "one", &json!({}));
    let lessor = lessor(&fake, None);
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
    let lease = lessor.issue().await.expect("a lease");
    let since = |at: SystemTime| at.duration_since(lease.issued_at).expect("later");
    assert_eq!(since(lease.expires_at), Duration::from_hours(1));
    assert_eq!(lease.refresh_at.map(since), Some(Duration::from_mins(15)));
    let soon = clock::unix(lease.issued_at) + 60;
    fake.secret("partner", VERSION, "one", &json!({"attributes": {"exp": soon}}));
    let lease = lessor.issue().await.expect("a lease");
    assert_eq!(lease.expires_at, clock::from_unix(soon));
    assert_eq!(lessor.release().await.expect("no call"), Released::Kept);
}

#[tokio::test]
async fn whatever_text_it_is_goes_on_as_it_is() {
    let fake = FakeVault::start().await;
    let lessor = lessor(&fake, None);
    let long = "x".repeat(25 * 1024);
    let hostile = ["a\nb\r\n", "'\"\\", "$(id)`id`${HOME}", "ünï\u{202e}", "-----BEGIN X-----\n", &long];
    for value in hostile {
        for kind in ["application/x-pkcs12", "application/x-pem-file", "text/plain"] {
            fake.secret("partner", VERSION, value, &json!({"contentType": kind, "managed": true}));
            let lease = lessor.issue().await.expect("a lease");
            assert!(text(&lease) == value, "{kind}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_without_being_shown() {
    let fake = FakeVault::start().await;
    let lessor = lessor(&fake, None);
    for value in ["", "hunter2\0"] {
        fake.secret("partner", VERSION, value, &json!({}));
        let error = lessor.issue().await.map(|_| ()).expect_err("refused");
        assert_eq!(error.class, Class::Config);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    for attributes in [json!({"enabled": false}), json!({"exp": 1}), json!({"nbf": 4_000_000_000_u64})] {
        fake.secret("partner", VERSION, "hunter2", &json!({"attributes": attributes}));
        let error = lessor.issue().await.map(|_| ()).expect_err("refused");
        assert_eq!(error.class, Class::Denied, "{error}");
    }
    // Larger than any answer that is read.
    fake.secret("partner", VERSION, &"x".repeat(1 << 20), &json!({}));
    let error = lessor.issue().await.map(|_| ()).expect_err("too large");
    assert_eq!(error.class, Class::Unavailable, "{error}");
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
}
