//! HTTP/1.1 in front of a service, over TLS or plain: reads whole requests, applies faults, keeps the journal.

use super::{
    answer::{self, Body, Broken},
    faults::{Action, Delay, Fault, Faults, Simple, Status},
    journal::Journal,
    wire::{Request, Response, Service},
};
use crate::clock;
use bytes::Bytes;
use http::{HeaderMap, Method, Version, header::HOST, uri::Authority};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use std::{
    future,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Larger request bodies get 413.
const BODY_LIMIT: usize = 1024 * 1024;

/// For a whole request body; loopback is fast, and a client that stalls must not hold a task for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// For a TLS handshake, and afterwards for an idle connection.
const HANDSHAKE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_mins(2);

/// What a port speaks below HTTP.
#[derive(Clone)]
pub(super) enum Security {
    /// Nothing: a service that is at home on the machine itself, such as IMDS.
    Plain,
    /// TLS.
    Tls(TlsAcceptor),
}

/// Which connection a request came on.
#[derive(Clone)]
struct Connection {
    /// Counted over all services.
    number: u64,
    local: SocketAddr,
    peer: SocketAddr,
    /// What the client presented in TLS.
    certificate: Option<Bytes>,
    /// A second descriptor of the same socket, for the fault that resets it while TLS and hyper own the first.
    socket: Arc<OwnedFd>,
}

/// What all ports share.
pub(super) struct Shared {
    pub(super) faults: Arc<Faults>,
    pub(super) journal: Arc<Journal>,
    /// Added before each answer, the control port's excepted.
    pub(super) latency: Duration,
    /// Connections so far.
    pub(super) connections: AtomicU64,
}

impl Shared {
    /// The number of a new connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Accepts for ever; ends with the runtime.
pub(super) async fn serve(
    listener: TcpListener,
    security: Security,
    service: Arc<dyn Service>,
    shared: Arc<Shared>,
) {
    loop {
        let (stream, peer) = accept(&listener).await;
        let (security, service, shared) = (security.clone(), service.clone(), shared.clone());
        tokio::spawn(async move {
            // A failure of one connection is its client's to see: it hung up, or does not trust our authority.
            if let Err(error) = connection(stream, peer, security, service.clone(), shared).await {
                tracing::debug!(service = service.name(), %peer, %error, "connection ended early");
            }
        });
    }
}

/// The next connection. An accept fails when the process has no descriptors left; that passes.
pub(super) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    security: Security,
    service: Arc<dyn Service>,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let (local, socket) = (stream.local_addr()?, Arc::new(stream.as_fd().try_clone_to_owned()?));
    let connection = |certificate| {
        // Numbered now, so that a handshake that fails leaves no gap.
        let number = shared.next_connection();
        Connection { number, local, peer, certificate, socket }
    };
    match security {
        Security::Plain => speak(stream, connection(None), service, shared.clone()).await,
        Security::Tls(tls) => {
            let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await??;
            let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = leaf.map(|leaf| Bytes::copy_from_slice(leaf));
            speak(stream, connection(certificate), service, shared.clone()).await
        }
    }
}

/// HTTP until the client or a fault ends it.
async fn speak<S>(
    stream: S,
    connection: Connection,
    service: Arc<dyn Service>,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = service_fn(move |request| {
        let (service, shared, connection) = (service.clone(), shared.clone(), connection.clone());
        async move {
            let (mut request, version, body) = split(request, &connection);
            match complete(&mut request, version, body, connection.local).await {
                Ok(()) => exchange(&*service, &shared, &request, &connection).await,
                Err(refusal) => {
                    let (name, operation) = (service.name(), service.operation(&request));
                    let seq =
                        shared.journal.arrived(clock::now(), name, operation, &request, connection.number);
                    shared.journal.settle(seq, refusal.status, None);
                    answer::whole(refusal)
                }
            }
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), handler)
        .await?;
    Ok(())
}

/// What is known of a request before its host and body are looked at.
fn split(request: http::Request<Incoming>, connection: &Connection) -> (Request, Version, Incoming) {
    let (head, body) = request.into_parts();
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: pairs(head.uri.query().unwrap_or_default().as_bytes()),
        headers: head.headers,
        body: Bytes::new(),
        host: String::new(),
        peer: connection.peer,
        client_certificate: connection.certificate.clone(),
    };
    (request, head.version, body)
}

/// Adds host and body, or says why the request is refused.
async fn complete(
    request: &mut Request,
    version: Version,
    body: Incoming,
    local: SocketAddr,
) -> Result<(), Response> {
    request.host = host(&request.headers, version, local)?;
    request.body = whole_body(body).await?;
    Ok(())
}

/// RFC 9112, 3.2: a server answers 400 to an HTTP/1.1 request without a valid `Host`, and to one with several. It is a
/// name with or without a port; answers build addresses from it.
fn host(headers: &HeaderMap, version: Version, local: SocketAddr) -> Result<String, Response> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => return Ok(local.to_string()),
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    host.filter(|host| !host.contains('@') && host.parse::<Authority>().is_ok())
        .map(str::to_owned)
        .ok_or_else(|| refuse(400, "Bad Request - Invalid Hostname"))
}

async fn whole_body<B>(body: B) -> Result<Bytes, Response>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || refuse(413, "Request body too large.");
    // The hint is what Content-Length says; of a body in chunks it says nothing, and the limit holds on the way.
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(refuse(400, "Cannot read the request body.")),
        Err(_) => Err(refuse(408, "The request body did not arrive in time.")),
    }
}

