//! HTTP/1.1 over TLS in front of a service: reads whole requests, applies faults, keeps the journal.

use super::{
    answer::{self, Body, Broken},
    faults::{Action, Delay, Fault, Faults, Simple, Status},
    journal::Journal,
    wire::{Request, Response, Service},
};
use crate::clock;
use bytes::Bytes;
use http::{Method, Version, header::HOST};
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
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Larger request bodies get 413.
const BODY_LIMIT: usize = 1024 * 1024;

/// For a TLS handshake, and afterwards for an idle connection.
const HANDSHAKE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_mins(2);

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
    tls: TlsAcceptor,
    service: Arc<dyn Service>,
    shared: Arc<Shared>,
) {
    loop {
        let (stream, peer) = accept(&listener).await;
        let (tls, service, shared) = (tls.clone(), service.clone(), shared.clone());
        tokio::spawn(async move {
            // A failure of one connection is its client's to see: it hung up, or does not trust our authority.
            if let Err(error) = connection(stream, peer, tls, service.clone(), shared).await {
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
    tls: TlsAcceptor,
    service: Arc<dyn Service>,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    // A second descriptor of the same socket, for the fault that resets it while TLS and hyper own the first.
    let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
    let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await??;
    let number = shared.next_connection();
    let handler = service_fn(move |request| {
        let (service, shared, socket) = (service.clone(), shared.clone(), socket.clone());
        async move {
            let request = match read(request, peer, local).await {
                Ok(request) => request,
                Err(refusal) => return answer::whole(refusal),
            };
            exchange(&*service, &shared, &request, number, &socket).await
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), handler)
        .await?;
    Ok(())
}

/// The whole request, or why it is refused.
async fn read(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    local: SocketAddr,
) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let host = match head.headers.get(HOST).map(|host| host.to_str()) {
        Some(Ok(host)) => host.to_owned(),
        // RFC 9112 3.2: a server answers 400 to an HTTP/1.1 request without a valid Host.
        None if head.version == Version::HTTP_10 => local.to_string(),
        _ => return Err(Response::new(400, "Bad Request - Invalid Hostname")),
    };
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Response::new(413, "Request body too large.").header("Connection", "close"));
        }
        Err(_) => {
            return Err(Response::new(400, "Cannot read the request body.").header("Connection", "close"));
        }
    };
    Ok(Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: pairs(head.uri.query().unwrap_or_default().as_bytes()),
        headers: head.headers,
        body,
        host,
        peer,
    })
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
    connection: u64,
    socket: &OwnedFd,
) -> Result<http::Response<Body>, Broken> {
    let operation = service.operation(request);
    let seq = shared.journal.arrived(clock::now(), service.name(), operation, request, connection);
    let real = async {
        match operation {
            Some(operation) => service.answer(operation, request).await,
            None => answer::not_implemented(service.name(), request),
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
    let (status, outcome) = spoil(&action, response, &request.method, socket).await;
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
