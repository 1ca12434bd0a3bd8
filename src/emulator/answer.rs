//! Answers on their way to hyper: whole ones, and those that a fault spoils.

use super::wire::{Request, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::json;
use std::{convert::Infallible, fmt, task::Poll, time::Duration};

/// A body as hyper takes it.
pub(super) type Body = UnsyncBoxBody<Bytes, Broken>;

/// Makes hyper end the connection without more words.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scripted fault breaks this connection")
    }
}

impl std::error::Error for Broken {}

/// The answer as it is.
pub(super) fn whole(response: Response) -> Result<http::Response<Body>, Broken> {
    let body = Full::new(response.body.clone()).map_err(|never: Infallible| match never {});
    assemble(response, body.boxed_unsync())
}

/// Whether there is anything to cut: an answer to HEAD, and one with 204 or 304, ends with its headers (RFC 9112, 6.3).
pub(super) fn can_be_cut(method: &Method, status: u16) -> bool {
    *method != Method::HEAD && !matches!(status, 204 | 304)
}

/// Promises all of the body and sends half of it; of an empty body it promises a byte and sends none.
pub(super) fn cut(response: Response) -> Result<http::Response<Body>, Broken> {
    let length = response.body.len().max(1);
    let mut half = Some(response.body.slice(..length / 2));
    let mut flushed = false;
    let body = stream::poll_fn(move |context| {
        if let Some(half) = half.take().filter(|half| !half.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        // hyper drops what it has buffered when a body fails; while a body is pending it flushes.
        if !flushed {
            flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Broken)))
    });
    promised(response, length, StreamBody::new(body).boxed_unsync())
}

/// Sends the body a byte at a time.
pub(super) fn dripping(response: Response) -> Result<http::Response<Body>, Broken> {
    let rest = response.body.clone();
    let body = stream::unfold(rest, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(Frame::data(rest.split_to(1))), rest))
    });
    let length = response.body.len();
    promised(response, length, StreamBody::new(body).boxed_unsync())
}

/// A success without sense: neither text nor JSON.
pub(super) fn garbage() -> Response {
    let body: Vec<u8> = (0..=255).rev().collect();
    Response::new(200, body).header("Content-Type", "application/json; charset=utf-8")
}

/// What an operation gets that the emulator does not know.
pub(super) fn not_implemented(service: &str, request: &Request) -> Response {
    let message =
        format!("The emulator's {service} service does not implement {} {}.", request.method, request.path);
    Response::json(501, &json!({"error": {"code": "NotImplemented", "message": message}}))
}

/// An answer whose length hyper cannot know.
fn promised(response: Response, length: usize, body: Body) -> Result<http::Response<Body>, Broken> {
    let mut answer = assemble(response, body)?;
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(answer)
}

/// A status or header that is none (only a script can ask for one) breaks the connection, and the log says why.
fn assemble(response: Response, body: Body) -> Result<http::Response<Body>, Broken> {
    let refuse = |error: &dyn fmt::Display| {
        tracing::warn!(%error, "an answer that HTTP does not allow");
        Broken
    };
    let mut answer = http::Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(response.status).map_err(|error| refuse(&error))?;
    for (name, value) in response.headers {
        let name = HeaderName::try_from(name).map_err(|error| refuse(&error))?;
        let value = HeaderValue::try_from(value).map_err(|error| refuse(&error))?;
        answer.headers_mut().append(name, value);
    }
    Ok(answer)
}
