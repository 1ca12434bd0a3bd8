//! What the unit tests of the emulator share.

use super::wire::Request;
use bytes::Bytes;
use http::HeaderMap;

/// A request as a service sees it; `target` may have a query.
pub(super) fn request(method: &str, target: &str) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        host: "127.0.0.1:1".to_owned(),
        peer: ([127, 0, 0, 1], 2).into(),
        client_certificate: None,
    }
}

impl Request {
    pub(super) fn with_header(mut self, header: &'static str, value: &str) -> Self {
        self.headers.insert(header, value.parse().unwrap());
        self
    }

    pub(super) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}
