//! The emulator from outside: over TLS, through the proxy, with faults, until it stops.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

use apim_agent::emulator::{Emulator, Options, Ready, jwt, world::World};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn start() -> Emulator {
    Emulator::start(Options::default()).unwrap()
}

fn authority(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

async fn tls(ready: &Ready, stream: TcpStream, name: &str) -> Result<TlsStream<TcpStream>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ready.ca_file)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned())?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// One request on a connection of its own: status and body.
async fn send(
    ready: &Ready,
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<(u16, Bytes), Failure> {
    let (host, path) = authority(url).split_once('/').unwrap();
    let stream = tls(ready, TcpStream::connect(host).await?, "127.0.0.1").await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(format!("/{path}")).header("Host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(body.into()))?).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

async fn get(ready: &Ready, url: &str) -> Result<(u16, Value), Failure> {
    let (status, body) = send(ready, url, "GET", &[], "").await?;
    Ok((status, serde_json::from_slice(&body)?))
}

async fn control(ready: &Ready, method: &str, path: &str, body: &Value) -> Value {
    let url = format!("{}/_emulator/{path}", ready.control);
    let (status, answer) = send(ready, &url, method, &[], body.to_string()).await.unwrap();
    assert!(status < 300, "{status}: {answer:?}");
    serde_json::from_slice(&answer).unwrap_or_default()
}

async fn discovery(ready: &Ready) -> Result<(u16, Value), Failure> {
    get(ready, &format!("{}/.well-known/openid-configuration", ready.identity)).await
}

/// Waits until a request has met that fault.
async fn arrived(emulator: &Emulator, fault: &str) {
    while !emulator.journal().rows().iter().any(|row| row.fault == Some(fault)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn every_port_answers_as_soon_as_it_is_ready() {
    let emulator = start();
    let ready = emulator.ready();
    let urls =
        [&ready.identity, &ready.authority, &ready.arm, &ready.key_vault, &ready.gateway, &ready.control];
    for url in urls {
        let (status, _) = send(ready, &format!("{url}/no/such/thing"), "PURGE", &[], "").await.unwrap();
        assert!(status == 501 || status == 404, "{url}: {status}");
    }
    let told = control(ready, "GET", "ready", &Value::Null).await;
    assert_eq!(told, json!(ready));
    let (status, body) = discovery(ready).await.unwrap();
    assert_eq!((status, &body["issuer"]), (200, &json!(ready.identity)));
}

#[tokio::test]
async fn a_workspace_gets_an_entra_token_with_the_id_token_it_is_given() {
    let emulator = start();
    let ready = emulator.ready();
    let bearer = format!("Bearer {}", fs::read_to_string(&ready.identity_token_file).unwrap());
    let url = format!("{}/api/gitpod.v1.IdentityService/GetIDToken", ready.identity);
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let (status, body) =
        send(ready, &url, "POST", &headers, r#"{"audience":["api://AzureADTokenExchange"]}"#).await.unwrap();
    assert_eq!(status, 200);
    let body: Value = serde_json::from_slice(&body).unwrap();

    let assertion_file = fs::read_to_string(&ready.assertion_file).unwrap();
    for assertion in [body["token"].as_str().unwrap(), &assertion_file] {
        let form = format!(
            "grant_type=client_credentials&client_id={}&scope={}&client_assertion={assertion}&client_assertion_type=\
             urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
            ready.client_id, ready.api_scope,
        );
        let url = format!("{}/{}/oauth2/v2.0/token", ready.authority, ready.tenant_id);
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let (status, body) = send(ready, &url, "POST", &headers, form).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!((3599..=5400).contains(&body["expires_in"].as_u64().unwrap()));
    }

    let rows = control(ready, "GET", "journal", &Value::Null).await;
    let count =
        |operation: &str| rows.as_array().unwrap().iter().filter(|row| row["operation"] == operation).count();
    assert_eq!((count("Entra_Token"), count("Identity_Jwks")), (2, 1), "the keys are fetched, once");
    let text = rows.to_string();
    for secret in [&bearer["Bearer ".len()..], &assertion_file, body["token"].as_str().unwrap()] {
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn public_names_lead_here_through_the_proxy_and_others_nowhere() {
    let emulator = start();
    let ready = emulator.ready();
    let ask = async |line: &str| {
        let mut stream = TcpStream::connect(authority(&ready.proxy)).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(head).unwrap(), stream)
    };
    let (head, stream) = ask("CONNECT login.microsoftonline.com:443").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut stream = tls(ready, stream, "login.microsoftonline.com").await.unwrap();
    let request = format!(
        "GET /{}/v2.0/.well-known/openid-configuration HTTP/1.1\r\nHost: login.microsoftonline.com\r\nConnection: close\r\n\r\n",
        ready.tenant_id
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("https://login.microsoftonline.com/") && answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );

    assert!(ask("CONNECT example.com:443").await.0.starts_with("HTTP/1.1 403"));
    let (head, stream) = ask("CONNECT kv.vault.azure.net:443").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut stream = tls(ready, stream, "kv.vault.azure.net").await.unwrap();
    let request = b"GET /secrets/a HTTP/1.1\r\nHost: kv.vault.azure.net\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    let challenge =
        format!("bearer authorization=\"https://login.windows.net/{}\", resource=", ready.tenant_id);
    assert!(answer.starts_with("http/1.1 401") && answer.contains(&challenge), "{answer}");
    assert!(ask("GET http://example.com/").await.0.starts_with("HTTP/1.1 405"));

    assert!(ask("CONNECT me:s3cret@management.azure.com:443").await.0.starts_with("HTTP/1.1 400"));
    assert!(ask("GET http://me:s3cret@example.com/").await.0.starts_with("HTTP/1.1 405"));
    let rows = json!(emulator.journal().rows()).to_string();
    assert!(rows.contains(r#""path":"management.azure.com:443""#) && !rows.contains("s3cret"), "{rows}");
}

/// The token that Entra gives the workspace for a scope.
async fn access_token(ready: &Ready, scope: &str) -> String {
    let assertion = fs::read_to_string(&ready.assertion_file).unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &ready.client_id)
        .append_pair("scope", scope)
        .append_pair("client_assertion", &assertion)
        .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .finish();
    let url = format!("{}/{}/oauth2/v2.0/token", ready.authority, ready.tenant_id);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let (status, body) = send(ready, &url, "POST", &headers, form).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_the_operator_rotates_the_workspace_reads_and_no_value_is_journalled() {
    let emulator = Emulator::start(Options {
        world: World {
            data_actions: vec!["Microsoft.KeyVault/vaults/secrets/getSecret/action".to_owned()],
            ..World::default()
        },
        ..Options::default()
    })
    .unwrap();
    let ready = emulator.ready();
    let url = format!("{}/secrets/{}/?api%2Dversion=2025-07-01", ready.key_vault, ready.secret_name);
    let call = async |method: &str, token: &str, body: &str| {
        let token = format!("Bearer {token}");
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let (status, body) = send(ready, &url, method, &headers, body.to_owned()).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let token = access_token(ready, "https://vault.azure.net/.default").await;
    let (status, first) = call("GET", &token, "").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(call("PUT", &token, r#"{"value":"mine"}"#).await.0, 403);
    let operator = control(ready, "GET", "operator-token", &Value::Null).await;
    let rotated = call("PUT", operator["access_token"].as_str().unwrap(), r#"{"value":"r0tated"}"#).await;
    assert_eq!(rotated.0, 200);
    assert_eq!(call("GET", &token, "").await.1, rotated.1);

    // Entra gives a token for the name with a slash, and Key Vault has nothing to do with it.
    let slash = access_token(ready, "https://vault.azure.net//.default").await;
    let (status, refused) = call("GET", &slash, "").await;
    assert_eq!(status, 401);
    assert!(refused["error"]["message"].as_str().unwrap().starts_with("AKV10022"), "{refused}");

    let fault = json!({"operation": "GetSecret", "action": {"status": 503}});
    control(ready, "POST", "faults", &fault).await;
    let headers = [("Authorization", token.as_str())];
    assert_eq!(send(ready, &url, "GET", &headers, String::new()).await.unwrap().0, 503);

    let rows = json!(emulator.journal().rows()).to_string();
    assert!(rows.contains(r#""operation":"SetSecret""#) && rows.contains(r#""service":"key_vault""#));
    for value in [first["value"].as_str().unwrap(), "r0tated", &token] {
        assert!(!rows.contains(value));
    }
}

#[tokio::test]
async fn each_fault_breaks_one_request_its_own_way() {
    let emulator = start();
    let ready = emulator.ready();
    let script = async |action: Value| {
        control(ready, "POST", "faults", &json!({"operation": "Identity_Discovery", "action": action})).await;
    };
    let (_, whole) = discovery(ready).await.unwrap();

    script(json!({"status": 429, "headers": {"Retry-After": "7"}, "body": "{\"slow\":1}"})).await;
    assert_eq!(discovery(ready).await.unwrap(), (429, json!({"slow": 1})));

    script(json!("reset")).await;
    let error = format!("{:?}", discovery(ready).await.unwrap_err());
    assert!(error.contains("ConnectionReset"), "{error}");

    script(json!("truncate")).await;
    let error = format!("{:?}", discovery(ready).await.unwrap_err());
    assert!(
        error.contains("Body") || error.contains("UnexpectedEof") || error.contains("Incomplete"),
        "{error}"
    );

    script(json!("garbage")).await;
    assert!(discovery(ready).await.unwrap_err().is::<serde_json::Error>());

    script(json!({"delay_ms": 1})).await;
    assert_eq!(discovery(ready).await.unwrap(), (200, whole.clone()));

    script(json!("hang")).await;
    let mut hanging = tokio::spawn({
        let ready = ready.clone();
        async move { discovery(&ready).await }
    });
    arrived(&emulator, "hang").await;
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut hanging).await.is_err());
    hanging.abort();

    // Used up, each of them.
    assert_eq!(control(ready, "GET", "faults", &Value::Null).await, json!([]));
    assert_eq!(discovery(ready).await.unwrap(), (200, whole));
    let faults: Vec<_> = emulator.journal().rows().into_iter().filter_map(|row| row.fault).collect();
    assert_eq!(faults, ["status", "reset", "truncate", "garbage", "delay", "hang"]);
}

#[tokio::test]
async fn an_answer_without_a_body_can_be_cut_too() {
    let emulator = start();
    let ready = emulator.ready();
    let url = format!("{}/status-0123456789abcdef", ready.gateway);
    assert_eq!(send(ready, &url, "GET", &[], "").await.unwrap().0, 200);
    let cut = async |method| {
        control(ready, "POST", "faults", &json!({"operation": "Gateway_Status", "action": "truncate"})).await;
        format!("{:?}", send(ready, &url, method, &[], "").await.unwrap_err())
    };
    let error = cut("GET").await;
    assert!(["Body", "UnexpectedEof", "Incomplete"].iter().any(|word| error.contains(word)), "{error}");
    let error = cut("HEAD").await;
    assert!(error.contains("ConnectionReset"), "{error}");
}

#[tokio::test]
async fn a_script_that_cannot_work_is_refused_and_so_is_its_list() {
    let emulator = start();
    let ready = emulator.ready();
    let url = format!("{}/_emulator/faults", ready.control);
    let good = json!({"operation": "arm", "action": "hang"});
    for (slip, word) in [
        (json!({"operation": "Subscription_Crate", "action": "hang"}), "Subscription_CreateOrUpdate"),
        (json!({"operation": "proxy", "action": "hang"}), "proxy"),
        (json!({"operation": "*", "action": {"status": 42}}), "42"),
    ] {
        let body = json!([good, slip]).to_string();
        let (status, answer) = send(ready, &url, "POST", &[], body).await.unwrap();
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert!(status == 400 && answer.contains(word), "{status}: {answer}");
    }
    assert_eq!(control(ready, "GET", "faults", &Value::Null).await, json!([]), "the good one neither");
}

#[tokio::test]
async fn a_dripping_body_comes_byte_by_byte() {
    let emulator = start();
    let ready = emulator.ready();
    let (_, whole) =
        send(ready, &format!("{}/.well-known/jwks.json", ready.identity), "GET", &[], "").await.unwrap();
    control(ready, "POST", "faults", &json!({"operation": "Identity_Jwks", "action": "drip"})).await;
    let host = authority(&ready.identity);
    let mut stream = tls(ready, TcpStream::connect(host).await.unwrap(), "127.0.0.1").await.unwrap();
    stream
        .write_all(format!("GET /.well-known/jwks.json HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&whole[..2]) {
        answer.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(answer).unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", whole.len())), "{head}");
    let mut more = vec![0; whole.len()];
    // One byte, or a few where this test was slow to read.
    assert!((1..whole.len() / 2).contains(&stream.read(&mut more).await.unwrap()));
}

#[tokio::test]
async fn latency_is_added_to_each_answer() {
    let latency = Duration::from_millis(20);
    let emulator = Emulator::start(Options { latency, ..Options::default() }).unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(discovery(emulator.ready()).await.unwrap().0, 200);
    assert!(start.elapsed() >= latency);
}

#[tokio::test]
async fn the_assertion_file_outlives_its_first_assertion() {
    let world = World { id_token_life: Duration::from_secs(1), ..World::default() };
    let emulator = Emulator::start(Options { world, ..Options::default() }).unwrap();
    let expiry = || {
        let token = fs::read_to_string(&emulator.ready().assertion_file).unwrap();
        jwt::peek(&token).unwrap().claims["exp"].as_u64().unwrap()
    };
    let first = expiry();
    while expiry() == first {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(expiry() > first);
}

#[tokio::test]
async fn a_held_request_waits_for_its_release() {
    let emulator = start();
    let ready = emulator.ready().clone();
    control(&ready, "POST", "faults", &json!([{"operation": "identity", "action": "hold"}])).await;
    let asking = tokio::spawn({
        let ready = ready.clone();
        async move { discovery(&ready).await }
    });
    arrived(&emulator, "hold").await;
    assert!(!asking.is_finished());
    assert_eq!(control(&ready, "POST", "release", &Value::Null).await, json!({"released": 1}));
    assert_eq!(asking.await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn a_fault_after_the_work_loses_the_answer_only() {
    let emulator = start();
    let ready = emulator.ready();
    let bearer = format!("Bearer {}", fs::read_to_string(&ready.identity_token_file).unwrap());
    let url = format!("{}/api/gitpod.v1.IdentityService/GetIDToken", ready.identity);
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    for after in [true, false] {
        control(
            ready,
            "POST",
            "faults",
            &json!({"operation": "*", "after": after, "action": {"status": 503}}),
        )
        .await;
        let (status, _) = send(ready, &url, "POST", &headers, r#"{"audience":["a"]}"#).await.unwrap();
        assert_eq!(status, 503);
    }
    // The caller is known to a row only if the service did its work.
    let callers: Vec<_> = emulator
        .journal()
        .rows()
        .into_iter()
        .filter(|row| row.fault.is_some())
        .map(|row| row.caller.is_some())
        .collect();
    assert_eq!(callers, [true, false]);
}

#[tokio::test]
async fn large_bodies_and_missing_hosts_are_refused() {
    let emulator = start();
    let ready = emulator.ready();
    let ask = async |head: &str| {
        let stream = TcpStream::connect(authority(&ready.arm)).await.unwrap();
        let mut stream = tls(ready, stream, "localhost").await.unwrap();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        String::from_utf8(start.to_vec()).unwrap()
    };
    // The body is never sent: the answer does not wait for it.
    assert_eq!(ask("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577").await, "HTTP/1.1 413");
    assert_eq!(ask("GET /none HTTP/1.1").await, "HTTP/1.1 400");
    assert_eq!(ask("GET /two HTTP/1.1\r\nHost: x\r\nHost: x").await, "HTTP/1.1 400");
    assert_eq!(ask("GET /user HTTP/1.1\r\nHost: a@x").await, "HTTP/1.1 400");
    let rows = emulator.journal().rows();
    let seen: Vec<_> = rows.iter().map(|row| (row.service, row.path.as_str(), row.status)).collect();
    assert_eq!(
        seen,
        [
            ("arm", "/large", Some(413)),
            ("arm", "/none", Some(400)),
            ("arm", "/two", Some(400)),
            ("arm", "/user", Some(400))
        ]
    );
}

#[test]
fn its_files_are_its_own_and_go_when_it_stops() {
    let parent = tempfile::tempdir().unwrap();
    let emulator =
        Emulator::start(Options { folder: Some(parent.path().to_owned()), ..Options::default() }).unwrap();
    let ready = emulator.ready().clone();
    let ready_file = parent.path().join("ready.json");
    ready.write(&ready_file).unwrap();
    let read: Ready = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
    assert_eq!(json!(read), json!(ready));
    fs::remove_file(&ready_file).unwrap();
    let port = authority(&ready.arm).to_owned();
    std::net::TcpStream::connect(&port).unwrap();
    emulator.stop();
    assert!(std::net::TcpStream::connect(&port).is_err(), "the port is closed");
    assert_eq!(entries(parent.path()), 0);
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
