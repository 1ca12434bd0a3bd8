//! ARM's refusals, in ARM's words.
//!
//! The shape is that of ARM's common error response: `{"error":{"code","message","details":[{"code","target","message"}]}}`.
//! Wordings were taken from public logs where there are any; a comment says where a wording is ours.

use crate::emulator::wire::Response;
use serde_json::{Value, json};

/// One refused field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    /// The property's name.
    pub target: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArmError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub details: Vec<Detail>,
    /// Headers that belong to it.
    pub headers: Vec<(&'static str, String)>,
}

impl ArmError {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 400 of APIM for fields that it does not accept.
    pub(super) fn validation(details: Vec<Detail>) -> Self {
        let message = "One or more fields contain incorrect values:";
        Self { details, ..Self::new(400, "ValidationError", message) }
    }

    /// [`ArmError::validation`] for one field.
    pub(super) fn field(target: &'static str, message: impl Into<String>) -> Self {
        Self::validation(vec![Detail { target, message: message.into() }])
    }

    /// 404 of APIM for an entity below the service; `what` such as `Subscription`.
    pub(super) fn entity_not_found(what: &str) -> Self {
        Self::new(404, "ResourceNotFound", format!("{what} not found."))
    }

    /// 412 of APIM, which it also answers when two creates meet.
    pub(super) fn modified() -> Self {
        let message = "Resource was modified since last retrieval. Please retrieve latest version.";
        Self::new(412, "PreconditionFailed", message)
    }

    /// 501: Azure can do that and the emulator cannot.
    pub(super) fn not_implemented(operation: &str) -> Self {
        Self::new(501, "NotImplemented", format!("The emulator does not implement {operation}."))
    }

    /// 500, for a fault of the emulator itself.
    pub(super) fn internal(error: &crate::error::Error) -> Self {
        Self::new(500, "InternalServerError", error.to_string())
    }

    /// The answer.
    pub(super) fn response(&self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.details.is_empty() {
            error["details"] = self.details.iter().map(|d| self.detail(d)).collect();
        }
        let answer = Response::json(self.status, &json!({ "error": error }));
        self.headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    }

    fn detail(&self, detail: &Detail) -> Value {
        json!({ "code": self.code, "target": detail.target, "message": detail.message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_arms() {
        let answer = ArmError::field("scope", "no").header("Retry-After", "3").response();
        assert_eq!(answer.status, 400);
        assert_eq!(
            serde_json::from_slice::<Value>(&answer.body).unwrap(),
            json!({"error": {
                "code": "ValidationError",
                "message": "One or more fields contain incorrect values:",
                "details": [{"code": "ValidationError", "target": "scope", "message": "no"}],
            }})
        );
        assert!(answer.headers.contains(&("Retry-After".to_owned(), "3".to_owned())));
        let plain: Value = serde_json::from_slice(&ArmError::modified().response().body).unwrap();
        assert!(plain["error"].get("details").is_none());
    }
}
