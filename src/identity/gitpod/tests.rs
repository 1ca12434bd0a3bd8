use super::*;
use crate::{
    http::{
        Client, Options,
        testing::{Reply, Server},
    },
    identity::testing::{broken, jwt, not_here, runner, stand_in},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn gitpod(url: Option<&Url>, http: Client, variables: &[(&str, &str)]) -> Gitpod {
    Gitpod::new(url, http, runner(variables))
}

fn nobody() -> Client {
    Client::new(&Options::default()).unwrap()
}

#[tokio::test]
async fn asks_gp_with_the_audience() {
    let folder = tempfile::tempdir().unwrap();
    let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
    stand_in(folder.path(), "gp", &format!("[ \"$*\" = 'idp token --audience a' ] && echo {token}"));
    let path = folder.path().to_str().unwrap();
    let found = gitpod(None, nobody(), &[(MARK, "acme-1"), ("PATH", path)]).fetch("a").await;
    assert_eq!(found.map_err(|_| "no token").unwrap().token.expose(), token);
}

#[tokio::test]
async fn here_and_without_gp() {
    assert_eq!(not_here(gitpod(None, nobody(), &[]).fetch("a").await), "GITPOD_WORKSPACE_ID is not set");
    let error = broken(gitpod(None, nobody(), &[(MARK, "acme-1"), ("PATH", "/no/such")]).fetch("a").await);
    assert_eq!(error.what, "Gitpod Classic gives no id token: gp is not on the PATH");
}

/// A supervisor that answers each request so; its address.
async fn supervisor(status: u16, body: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
            {
            }
            let asked = b"GET /_supervisor/v1/token/gitpod/gitpod.example/function:getWorkspace HTTP/1.1";
            let status = if head.starts_with(asked) { status } else { 404 };
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    // Not the address that is spoken to: only its port counts.
    format!("10.0.5.2:{port}")
}

#[tokio::test]
async fn without_gp_by_the_supervisor_and_the_api() {
    let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
    let body = json!({ "token": token }).to_string();
    let api = Server::start(move |_, _| Reply::json(200, &body)).await;
    let address = supervisor(200, r#"{"token": "the-bearer", "host": "gitpod.example"}"#).await;
    for host in ["https://gitpod.example", "gitpod.example"] {
        let variables = [(MARK, "acme-1"), (HOST, host), (SUPERVISOR, address.as_str())];
        let found = gitpod(Some(&api.url), api.client(), &variables).fetch("a").await;
        assert_eq!(found.map_err(|miss| miss.into_error("gitpod")).unwrap().token.expose(), token);
    }
    let seen = &api.seen()[0];
    assert!(seen.head.starts_with(&format!("POST /{METHOD} HTTP/1.1\r\n")), "{}", seen.head);
    assert!(seen.head.contains("authorization: Bearer the-bearer\r\n"), "{}", seen.head);
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body, json!({"workspaceId": "acme-1", "audience": ["a"]}));
}

#[tokio::test]
async fn what_can_go_wrong_there() {
    let refusing = r#"{"code": "unauthenticated", "message": "invalid access token: the-bearer"}"#;
    let api = Server::start(move |_, _| Reply::json(401, refusing)).await;
    let (good, bad) = (
        supervisor(200, r#"{"token": "the-bearer"}"#).await,
        supervisor(404, r#"{"code": 5, "message": "no token available"}"#).await,
    );
    let nonsense = supervisor(200, "<html>").await;
    for (host, address, class, words) in [
        ("gitpod.example", &good, Class::Denied, "127.0.0.1 refused to give an id token (401)"),
        (
            "gitpod.example",
            &bad,
            Class::Config,
            "supervisor refused the request for an id token (404): no token available",
        ),
        (
            "gitpod.example",
            &nonsense,
            Class::Unavailable,
            "supervisor answered something that holds no token",
        ),
        ("http://gitpod.example", &good, Class::Config, "GITPOD_HOST holds no host"),
    ] {
        let variables = [(MARK, "acme-1"), (HOST, host), (SUPERVISOR, address.as_str())];
        let error = broken(gitpod(Some(&api.url), api.client(), &variables).fetch("a").await);
        assert_eq!(error.class, class, "{error}");
        assert!(error.to_string().contains(words) && !error.to_string().contains("the-bearer"), "{error}");
    }
}

#[test]
fn the_error_that_hides_all_others() {
    let error = Error::new(Class::Unavailable, "gp gave no id token: it exited with 1");
    let error = explained(error.why("token contains an invalid number of segments"), "api://x");
    assert!(error.why.unwrap().contains("hides the reason"));
    assert!(error.fix.unwrap().ends_with("gp idp token --audience api://x"));
}
