use super::*;
use crate::{
    http::{Client, Options, testing},
    identity::testing::{broken, jwt, not_here, runner},
};
use ::http::Response;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const WANT: Want<'_> = Want { audience: "api://AzureADTokenExchange", scope: Some("api://orders/.default") };

/// A metadata service, plain as the real one; what it was asked.
async fn service(status: u16, body: String) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
            {
            }
            if head.is_empty() {
                // Somebody looked whether anybody is here.
                continue;
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

fn source(imds: Option<&Url>, variables: &[(&str, &str)]) -> ManagedIdentity {
    ManagedIdentity {
        imds: imds.cloned(),
        client_id: None,
        federated: false,
        named: true,
        asset_tag: "/no/such/file".into(),
        runner: runner(variables),
        http: Client::new(&Options::default()).unwrap(),
    }
}

fn token() -> String {
    jwt(
        &json!({"iss": "https://sts.windows.net/t/", "sub": "oid", "aud": "fb60f99c", "exp": 9_999_999_999_u64}),
    )
}

fn granted() -> String {
    json!({"access_token": token(), "expires_in": "86400", "expires_on": "9999999999", "resource": "x", "token_type": "Bearer"})
        .to_string()
}

fn line(asked: &Mutex<Vec<String>>) -> String {
    asked.lock().unwrap()[0].clone()
}

#[tokio::test]
async fn the_machines_session() {
    let (url, asked) = service(200, granted()).await;
    let proven = source(Some(&url), &[]).prove(&WANT).await;
    let (subject, proof) = proven.map_err(|miss| miss.into_error("m")).unwrap();
    assert_eq!((subject.actor, subject.claims.sub.as_str()), (Actor::Workspace, "oid"));
    let Proof::Session { token: found, expires_at, .. } = proof else { panic!("no session") };
    assert_eq!((found.expose(), clock::unix(expires_at)), (token().as_str(), 9_999_999_999));
    let head = line(&asked);
    let path =
        "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Forders HTTP/1.1";
    assert!(head.starts_with(path) && head.contains("metadata: true\r\n"), "{head}");
}

#[tokio::test]
async fn an_assertion_where_an_audience_is_set_or_only_an_id_token_will_do() {
    for (federated, scope) in [(true, WANT.scope), (false, None)] {
        let (url, asked) = service(200, granted()).await;
        let source =
            ManagedIdentity { federated, client_id: Some("c".to_owned()), ..source(Some(&url), &[]) };
        let (_, proof) =
            source.prove(&Want { scope, ..WANT }).await.map_err(|miss| miss.into_error("m")).unwrap();
        assert!(matches!(proof, Proof::IdToken(found) if found.expose() == token()));
        let head = line(&asked);
        assert!(head.contains("resource=api%3A%2F%2FAzureADTokenExchange&client_id=c"), "{head}");
    }
}

#[tokio::test]
async fn the_platforms_own_service() {
    let (url, asked) = service(200, granted()).await;
    let variables = [(ENDPOINT, &*format!("{url}msi/token")), (HEADER, "the-secret")];
    source(None, &variables).prove(&WANT).await.map_err(|miss| miss.into_error("m")).unwrap();
    let head = line(&asked);
    assert!(head.starts_with("GET /msi/token?api-version=2019-08-01&resource="), "{head}");
    assert!(head.contains("x-identity-header: the-secret\r\n"), "{head}");

    let far = [(ENDPOINT, "http://10.0.0.1/msi/token"), (HEADER, "the-secret")];
    let error = broken(source(None, &far).prove(&WANT).await);
    assert!(error.what.contains(ENDPOINT) && !error.to_string().contains("the-secret"), "{error}");
}

#[tokio::test]
async fn auto_asks_no_network_whether_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let tag = folder.path().join("tag");
    let looked_for = |variables: &'static [(&'static str, &'static str)]| {
        let source = ManagedIdentity { named: false, asset_tag: tag.clone(), ..source(None, variables) };
        async move { source.service().await.map(|service| service.url.to_string()) }
    };
    assert!(not_here(looked_for(&[]).await).contains("this is no machine of Azure's"));
    std::fs::write(&tag, "No Asset Tag\n").unwrap();
    assert!(not_here(looked_for(&[]).await).contains("this is no machine of Azure's"));
    std::fs::write(&tag, format!("{AZURES}\n")).unwrap();
    let url = looked_for(&[]).await.map_err(|_| "not here").unwrap();
    assert_eq!(url, "http://169.254.169.254/metadata/identity/oauth2/token");
    assert!(
        not_here(looked_for(&[(ENDPOINT, "http://localhost:40342/x")]).await).contains("IDENTITY_HEADER")
    );
}

