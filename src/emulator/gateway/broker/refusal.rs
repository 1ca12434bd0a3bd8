//! The broker's errors: RFC 6749, 5.2, with those that RFC 8693 and RFC 7009 add.

use crate::emulator::wire::Response;
use serde_json::{Value, json};

/// Why the broker refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) status: u16,
    /// The code.
    pub(super) error: &'static str,
    /// For a person.
    description: String,
}

impl Refusal {
    fn new(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into() }
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", description)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::invalid_request(format!("the parameter {parameter} is missing"))
    }

    /// 401 without a challenge, as Entra answers: none of the ways to authenticate here has an HTTP scheme.
    pub(super) fn invalid_client(description: impl Into<String>) -> Self {
        Self::new(401, "invalid_client", description)
    }

    pub(super) fn invalid_grant(description: impl Into<String>) -> Self {
        Self::new(400, "invalid_grant", description)
    }

    pub(super) fn unauthorized_client(client: &str) -> Self {
        Self::new(400, "unauthorized_client", format!("the client {client} may not exchange tokens"))
    }

    pub(super) fn unsupported_grant_type(grant: &str) -> Self {
        Self::new(400, "unsupported_grant_type", format!("no tokens are issued for {grant}"))
    }

    pub(super) fn invalid_scope(scope: &str) -> Self {
        Self::new(400, "invalid_scope", format!("nothing in {scope} can be granted"))
    }

    pub(super) fn invalid_target(target: &str) -> Self {
        Self::new(400, "invalid_target", format!("no tokens are issued for {target}"))
    }

    pub(super) fn server_error() -> Self {
        Self::new(500, "server_error", "the token cannot be minted")
    }

    pub(super) fn not_implemented(what: &str) -> Self {
        Self::new(501, "invalid_request", format!("the emulator does not implement {what}"))
    }

    /// The description may have only some ASCII characters, and neither `"` nor `\` (RFC 6749, 5.2).
    pub(super) fn response(&self) -> Response {
        let allowed = |char: char| matches!(char, ' ' | '!' | '#'..='[' | ']'..='~');
        let description: String =
            self.description.chars().map(|char| if allowed(char) { char } else { '?' }).collect();
        not_stored(self.status, &json!({"error": self.error, "error_description": description}))
    }
}

/// A JSON answer that no cache may keep (RFC 6749, 5.1).
pub(super) fn not_stored(status: u16, body: &Value) -> Response {
    uncached(Response::json(status, body))
}

pub(super) fn uncached(response: Response) -> Response {
    response.header("Cache-Control", "no-store").header("Pragma", "no-cache")
}
