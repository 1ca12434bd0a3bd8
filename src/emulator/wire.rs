//! Requests and answers as the emulated services see them.

use super::answer;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::net::SocketAddr;

/// One whole request.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as sent, percent-encoding kept.
    pub path: String,
    /// The query, names and values decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// The `Host` header's value, or the address that was connected to.
    pub host: String,
    /// Where it came from.
    pub peer: SocketAddr,
    /// The DER of the certificate that the client proved in TLS to hold; only the gateway's port asks for one.
    pub client_certificate: Option<Bytes>,
}

impl Request {
    /// A header's value where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether a header is there more than once. Where it carries a credential, that makes it invalid: intermediaries
    /// differ in which value they take, and whether a real service takes one, and which, is not documented. Refusing is
    /// the harsher choice: a client that passes here depends on neither.
    pub fn repeats(&self, name: &str) -> bool {
        self.headers.get_all(name).iter().nth(1).is_some()
    }

    /// The first query parameter of that name, case-sensitive.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token of `Authorization: Bearer …`; none where the header [repeats](Self::repeats).
    pub fn bearer(&self) -> Option<&str> {
        let value = self.header("authorization").filter(|_| !self.repeats("authorization"))?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }
}

/// One whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides `Content-Length` and `Date`, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Who called, where that became known; goes into the journal. Never a secret.
    pub caller: Option<String>,
}

impl Response {
    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).header("Content-Type", "application/json; charset=utf-8")
    }

    /// An answer with `body` and no headers yet.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), caller: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// One emulated service. The server asks for the operation first, so that faults and the journal can name it.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The service's name, such as `arm`.
    fn name(&self) -> &'static str;

    /// The operation that a request addresses, such as `Subscription_CreateOrUpdate`; `None` leads to [`Service::unknown`].
    fn operation(&self, request: &Request) -> Option<&'static str>;

    /// Answers a request whose operation is not known.
    fn unknown(&self, request: &Request) -> Response {
        answer::not_implemented(self.name(), request)
    }

    /// Every operation that [`Service::operation`] may give: what a script of faults can name.
    fn operations(&self) -> Vec<&'static str>;

    /// Answers a request whose operation is known.
    async fn answer(&self, operation: &'static str, request: &Request) -> Response;
}