#[tokio::test]
async fn a_machine_of_azures_without_an_identity_is_none() {
    let body = json!({"error": "invalid_request", "error_description": "Identity not found"}).to_string();
    let (url, _) = service(400, body).await;
    let source = source(Some(&url), &[]);
    let Ok(mut asked) = source.service().await else { panic!("not here") };
    asked.guessed = true;
    assert!(not_here(source.token(&asked, "r").await.map(|_| ())).contains("has no managed identity"));
    let error = broken(source.prove(&WANT).await);
    assert_eq!((error.class, &*error.what), (Class::Config, "this machine has no managed identity (400)"));
}

#[tokio::test]
async fn nobody_there_and_scopes_that_are_none() {
    let nobody: Url = "http://127.0.0.1:1/".parse().unwrap();
    let error = broken(source(Some(&nobody), &[]).prove(&WANT).await);
    assert_eq!((error.class, &*error.what), (Class::Unavailable, "no metadata service is at 127.0.0.1:1"));
    for scope in ["api://orders/Read", "/.default", ""] {
        assert_eq!(resource(scope).unwrap_err().class, Class::Config, "{scope}");
    }
    assert_eq!(resource("https://management.azure.com//.default").unwrap(), "https://management.azure.com/");
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Response<Bytes> {
    testing::answer(status, headers, &body.to_string())
}

#[test]
fn each_refusal_by_its_documentation() {
    let now = clock::from_unix(1_000);
    for (status, body, class, words) in [
        (
            400,
            json!({"error_description": "AADSTS500011: no such resource"}),
            Class::Config,
            "the resource api://x",
        ),
        (
            400,
            json!({"error_description": "Multiple user assigned identities exist"}),
            Class::Config,
            "several",
        ),
        (403, json!({"error": "forbidden"}), Class::Denied, "container platforms block it"),
        (404, json!({}), Class::Unavailable, "at the moment"),
        (429, json!({"error": "too many"}), Class::TryAgain, "fewer requests"),
        (500, json!({"error": "unknown"}), Class::Unavailable, "failed to give"),
        (302, json!({}), Class::Config, "refused the request"),
    ] {
        let error = answer::refusal(&answer(status, &[], &body), "api://x", None, now);
        assert_eq!(error.class, class, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let gone = |headers| answer::refusal(&answer(410, headers, &json!({})), "r", None, now).retry_after;
    assert_eq!(gone(&[]), Some(Duration::from_secs(70)));
    assert_eq!(gone(&[("retry-after", "10")]), Some(Duration::from_secs(10)));
}

#[test]
fn answers_that_are_tokens() {
    let now = clock::from_unix(1_000);
    let read = |body: Value| {
        let granted = Granted::read(&answer(200, &[], &body), now);
        granted.map(|granted| (clock::unix(granted.expires_at), granted.refresh_at.map(clock::unix)))
    };
    assert_eq!(
        read(json!({"access_token": "x", "expires_on": "2000", "refresh_in": "500"})).unwrap(),
        (2_000, Some(1_500))
    );
    assert_eq!(read(json!({"access_token": "x", "expires_in": 60})).unwrap(), (1_060, None));
    for body in [
        json!({"access_token": "", "expires_in": "60"}),
        json!({"access_token": "x"}),
        json!({"access_token": "x\ny", "expires_in": "60"}),
        json!({"access_token": "x", "expires_on": "soon"}),
        json!({"access_token": "x", "expires_on": "999"}),
        json!([]),
    ] {
        assert_eq!(read(body).unwrap_err().class, Class::Unavailable);
    }
    assert_eq!(
        read(json!({"access_token": "x", "expires_in": u64::MAX.to_string()})).unwrap().0,
        clock::LATEST
    );
}
