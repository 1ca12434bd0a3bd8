//! The one HTTP client: TLS by rustls and ring, private CAs, deadlines, size limits, no redirects.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | one request, start to end |
//! | `origin.rs` | where a request goes, and which places are allowed |
//! | `pool.rs` | connections kept and connections on their way |
//! | `connect.rs` | TCP, the CONNECT proxy, TLS, HTTP/1.1 |
//! | `proxy.rs` | which places are reached through a proxy, and the CONNECT exchange |
//! | `tls.rs` | who is trusted, and who we are |
//! | `deadline.rs` | one deadline for all the steps of a request |
//! | `failure.rs` | what went wrong, in words |
//! | `meter.rs` | counts the requests of a piece of work |
//! | `answer.rs` | reading a service's answer with suspicion: `Retry-After`, texts, what a body looks like |
//! | `transport.rs` | the same client for the Azure SDK |
//!
//! The client never retries what may have reached the server: when to try again is the lifecycle's business. It does
//! one thing by itself: a kept connection that the server closed meanwhile is replaced, if no byte of the request was
//! sent on it.

pub mod answer;
mod connect;
mod deadline;
mod failure;
mod meter;
mod origin;
mod pool;
mod proxy;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
pub mod transport;

use crate::{error::Result, secret::Secret};
use bytes::Bytes;
use connect::Connector;
use deadline::Deadline;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
pub use meter::Meter;
use origin::Origin;
use pool::{Pool, Sender};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use url::Url;

/// The largest body that is read. The answers of Entra and ARM are a few kilobytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// The `User-Agent` of requests that bring none.
pub const USER_AGENT: &str = concat!("apim-agent/", env!("CARGO_PKG_VERSION"));

/// The deadline when [`Options::timeout`] is zero.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the client needs to know.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A PEM bundle trusted besides the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Deadline of one request, connection and body included. Zero means 10 seconds.
    pub timeout: Duration,
    /// `HTTPS_PROXY`, where set: an `http://` URL, spoken to with CONNECT. Loopback addresses never go through it.
    pub proxy: Option<String>,
    /// `NO_PROXY`, where set: hosts, domains, addresses and networks, separated by commas, as curl reads it.
    pub no_proxy: Option<String>,
}

/// A cheap handle; clones share connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    connector: Connector,
    pool: Pool,
    timeout: Duration,
}

impl Client {
    /// Reads `ca_file`; connects nowhere. The system's roots are read when a certificate first asks for them.
    ///
    /// Errors: `ca_file` or the proxy's URL cannot be used (`Config`).
    pub fn new(options: &Options) -> Result<Self> {
        let timeout = if options.timeout.is_zero() { DEFAULT_TIMEOUT } else { options.timeout };
        Ok(Self(Arc::new(Shared { connector: Connector::new(options)?, pool: Pool::default(), timeout })))
    }

    /// A client like this one that presents a certificate to servers that ask for one (mutual TLS): PEM texts of the chain,
    /// leaf first, and of the private key. It shares no connections with this one.
    ///
    /// Errors: they cannot be read, or do not belong together (`Config`).
    pub fn with_certificate(&self, chain: &str, key: &Secret) -> Result<Self> {
        let connector = self.0.connector.with_certificate(tls::certified(chain, key)?);
        Ok(Self(Arc::new(Shared { connector, pool: Pool::default(), timeout: self.0.timeout })))
    }

    /// One request, the whole answer whatever its status, within the deadline. Follows no redirect.
    ///
    /// The request's URI is absolute: `https`, or `http` to a loopback address (a workspace's local issuer). Its
    /// answer may be at most [`MAX_BODY`] bytes long.
    ///
    /// Errors: a URI that is not allowed, or a server whose certificate nobody we trust has signed (`Config`); all
    /// that can happen on the way (`Unavailable`). They name the host and the port, never the path or the query.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let deadline = Deadline::after(self.0.timeout);
        let origin = Origin::of(request.uri())?;
        Meter::count();
        let mut request = prepared(request, &origin);
        while let Some(mut sender) = self.kept(&origin, deadline).await? {
            match deadline.run(&origin, "waiting for the answer", sender.try_send_request(request)).await? {
                Ok(response) => return self.finish(origin, sender, response, deadline).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failure::talking(&origin, &error.into_error())),
                },
            }
        }
        let mut sender = self.0.connector.open(&origin, deadline).await?;
        let response = deadline.run(&origin, "waiting for the answer", sender.send_request(request)).await?;
        let response = response.map_err(|error| failure::talking(&origin, &error))?;
        self.finish(origin, sender, response, deadline).await
    }

    /// Starts to open a connection that the next request to the same host will use, and returns at once. Does nothing
    /// if there is one already. Failures are left for that request to meet.
    #[allow(clippy::unused_async)] // async says that it needs the runtime: it spawns
    pub async fn warm(&self, url: &Url) {
        let Some(origin) = url.as_str().parse().ok().and_then(|uri| Origin::of(&uri).ok()) else { return };
        let Some(expected) = self.0.pool.expect(&origin) else { return };
        let client = self.clone();
        tokio::spawn(async move {
            let deadline = Deadline::after(client.0.timeout);
            match client.0.connector.open(&origin, deadline).await {
                // The receiver has gone only when the client or the waiting request has.
                Ok(sender) => drop(expected.send(sender)),
                Err(error) => tracing::debug!("no connection in advance: {error}"),
            }
        });
    }

    /// Closes the connections that no request is using: their buffers hold the last request and answer, tokens and keys
    /// among them, for as long as they are kept. Not those of a client made [with a certificate](Self::with_certificate).
    pub fn close_idle(&self) {
        self.0.pool.clear();
    }

    /// A connection to `origin` that was kept or is on its way, ready for a request.
    async fn kept(&self, origin: &Origin, deadline: Deadline) -> Result<Option<Sender>> {
        while let Some(found) = self.0.pool.take(origin) {
            let wait = async {
                let mut sender = found.sender().await?;
                sender.ready().await.ok().map(|()| sender)
            };
            if let Some(sender) = deadline.run(origin, "connecting", wait).await? {
                return Ok(Some(sender));
            }
        }
        Ok(None)
    }

    /// Reads the body and keeps the connection.
    async fn finish(
        &self,
        origin: Origin,
        sender: Sender,
        response: Response<Incoming>,
        deadline: Deadline,
    ) -> Result<Response<Bytes>> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect();
        let body = deadline.run(&origin, "reading the answer", body).await?.map_err(|error| {
            if error.is::<LengthLimitError>() {
                failure::too_large(&origin)
            } else {
                failure::talking(&origin, &*error)
            }
        })?;
        self.0.pool.keep(origin, sender);
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// `request` as HTTP/1.1 wants it on a connection of its own: path and query only, and a `Host`.
fn prepared(request: Request<Bytes>, origin: &Origin) -> Request<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned();
    parts.uri = path.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
    parts.headers.insert(header::HOST, origin.host_header());
    parts.headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    // RFC 9110, 8.6: a method that expects content says so even when there is none. hyper leaves it out.
    if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Request::from_parts(parts, Full::new(body))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("http::Client")
    }
}

#[cfg(test)]
mod tests;
