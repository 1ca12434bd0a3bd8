//! Over real TLS on loopback: client authentication and connections.

use super::*;
use crate::{
    config::ClientAuth,
    exchange::testing::field,
    http::testing::{Reply, Seen, Server as Loopback},
    identity::claims,
};
use std::{path::Path, time::SystemTime};

const GRANTED: &str = r#"{"token_type":"Bearer","expires_in":60,"access_token":"the-token"}"#;

fn server(loopback: &Loopback, id: Option<&str>, auth: ClientAuth) -> Server {
    let client = config::Client { id: id.map(str::to_owned), auth };
    Server::new(&loopback.url.join("/token").unwrap(), &client, &loopback.client())
}

fn subject() -> Claims {
    Claims {
        iss: "i".to_owned(),
        sub: "s".to_owned(),
        aud: Vec::new(),
        exp: SystemTime::UNIX_EPOCH,
        workspace: None,
        user: None,
    }
}

async fn ask(server: &Server) -> Result<String> {
    let granted = server.token(Form::grant("g"), Expected::default(), &subject()).await?;
    Ok(granted.token.expose().to_owned())
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_public_client_gives_its_name_at_most() {
    for id in [None, Some("agent")] {
        let loopback = Loopback::start(|_, _| Reply::json(200, GRANTED)).await;
        assert_eq!(ask(&server(&loopback, id, ClientAuth::None)).await.unwrap(), "the-token");
        let seen = &loopback.seen()[0];
        assert!(seen.head.starts_with("POST /token HTTP/1.1\r\n"), "{}", seen.head);
        assert!(seen.head.contains("content-type: application/x-www-form-urlencoded\r\n"), "{}", seen.head);
        assert_eq!(field(seen, "client_id").as_deref(), id);
        assert_eq!((field(seen, "client_assertion"), field(seen, "client_secret")), (None, None));
    }
}

#[tokio::test]
async fn an_assertion_is_signed_with_the_key_of_the_moment_for_the_token_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.pem");
    let loopback = Loopback::start(|_, _| Reply::json(200, GRANTED)).await;
    let auth = ClientAuth::PrivateKeyJwt { key_file: key_file.clone() };
    let server = server(&loopback, Some("agent"), auth);

    let error = ask(&server).await.unwrap_err();
    assert_eq!(error.class, Class::Config);
    assert!(error.what.starts_with("key_file ") && error.what.ends_with("key.pem cannot be read"), "{error}");
    assert!(loopback.seen().is_empty());

    let endpoint = server.endpoint().clone();
    let is_signed_by = |seen: &Seen, key: &rcgen::KeyPair| {
        let assertion = field(seen, "client_assertion").unwrap();
        let claims = claims::parse(&assertion).unwrap();
        assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("agent", "agent"));
        assert_eq!(claims.aud, [endpoint.as_str()], "also for a revocation");
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let signature =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
        ring::signature::UnparsedPublicKey::new(
            &ring::signature::ECDSA_P256_SHA256_FIXED,
            key.public_key_raw(),
        )
        .verify(message.as_bytes(), &signature)
        .is_ok()
    };
    let keys = [(); 2].map(|()| rcgen::KeyPair::generate().unwrap());
    write(&key_file, &keys[0].serialize_pem());
    ask(&server).await.unwrap();
    write(&key_file, &keys[1].serialize_pem());
    let revocation = loopback.url.join("/revoke").unwrap();
    server.revoke(&revocation, &Secret::new("t".to_owned()), Some("access_token")).await.unwrap();

    let seen = loopback.seen();
    assert!(is_signed_by(&seen[0], &keys[0]) && is_signed_by(&seen[1], &keys[1]));
    for seen in &seen {
        assert_eq!(field(seen, "client_id").as_deref(), Some("agent"));
        assert_eq!(
            field(seen, "client_assertion_type").as_deref(),
            Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        );
    }
    assert!(seen[1].head.starts_with("POST /revoke "), "{}", seen[1].head);
    assert_eq!(field(&seen[1], "token").as_deref(), Some("t"));
    assert_eq!(field(&seen[1], "token_type_hint").as_deref(), Some("access_token"));
}

#[tokio::test]
async fn mutual_tls_presents_the_certificate_of_the_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate_file, key_file) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let loopback = Loopback::start_mutual(|_, _| Reply::json(200, GRANTED)).await;
    let auth = ClientAuth::Mtls { certificate_file: certificate_file.clone(), key_file: key_file.clone() };
    let server = server(&loopback, Some("agent"), auth);
    let install = || {
        let (certificate, key, der) = loopback.certificate();
        write(&certificate_file, &certificate);
        write(&key_file, &key);
        der
    };

    let first = install();
    ask(&server).await.unwrap();
    ask(&server).await.unwrap();
    let second = install();
    ask(&server).await.unwrap();
    let seen = loopback.seen();
    let presented: Vec<_> = seen.iter().map(|seen| seen.certificate.clone().unwrap()).collect();
    assert!(first != second && presented == [first.clone(), first, second]);
    let connections: Vec<_> = seen.iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1], "a connection is kept as long as the certificate is the same");
    // RFC 8705, 2: the name goes along, and nothing else.
    assert_eq!(field(&seen[0], "client_id").as_deref(), Some("agent"));
    assert_eq!(field(&seen[0], "client_assertion"), None);

    let (_, of_another, _) = loopback.certificate();
    write(&key_file, &of_another);
    let error = ask(&server).await.unwrap_err();
    assert_eq!((error.class, error.what.as_str()), (Class::Config, "the client certificate cannot be used"));
    assert_eq!(loopback.seen().len(), 3);
}

#[tokio::test]
async fn without_a_certificate_there_is_no_conversation() {
    let loopback = Loopback::start_mutual(|_, _| Reply::json(200, GRANTED)).await;
    let error = ask(&server(&loopback, None, ClientAuth::None)).await.unwrap_err();
    assert_eq!(error.class, Class::Unavailable);
    assert!(loopback.seen().is_empty());
}

#[tokio::test]
async fn a_success_without_a_token_is_none_and_is_not_shown() {
    for body in ["<html>", r#"{"access_token":"the-token","token_type":"mac"}"#] {
        let loopback = Loopback::start(move |_, _| Reply::json(200, body)).await;
        let error = ask(&server(&loopback, None, ClientAuth::None)).await.unwrap_err();
        assert_eq!(error.class, Class::Unavailable);
        assert!(error.what.ends_with("/token holds no token"), "{error}");
        assert!(!error.to_string().contains("the-token"), "{error}");
    }
}

#[tokio::test]
async fn any_success_is_one_for_a_revocation_and_nothing_else_is() {
    for (status, good) in [(200, true), (204, true), (202, false), (302, false), (400, false), (503, false)] {
        let loopback = Loopback::start(move |_, _| Reply::json(status, "")).await;
        let server = server(&loopback, None, ClientAuth::None);
        let revoked = server.revoke(&loopback.url, &Secret::new("t".to_owned()), None).await;
        assert_eq!(revoked.is_ok(), good, "{status}");
        assert_eq!(field(&loopback.seen()[0], "token_type_hint"), None);
    }
}