/// A refusal after which the rest of the request, which was not read, must not be taken for another one.
fn refuse(status: u16, why: &'static str) -> Response {
    Response::new(status, why).header("Connection", "close")
}

/// Names and values of a query or form, decoded.
pub(super) fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

/// Answers one request, with the fault that is due, if one is.
async fn exchange(
    service: &dyn Service,
    shared: &Shared,
    request: &Request,
    connection: &Connection,
) -> Result<http::Response<Body>, Broken> {
    let operation = service.operation(request);
    let seq = shared.journal.arrived(clock::now(), service.name(), operation, request, connection.number);
    let real = async {
        match operation {
            Some(operation) => service.answer(operation, request).await,
            None => service.unknown(request),
        }
    };
    if service.name() == "control" {
        let response = real.await;
        shared.journal.settle(seq, response.status, None);
        return answer::whole(response);
    }
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    let Some(Fault { action, after, .. }) = shared.faults.take(service.name(), operation) else {
        let response = real.await;
        shared.journal.settle(seq, response.status, response.caller.clone());
        return answer::whole(response);
    };
    shared.journal.faulted(seq, action.name());
    match &action {
        Action::Delay(Delay { delay_ms }) => tokio::time::sleep(Duration::from_millis(*delay_ms)).await,
        Action::Simple(Simple::Hold) => shared.faults.hold().await,
        _ => {}
    }
    let needs_answer =
        matches!(action, Action::Delay(_) | Action::Simple(Simple::Hold | Simple::Truncate | Simple::Drip));
    let response = if after || needs_answer { real.await } else { Response::new(200, Bytes::new()) };
    let caller = response.caller.clone();
    let (status, outcome) = spoil(&action, response, &request.method, &connection.socket).await;
    if let Some(status) = status {
        shared.journal.settle(seq, status, caller);
    }
    outcome
}

/// The answer with the fault in it, and the status that the client gets to see.
async fn spoil(
    action: &Action,
    response: Response,
    method: &Method,
    socket: &OwnedFd,
) -> (Option<u16>, Result<http::Response<Body>, Broken>) {
    match action {
        Action::Simple(Simple::Hang) => future::pending().await,
        Action::Simple(Simple::Reset) => {
            reset(socket);
            (None, Err(Broken))
        }
        Action::Simple(Simple::Truncate) if !answer::can_be_cut(method, response.status) => {
            reset(socket);
            (None, Err(Broken))
        }
        Action::Simple(Simple::Truncate) => (Some(response.status), answer::cut(response)),
        Action::Simple(Simple::Drip) => (Some(response.status), answer::dripping(response)),
        Action::Simple(Simple::Garbage) => (Some(200), answer::whole(answer::garbage())),
        Action::Simple(Simple::Hold) | Action::Delay(_) => (Some(response.status), answer::whole(response)),
        Action::Status(Status { status, headers, body }) => {
            let mut response = Response::new(*status, body.clone());
            response.headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            (Some(*status), answer::whole(response))
        }
    }
}

/// Makes the close of this socket a reset: with a linger time of zero the kernel sends RST instead of FIN.
fn reset(socket: &OwnedFd) {
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    if let Err(error) = setsockopt(socket, sockopt::Linger, &now) {
        tracing::warn!(%error, "cannot reset a connection; it is closed instead");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use std::convert::Infallible;

    #[test]
    fn a_host_is_there_once_and_nothing_but_a_name_and_port() {
        let local = SocketAddr::from(([127, 0, 0, 1], 7));
        let check = |hosts: &[&str], version| {
            let headers = hosts.iter().map(|host| (HOST, host.parse().unwrap())).collect();
            host(&headers, version, local).map_err(|refusal| refusal.status)
        };
        for good in ["localhost", "127.0.0.1:8443", "[::1]:1", "management.azure.com"] {
            assert_eq!(check(&[good], Version::HTTP_11).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a/b", "user@a", "a?b", "http://a"] {
            assert_eq!(check(&[bad], Version::HTTP_11), Err(400), "{bad:?}");
        }
        assert_eq!(check(&["a", "a"], Version::HTTP_11), Err(400));
        assert_eq!(check(&[], Version::HTTP_11), Err(400));
        assert_eq!(check(&[], Version::HTTP_10).as_deref(), Ok("127.0.0.1:7"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_up_to_its_limits() {
        let of = |size: usize| Full::new(Bytes::from(vec![b'x'; size]));
        assert_eq!(whole_body(of(BODY_LIMIT)).await.map(|body| body.len()).unwrap(), BODY_LIMIT);
        assert_eq!(whole_body(of(BODY_LIMIT + 1)).await.unwrap_err().status, 413);
        let frame = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; BODY_LIMIT / 2 + 1])));
        let unsized_body = StreamBody::new(stream::iter([frame(), frame()]));
        assert_eq!(whole_body(unsized_body).await.unwrap_err().status, 413);
        let stalled = StreamBody::new(stream::iter([frame()]).chain(stream::pending()));
        let refusal = whole_body(stalled).await.unwrap_err();
        assert_eq!(refusal.status, 408);
        assert_eq!(refusal.headers, [("Connection".to_owned(), "close".to_owned())]);
    }
}
