use super::{
    testing::{Reply, Server, answer},
    *,
};
use crate::error::Class;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn ok() -> Server {
    Server::start(|_, _| Reply::json(200, "{}")).await
}

#[tokio::test]
async fn a_warmed_connection_is_the_one_that_is_used() {
    let server = ok().await;
    let client = server.client();
    client.warm(&server.url).await;
    client.warm(&server.url).await;
    client.send(server.request(Method::GET, "/a")).await.unwrap();
    client.send(server.request(Method::GET, "/b")).await.unwrap();
    client.warm(&server.url).await;
    client.send(server.request(Method::GET, "/c")).await.unwrap();
    assert_eq!(server.accepted(), 1);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn requests_at_the_same_time_do_not_wait_for_each_other() {
    let server =
        Server::start(|number, _| if number == 0 { Reply::Nothing } else { Reply::json(200, "{}") }).await;
    let client = server.client();
    client.warm(&server.url).await;
    let hanging = client.send(server.request(Method::GET, "/hangs"));
    let other = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        client.send(server.request(Method::GET, "/answers")).await
    };
    tokio::select! {
        hanging = hanging => panic!("it came to an end: {:?}", hanging.map(|answer| answer.status())),
        other = other => assert_eq!(other.unwrap().status(), 200),
    }
}

#[tokio::test]
async fn a_failed_warming_leaves_the_failure_to_the_request() {
    let server = ok().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let client = server.client();
    client.warm(&gone).await;
    let error = client.send(Request::get(gone.as_str()).body(Bytes::new()).unwrap()).await.unwrap_err();
    let place = format!("127.0.0.1:{}", gone.port().unwrap());
    assert_eq!(error.what, format!("{place} refused the connection"));
    assert_eq!(error.class, Class::Unavailable);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let server = Server::start(|number, _| match number {
        0 => Reply::AnswerAndClose(answer(200, &[], "first")),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let client = server.client();
    client.send(server.request(Method::POST, "/first")).await.unwrap();
    // The close is in the socket together with the answer, so it is known before the next request is written.
    for _ in 0..3 {
        client.send(server.request(Method::POST, "/again")).await.unwrap();
    }
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 1, 1]);
}

#[tokio::test]
async fn what_goes_over_the_wire() {
    let server = ok().await;
    let client = server.client();
    client.send(server.request(Method::POST, "/a/b?c=d")).await.unwrap();
    client.send(server.request(Method::GET, "/")).await.unwrap();
    let (post, get) = (&server.seen()[0].head, &server.seen()[1].head);
    let host = format!("host: 127.0.0.1:{}\r\n", server.url.port().unwrap());
    assert!(post.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{post}");
    assert!(post.contains(&host) && post.contains("content-length: 0\r\n"), "{post}");
    assert!(post.contains(&format!("user-agent: {USER_AGENT}\r\n")), "{post}");
    assert!(!get.contains("content-length"), "{get}");
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = Server::start(|_, _| Reply::Answer(answer(308, &[("location", "/elsewhere")], ""))).await;
    let answer = server.client().send(server.request(Method::GET, "/")).await.unwrap();
    assert_eq!(answer.status(), 308);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let server = Server::start(|number, _| {
        Reply::Answer(answer(200, &[], &"x".repeat(if number == 0 { MAX_BODY } else { MAX_BODY + 1 })))
    })
    .await;
    let client = server.client();
    assert_eq!(client.send(server.request(Method::GET, "/")).await.unwrap().body().len(), MAX_BODY);
    let error = client.send(server.request(Method::GET, "/?secret=1")).await.unwrap_err();
    assert!(error.what.ends_with("answered more than 1024 KiB"), "{error}");
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn answers_that_are_not_whole() {
    for (bytes, what) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            "closed the connection before its answer was whole",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "before its answer was whole"),
        ("HTTP/1.1 200 OK\r\ncontent-le", "before its answer was whole"),
        ("", "before its answer was whole"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "answered something that is not HTTP/1.1"),
    ] {
        let server = Server::start(move |_, _| Reply::Bytes(bytes.as_bytes().to_vec())).await;
        let error = server.client().send(server.request(Method::GET, "/")).await.unwrap_err();
        assert!(error.what.contains(what), "{bytes:?}: {error}");
        assert_eq!(error.class, Class::Unavailable);
    }
}

#[tokio::test]
async fn a_server_that_hangs_meets_the_deadline() {
    let server = Server::start(|_, _| Reply::Nothing).await;
    // Long enough for a handshake on a busy machine.
    let client = server.client_within(Duration::from_secs(1));
    let error = client.send(server.request(Method::GET, "/")).await.unwrap_err();
    assert!(error.what.ends_with("timed out after 1s"), "{error}");
    assert_eq!((error.why.as_deref(), error.class), (Some("waiting for the answer"), Class::Unavailable));
}

