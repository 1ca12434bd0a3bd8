//! What ARM wants to know of a body before it reads it: that there is a length, and that it is JSON. Pure.

use super::error::ArmError;
use crate::emulator::wire::{Request, Response};
use http::Method;

/// What the web server in front of ARM answers; clients see it that forget the length of an empty body.
const LENGTH_REQUIRED: &str = "<!DOCTYPE HTML>\r\n<HTML><HEAD><TITLE>Length Required</TITLE></HEAD>\r\n<BODY><h2>Length \
     Required</h2>\r\n<hr><p>HTTP Error 411. The request must be chunked or have a content length.</p>\r\n</BODY></HTML>\r\n";

/// Whether a request of a method with a body tells neither its length nor that it comes in chunks.
pub(super) fn lacks_length(request: &Request) -> bool {
    matches!(request.method, Method::POST | Method::PUT | Method::PATCH)
        && !["content-length", "transfer-encoding"].iter().any(|name| request.headers.contains_key(*name))
}

/// 411.
pub(super) fn length_required() -> Response {
    Response::new(411, LENGTH_REQUIRED).header("Content-Type", "text/html; charset=us-ascii")
}

/// 415 for a PUT or PATCH whose body is not said to be JSON. What an action (POST) is sent is not read.
pub(super) fn check(request: &Request) -> Result<(), ArmError> {
    if request.body.is_empty() || !matches!(request.method, Method::PUT | Method::PATCH) {
        return Ok(());
    }
    let media_type = request
        .header("content-type")
        .and_then(|value| value.split(';').next())
        .map(str::trim)
        .filter(|name| !name.is_empty());
    if media_type.is_some_and(|name| name.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = format!(
        "The content media type '{}' is not supported. Only 'application/json' is supported.",
        media_type.unwrap_or("<null>")
    );
    Err(ArmError::new(415, "UnsupportedMediaType", message))
}
