//! Entra's refusals: codes, words and bodies.
//!
//! The codes are in <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>; the sentences are those
//! that Entra is seen to answer with. Where two statuses are seen for one code, the one here is the more common.

mod person;

use crate::{clock, emulator::wire::Response, error::Error};
use serde_json::json;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::SystemTime,
};
use time::{format_description::BorrowedFormatItem, macros::format_description};

const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");

/// The form in which 700024 tells times.
const TICKS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");

/// The end of the three sentences about federated credentials.
const CHECK: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented \
                     assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// Why Entra refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) status: u16,
    /// The OAuth error.
    pub(super) error: &'static str,
    /// The number behind `AADSTS`.
    pub(super) code: u32,
    /// The sentences between the code and the trace id.
    pub(super) text: String,
}

impl Refusal {
    fn new(status: u16, error: &'static str, code: u32, text: impl Into<String>) -> Self {
        Self { status, error, code, text: text.into() }
    }

    pub(super) fn missing(parameter: &str) -> Self {
        let text = format!("The request body must contain the following parameter: '{parameter}'.");
        Self::new(400, "invalid_request", 900_144, text)
    }

    /// OAuth wants each parameter once at most (RFC 6749, 3.2).
    pub(super) fn duplicated(parameter: &str) -> Self {
        let text =
            format!("The request is not properly formatted. The parameter '{parameter}' is duplicated.");
        Self::new(400, "invalid_request", 9_000_411, text)
    }

    pub(super) fn grant(grant: &str) -> Self {
        let text = format!("The app requested an unsupported grant type '{grant}'.");
        Self::new(400, "unsupported_grant_type", 70_003, text)
    }

    pub(super) fn no_credential() -> Self {
        let text = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.";
        Self::new(401, "invalid_client", 7_000_216, text)
    }

    pub(super) fn wrong_secret(client: &str) -> Self {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
             the client secret ID, for a secret added to app '{client}'."
        );
        Self::new(401, "invalid_client", 7_000_215, text)
    }

    pub(super) fn tenant(tenant: &str) -> Self {
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        );
        Self::new(400, "invalid_request", 90_002, text)
    }

    pub(super) fn client(client: &str, tenant: &str) -> Self {
        let text = format!(
            "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant."
        );
        Self::new(400, "unauthorized_client", 700_016, text)
    }

    pub(super) fn scope(scope: &str) -> Self {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        );
        Self::new(400, "invalid_scope", 1_002_012, text)
    }

    pub(super) fn several_scopes(scope: &str) -> Self {
        let text = format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter \
             'scope' is not valid. The scope {scope} is not valid."
        );
        Self::new(400, "invalid_scope", 70_011, text)
    }

    pub(super) fn resource(resource: &str, tenant: &str) -> Self {
        let text = format!(
            "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You might have sent your authentication request to the wrong tenant."
        );
        Self::new(400, "invalid_resource", 500_011, text)
    }

    pub(super) fn malformed() -> Self {
        Self::new(400, "invalid_request", 50_027, "JWT token is invalid or malformed.")
    }

    pub(super) fn issuer(issuer: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion issuer '{issuer}'. {CHECK}"
        );
        Self::new(401, "invalid_client", 700_211, text)
    }

    pub(super) fn audience(audience: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion audience '{audience}'. {CHECK}"
        );
        Self::new(401, "invalid_client", 700_212, text)
    }

    pub(super) fn subject(subject: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion subject '{subject}'. {CHECK}"
        );
        Self::new(401, "invalid_client", 700_213, text)
    }

    pub(super) fn subject_case(subject: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion subject '{subject}'. The subject matches \
             with case-insensitive comparison, but not with case-sensitive comparison. {CHECK}"
        );
        Self::new(401, "invalid_client", 7_002_138, text)
    }

    pub(super) fn issuer_unreachable() -> Self {
        Self::new(400, "invalid_request", 501_661, "Request to External OIDC endpoint failed.")
    }

    pub(super) fn key_unknown(kid: &str, issuer: &str) -> Self {
        let text = format!(
            "The certificate with identifier {kid} used to sign the federated credential could not be found in the \
             metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key \
             used to sign the incoming token."
        );
        Self::new(401, "invalid_client", 7_000_272, text)
    }

    pub(super) fn signature() -> Self {
        Self::new(401, "invalid_client", 700_027, "Client assertion failed signature validation.")
    }

    pub(super) fn time(now: SystemTime, from: Option<u64>, until: u64) -> Self {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time of \
             assertion {}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
            ticks(now),
            // An assertion without nbf counts as valid since the epoch.
            ticks(clock::from_unix(from.unwrap_or(0))),
            ticks(clock::from_unix(until)),
        );
        Self::new(401, "invalid_client", 700_024, text)
    }

    pub(super) fn instance() -> Self {
        Self::new(400, "invalid_instance", 50_049, "Unknown or invalid instance.")
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "server_error", 90_033, "A transient error has occurred. Please try again.")
    }

    /// The code and the sentence, as pages and redirects tell them.
    pub(super) fn told(&self) -> String {
        format!("AADSTS{}: {}", self.code, self.text)
    }

    /// The answer. `correlation` is the client's own id, where it sent one; `host` names the error page.
    pub(super) fn response(&self, now: SystemTime, correlation: Option<&str>, host: &str) -> Response {
        let timestamp = clock::utc(now).format(SECONDS).unwrap_or_default();
        let trace = guid();
        let correlation = correlation.map_or_else(guid, str::to_owned);
        let description = format!(
            "{}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {timestamp}",
            self.told()
        );
        let body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://{host}/error?code={}", self.code),
        });
        Response::json(self.status, &body)
            .header("x-ms-request-id", trace)
            .header("client-request-id", correlation)
    }
}