#[tokio::test]
async fn the_deadline_covers_the_handshake() {
    let server = ok().await;
    // Accepts, by the kernel's backlog, and never speaks.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let client = server.client_within(Duration::from_millis(300));
    let error = client.send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap_err();
    assert_eq!(error.why.as_deref(), Some("in the TLS handshake"));
}

#[tokio::test]
async fn a_foreign_ca_is_not_trusted() {
    let (server, other) = (ok().await, ok().await);
    for client in [other.client(), Client::new(&Options::default()).unwrap()] {
        let error = client.send(server.request(Method::GET, "/")).await.unwrap_err();
        assert!(error.what.ends_with("is not trusted"), "{error}");
        assert!(error.fix.unwrap().starts_with("set ca_file to"));
        assert_eq!(error.class, Class::Config);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = ok().await;
    let url = format!("https://127.0.0.2:{}/", server.url.port().unwrap());
    // The listener is on 127.0.0.1 only, so a forwarder stands in for the other name.
    let forwarder = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let url = url.replace(
        &server.url.port().unwrap().to_string(),
        &forwarder.local_addr().unwrap().port().to_string(),
    );
    let target = server.url.port().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = forwarder.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(("127.0.0.1", target)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let error = server.client().send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap_err();
    assert!(error.what.ends_with("is not valid"), "{error}");
}

/// A CONNECT proxy that leads everybody to `port`; gives the request's head.
async fn proxy(port: u16, answer: &'static str) -> (String, tokio::sync::oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:pass@{}", listener.local_addr().unwrap());
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            near.read_buf(&mut head).await.unwrap();
        }
        tell.send(String::from_utf8(head).unwrap()).unwrap();
        near.write_all(answer.as_bytes()).await.unwrap();
        let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    (url, told)
}

#[tokio::test]
async fn through_a_proxy() {
    let server = ok().await;
    let (url, told) = proxy(server.url.port().unwrap(), "HTTP/1.1 200 OK\r\n\r\n").await;
    let client = server.client_with(Options { proxy: Some(url), ..Options::default() });
    let request = Request::get("https://service.example/x").body(Bytes::new()).unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 200);
    let head = told.await.unwrap();
    assert!(
        head.starts_with("CONNECT service.example:443 HTTP/1.1\r\nHost: service.example:443\r\n"),
        "{head}"
    );
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
    assert!(server.seen()[0].head.contains("host: service.example\r\n"));
}

#[tokio::test]
async fn a_proxy_that_refuses() {
    let server = ok().await;
    let (url, _told) = proxy(server.url.port().unwrap(), "HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let client = server.client_with(Options { proxy: Some(url), ..Options::default() });
    let request = Request::get("https://service.example/x").body(Bytes::new()).unwrap();
    let error = client.send(request).await.unwrap_err();
    assert_eq!(error.why.as_deref(), Some("it answered 403"));
    assert!(!error.to_string().contains("pass"), "{error}");
}

#[tokio::test]
async fn the_azure_pipeline_runs_on_it_and_does_not_retry() {
    let server = Server::start(|_, _| Reply::json(503, "{}")).await;
    let options = transport::options(server.client().transport());
    let pipeline =
        azure_core::http::Pipeline::new(Some("t"), Some("1"), options, Vec::new(), Vec::new(), None);
    let mut request =
        azure_core::http::Request::new(server.url.join("/x?y=z").unwrap(), azure_core::http::Method::Put);
    request.set_body("{\"a\":1}");
    let skip = azure_core::http::PipelineSendOptions { skip_checks: true, ..Default::default() };
    let answer = pipeline.send(&azure_core::http::Context::new(), &mut request, Some(skip)).await.unwrap();
    assert_eq!(u16::from(answer.status()), 503);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].body, "{\"a\":1}");
    assert!(server.seen()[0].head.contains(&format!("user-agent: {USER_AGENT} azsdk-rust-t/1 ")));
}

#[tokio::test]
async fn our_error_comes_back_out_of_the_azure_pipeline() {
    let server = Server::start(|_, _| Reply::Bytes(Vec::new())).await;
    let options = transport::options(server.client().transport());
    let pipeline = azure_core::http::Pipeline::new(None, None, options, Vec::new(), Vec::new(), None);
    let mut request = azure_core::http::Request::new(server.url.clone(), azure_core::http::Method::Get);
    let error = pipeline.send(&azure_core::http::Context::new(), &mut request, None).await.unwrap_err();
    let ours = transport::from_azure(&error).unwrap();
    assert!(ours.what.contains("before its answer was whole"), "{ours}");
    assert_eq!(server.seen().len(), 1);
}
