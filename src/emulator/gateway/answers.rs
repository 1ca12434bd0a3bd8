//! The answers that APIM gives by itself, to the byte.
//!
//! Their JSON has a space inside the braces, which `serde_json` would not write; clients have been seen to compare
//! lengths. All of it is constant text except a number, so there is nothing to escape.

use super::{API_PATH, key};
use crate::emulator::wire::Response;

/// 401 for a call without a key: 152 bytes.
pub(super) fn key_missing(host: &str) -> Response {
    key_challenge(
        host,
        "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.",
    )
}

/// 401 for a key that does not open the API, whatever the reason: 143 bytes.
pub(super) fn key_invalid(host: &str) -> Response {
    key_challenge(
        host,
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.",
    )
}

fn key_challenge(host: &str, message: &str) -> Response {
    let name = key::HEADER;
    let challenge =
        format!(r#"AzureApiManagementKey realm="https://{host}{API_PATH}",name="{name}",type="header""#);
    refusal(401, message).header("WWW-Authenticate", challenge)
}

/// 401 of `validate-azure-ad-token` and `validate-client-certificate`, which send no challenge.
pub(super) fn credential_refused(message: &str) -> Response {
    refusal(401, message)
}

/// 404 for a path that belongs to no API.
pub(super) fn not_found() -> Response {
    refusal(404, "Resource not found")
}

/// 429 of `rate-limit-by-key`.
pub(super) fn rate_limited(retry_after_seconds: u64) -> Response {
    refusal(429, &format!("Rate limit is exceeded. Try again in {retry_after_seconds} seconds."))
        .header("Retry-After", retry_after_seconds.to_string())
}

fn refusal(status: u16, message: &str) -> Response {
    Response::new(status, format!(r#"{{ "statusCode": {status}, "message": "{message}" }}"#))
        .header("Content-Type", "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> &str {
        std::str::from_utf8(&response.body).unwrap()
    }

    #[test]
    fn bodies_are_as_long_as_apims() {
        for (response, length) in [
            (key_missing("h"), 152),
            (key_invalid("h"), 143),
            (rate_limited(57), 84),
            (not_found(), 54),
            (credential_refused("Invalid Azure AD JWT"), 56),
        ] {
            assert_eq!(response.body.len(), length, "{}", text(&response));
            let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(body["statusCode"], response.status);
        }
        assert_eq!(text(&not_found()), r#"{ "statusCode": 404, "message": "Resource not found" }"#);
    }

    #[test]
    fn only_key_refusals_carry_a_challenge() {
        let challenge = |response: Response| {
            let found = response.headers.into_iter().find(|(name, _)| name == "WWW-Authenticate");
            found.map(|(_, value)| value)
        };
        let expected = r#"AzureApiManagementKey realm="https://localhost:8443/echo",name="Ocp-Apim-Subscription-Key",type="header""#;
        assert_eq!(challenge(key_missing("localhost:8443")).as_deref(), Some(expected));
        assert_eq!(challenge(key_invalid("localhost:8443")).as_deref(), Some(expected));
        assert_eq!(challenge(credential_refused("Azure AD JWT not present")), None);
        assert_eq!(challenge(not_found()), None);
    }

    #[test]
    fn the_wait_is_in_the_header_too() {
        let response = rate_limited(3);
        assert!(response.headers.contains(&("Retry-After".to_owned(), "3".to_owned())));
        assert!(text(&response).contains("Try again in 3 seconds."));
    }
}