/// What fails inside is no fault of the client; it learns no more than that.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        tracing::error!(%error, "cannot answer a request for a token");
        Self::internal()
    }
}

/// A time as .NET writes it in full.
fn ticks(when: SystemTime) -> String {
    clock::utc(when).format(TICKS).unwrap_or_default()
}

/// An id in the form of a random GUID. No secret: the standard library's hash seeds are random enough to tell ids apart.
pub(super) fn guid() -> String {
    let random = || RandomState::new().build_hasher().finish();
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_shaped_as_entras() {
        let answer =
            Refusal::subject("org:x").response(clock::from_unix(1_795_478_400), Some("abc"), "login.example");
        assert_eq!(answer.status, 401);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["error"], "invalid_client");
        assert_eq!(body["error_codes"], json!([700_213]));
        assert_eq!(body["timestamp"], "2026-11-24 00:00:00Z");
        assert_eq!(body["correlation_id"], "abc");
        assert_eq!(body["error_uri"], "https://login.example/error?code=700213");
        let lines: Vec<_> = body["error_description"].as_str().unwrap().split("\r\n").collect();
        assert_eq!(
            lines[0],
            "AADSTS700213: No matching federated identity record found for presented assertion subject 'org:x'. Check your \
             federated identity credential Subject, Audience and Issuer against the presented assertion. \
             https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
        );
        assert_eq!(lines[1], format!("Trace ID: {}", body["trace_id"].as_str().unwrap()));
        assert_eq!(lines[2..], ["Correlation ID: abc", "Timestamp: 2026-11-24 00:00:00Z"]);
    }

    #[test]
    fn times_are_told_to_seven_digits() {
        let refusal = Refusal::time(clock::from_unix(1_795_478_400), None, 1_795_478_399);
        assert!(refusal.text.contains("Current time: 2026-11-24T00:00:00.0000000Z, assertion valid from 1970-01-01T00:00:00.0000000Z, expiry time of assertion 2026-11-23T23:59:59.0000000Z."), "{}", refusal.text);
    }
}
