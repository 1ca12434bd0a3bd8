//! Key Vault's refusals, in its words.
//!
//! The shape is `{"error":{"code","message","innererror":{"code"}}}` (`KeyVaultError` of the official description).
//! Wordings were taken from public logs and recordings where there are any; a comment says where a wording is ours.

use crate::emulator::wire::Response;
use serde_json::json;

/// What a vault holds, as its sentences call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A secret.
    Secret,
    /// A certificate.
    Certificate,
}

impl Kind {
    /// Inside a sentence.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        }
    }

    /// At a sentence's start.
    fn title(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::Certificate => "Certificate",
        }
    }

    /// The first segment of its paths.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Certificate => "certificates",
        }
    }

    fn not_found(self) -> &'static str {
        match self {
            Self::Secret => "SecretNotFound",
            Self::Certificate => "CertificateNotFound",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VaultError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The inner error's code.
    pub(super) inner: Option<&'static str>,
}

impl VaultError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), inner: None }
    }

    fn inner(self, code: &'static str) -> Self {
        Self { inner: Some(code), ..self }
    }

    /// 401; the challenge is added where the answer is made.
    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "Unauthorized", message)
    }

    /// 403: no role assignment has the data action.
    pub(super) fn rbac(message: String) -> Self {
        Self::new(403, "Forbidden", message).inner("ForbiddenByRbac")
    }

    /// 400, for all that a request can have wrong in itself.
    pub(super) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(400, "BadParameter", message)
    }

    /// 404; `id` is a name, or a name, a slash and a version.
    pub(super) fn not_found(kind: Kind, id: &str) -> Self {
        let noun = kind.noun();
        let message = format!(
            "A {noun} with (name/id) {id} was not found in this key vault. If you recently deleted this {noun} you may \
             be able to recover it using the correct recovery command. For help resolving this issue, please see \
             https://go.microsoft.com/fwlink/?linkid=2125182"
        );
        Self::new(404, kind.not_found(), message)
    }

    /// 404, among the deleted ones.
    pub(super) fn deleted_not_found(kind: Kind, name: &str) -> Self {
        Self::new(404, kind.not_found(), format!("Deleted {} not found: {name}", kind.title()))
    }

    /// 409: the name still belongs to what was deleted.
    pub(super) fn deleted_but_recoverable(kind: Kind, name: &str) -> Self {
        let message = format!(
            "{} {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, \
             the {} can only be recovered or purged.",
            kind.title(),
            kind.noun()
        );
        Self::new(409, "Conflict", message).inner("ObjectIsDeletedButRecoverable")
    }

    /// 409: a secret and a certificate cannot share a name. The wording is ours.
    pub(super) fn name_taken(kind: Kind, name: &str) -> Self {
        Self::new(409, "Conflict", format!("A {} with the name {name} already exists.", kind.noun()))
    }

    /// 403, for the value of a disabled secret.
    pub(super) fn secret_disabled() -> Self {
        let message = "Operation get is not allowed on a disabled secret.";
        Self::new(403, "Forbidden", message).inner("SecretDisabled")
    }

    /// 403: what a certificate brought along changes with the certificate only. The wording is ours.
    pub(super) fn secret_managed(operation: &str) -> Self {
        let message = format!("Operation {operation} is not allowed on a secret that a certificate manages.");
        Self::new(403, "Forbidden", message)
    }

    /// 415. The wording is ours.
    pub(super) fn media_type() -> Self {
        let message = "The content type of the request must be application/json.";
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 501: Azure can do that and the emulator cannot.
    pub(super) fn not_implemented(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("The emulator does not implement {what}."))
    }

    /// 500, for a fault of the emulator itself.
    pub(super) fn internal(error: &crate::error::Error) -> Self {
        Self::new(500, "InternalServerError", error.to_string())
    }

    /// The answer.
    pub(super) fn response(&self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(inner) = self.inner {
            error["innererror"] = json!({ "code": inner });
        }
        Response::json(self.status, &json!({ "error": error }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_body_is_key_vaults() {
        let answer = VaultError::secret_disabled().response();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status, body),
            (
                403,
                json!({"error": {
                    "code": "Forbidden",
                    "message": "Operation get is not allowed on a disabled secret.",
                    "innererror": {"code": "SecretDisabled"},
                }})
            )
        );
        let plain: Value =
            serde_json::from_slice(&VaultError::not_found(Kind::Secret, "a/b").response().body).unwrap();
        assert_eq!(plain["error"]["code"], "SecretNotFound");
        assert!(plain["error"].get("innererror").is_none());
    }
}
