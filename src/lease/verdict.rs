//! What a gateway's answer to a probe says about the value that was presented: pure.
//!
//! APIM looks for the API first (404 if there is none), then checks the subscription key, then runs the policies, among
//! them token checks and rate limits, and then asks the backend. So, for a key, whatever comes after the key check is
//! proof; for a token or a certificate, only what can come from the backend is.
//!
//! | answer | key | token | certificate |
//! |---|---|---|---|
//! | 2xx, 3xx, 4xx of the backend's | accepted | accepted | accepted |
//! | 401 | not known yet: try again | refused, save for an unknown signing key and a token from the future | refused |
//! | 401 that asks for another kind of credential | the path proves nothing: configuration | the same | the same |
//! | 403 | refused; but out of quota is accepted | refused | refused |
//! | 404 in the gateway's own words | no such API: configuration | the same | the same |
//! | 429 in the gateway's own words | accepted: limits count known callers | try again when it says | the same |
//! | 5xx | nothing proved: unavailable | the same | the same |

use crate::{
    error::{Class, Error, Result},
    http::answer::printable,
};
use serde::Deserialize;
use std::time::Duration;

/// How a value is presented to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// In `Ocp-Apim-Subscription-Key`.
    Key,
    /// In `Authorization`, as a bearer token.
    Token,
    /// In the TLS handshake, as the client's certificate.
    Certificate,
}

/// The parts of an answer that are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, read.
    pub retry_after: Option<Duration>,
    /// What [`message`] found in the body.
    pub message: Option<&'a str>,
}

/// Longest message that is repeated.
const LONGEST: usize = 200;

/// The message of a body in the gateway's own form, `{"statusCode": …, "message": …}`, on one line of at most 200
/// characters. `None` for whatever else: a backend's body is none of our business and is never shown.
pub fn message(status: u16, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        status_code: u16,
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    (body.status_code == status).then(|| printable(&body.message, LONGEST))
}

/// Whether the gateway at `url` accepts what was presented. `Class::TryAgain` means: not yet.
pub fn judge(presented: Presented, url: &str, answer: &Answer<'_>) -> Result<()> {
    let Answer { status, retry_after, message } = *answer;
    let fail = |class, what: &str, fix: &str| {
        let why = message
            .map_or_else(|| format!("status {status}"), |message| format!("status {status}: {message}"));
        Err(Error::new(class, format!("{what}: probe of {url}")).why(why).fix(fix).retry_after(retry_after))
    };
    let says = |words: &str| message.is_some_and(|message| message.to_ascii_lowercase().contains(words));
    match (presented, status) {
        (_, 401) if asks_for_another(presented).iter().any(|words| says(words)) => {
            let other = match presented {
                Presented::Key => "an access token besides the key",
                Presented::Token => "a subscription key besides the token",
                Presented::Certificate => "a key or a token besides the certificate",
            };
            fail(
                Class::Config,
                &format!("the API wants {other}"),
                "set the credential's probe to a path that wants this credential and no other",
            )
        }
        (Presented::Key, 401) if says("missing subscription key") => fail(
            Class::Config,
            "the API looks for its key in another header",
            "set the credential's probe to an API that takes Ocp-Apim-Subscription-Key",
        ),
        (Presented::Key, 401) => fail(
            Class::TryAgain,
            "the gateway does not know the key yet",
            "a new key may take minutes to arrive; if it never does, check that the credential's scope covers the \
             API at the probe's path",
        ),
        (Presented::Token, 401)
            if ["signaturekeynotfound", "notyetvalid", "not yet valid"].iter().any(|words| says(words)) =>
        {
            fail(
                Class::TryAgain,
                "the gateway cannot check the token yet",
                "it fetches signing keys every few minutes; compare the clocks if it lasts",
            )
        }
        (Presented::Token, 401) => fail(
            Class::Denied,
            "the gateway refuses the token",
            "compare the credential's scope, or an id token's audience, with the audiences, issuers and claims that the \
             API's policy (validate-azure-ad-token or validate-jwt) allows",
        ),
        // A gateway that never asked for a certificate says that there was none.
        (Presented::Certificate, 401) if says("missing") => fail(
            Class::Config,
            "the gateway has not asked for the client certificate",
            "turn on \"negotiate client certificate\" for the gateway's host name (tier Consumption: request client \
             certificate)",
        ),
        (Presented::Certificate, 401 | 403) => fail(
            Class::Denied,
            "the gateway refuses the client certificate",
            "compare its thumbprint, issuer and chain with those that the API's policy (validate-client-certificate) \
             allows",
        ),
        (Presented::Key, 403) if says("quota") => Ok(()),
        (_, 403) => fail(
            Class::Denied,
            "the gateway refuses this caller",
            "look at the API's policies: address filters, claims and products are checked there",
        ),
        (_, 404) if message.is_some() => fail(
            Class::Config,
            "the gateway has no such API or operation",
            "set the probe to the path of an operation that answers GET and wants the credential",
        ),
        (_, 407) => fail(Class::Config, "a proxy wants to know who we are", "check HTTPS_PROXY and NO_PROXY"),
        (Presented::Key, 429) if message.is_some() => Ok(()),
        (_, 429) => fail(Class::TryAgain, "too many calls to tell", "nothing: it is tried again"),
        (_, 200..=499) if status != 408 => Ok(()),
        _ => fail(Class::Unavailable, "the gateway or the API behind it fails", "nothing: it is tried again"),
    }
}

/// Words of a 401 that come after the check of what was presented and ask for the other kind of credential.
fn asks_for_another(presented: Presented) -> &'static [&'static str] {
    match presented {
        Presented::Key => &["jwt", "access token"],
        Presented::Token => &["subscription key"],
        Presented::Certificate => &["subscription key", "jwt", "access token"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presented::{Certificate, Key, Token};

    const MISSING: &str = "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.";
    const INVALID: &str = "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.";

    fn judged(presented: Presented, status: u16, message: Option<&str>) -> Option<Class> {
        let retry_after = Some(Duration::from_secs(57));
        let verdict = judge(presented, "https://gw.example/echo", &Answer { status, retry_after, message });
        verdict.err().map(|error| {
            assert_eq!(error.retry_after, retry_after);
            assert!(error.what.contains("https://gw.example/echo") && error.fix.is_some(), "{error}");
            error.class
        })
    }

    #[test]
    fn a_key_is_accepted_by_whatever_comes_after_the_key_check() {
        for status in [200, 204, 301, 302, 400, 404, 405, 415] {
            assert_eq!(judged(Key, status, None), None, "{status}");
        }
        assert_eq!(judged(Key, 429, Some("Rate limit is exceeded. Try again in 57 seconds.")), None);
        assert_eq!(
            judged(Key, 403, Some("Out of call volume quota. Quota will be replenished in 00:30:02.")),
            None
        );
    }

    #[test]
    fn a_key_that_is_unknown_is_waited_for_and_one_that_cannot_be_proved_is_not() {
        assert_eq!(judged(Key, 401, Some(INVALID)), Some(Class::TryAgain));
        assert_eq!(judged(Key, 401, None), Some(Class::TryAgain));
        assert_eq!(judged(Key, 401, Some(MISSING)), Some(Class::Config));
        assert_eq!(judged(Key, 401, Some("JWT not present.")), Some(Class::Config));
        assert_eq!(
            judged(Key, 401, Some("Unauthorized. Access token is missing or invalid.")),
            Some(Class::Config)
        );
        assert_eq!(judged(Key, 404, Some("Resource not found")), Some(Class::Config));
        assert_eq!(judged(Key, 403, Some("Forbidden")), Some(Class::Denied));
        assert_eq!(judged(Key, 429, None), Some(Class::TryAgain), "something in front of the gateway");
        for status in [408, 500, 502, 503, 504, 101] {
            assert_eq!(judged(Key, status, None), Some(Class::Unavailable), "{status}");
        }
    }

    #[test]
    fn a_token_that_is_refused_stays_refused() {
        for message in
            [None, Some("Invalid Azure AD JWT"), Some("TokenAudienceNotAllowed"), Some("JWT not present.")]
        {
            assert_eq!(judged(Token, 401, message), Some(Class::Denied), "{message:?}");
        }
        assert_eq!(judged(Token, 401, Some("IDX10511: TokenSignatureKeyNotFound")), Some(Class::TryAgain));
        assert_eq!(judged(Token, 401, Some(MISSING)), Some(Class::Config));
        assert_eq!(
            judged(Token, 403, Some("Out of call volume quota.")),
            Some(Class::Denied),
            "no proof for a token"
        );
        assert_eq!(judged(Token, 429, Some("Rate limit is exceeded.")), Some(Class::TryAgain));
        assert_eq!(judged(Token, 200, None), None);
    }

    #[test]
    fn a_certificate_is_refused_for_good_and_one_that_nobody_asked_for_is_a_setting() {
        assert_eq!(judged(Certificate, 401, Some("Invalid client certificate")), Some(Class::Denied));
        assert_eq!(judged(Certificate, 403, Some("Invalid client certificate")), Some(Class::Denied));
        assert_eq!(judged(Certificate, 401, Some("Client certificate missing")), Some(Class::Config));
        assert_eq!(judged(Certificate, 401, Some(MISSING)), Some(Class::Config));
        assert_eq!(judged(Certificate, 429, Some("Rate limit is exceeded.")), Some(Class::TryAgain));
        assert_eq!(judged(Certificate, 503, None), Some(Class::Unavailable));
        assert_eq!(judged(Certificate, 404, None), None, "the backend's");
    }

    #[test]
    fn only_the_gateways_own_words_are_read() {
        let text = format!(r#"{{ "statusCode": 401, "message": "{INVALID}" }}"#);
        assert_eq!(message(401, text.as_bytes()).as_deref(), Some(INVALID));
        assert_eq!(message(404, text.as_bytes()), None, "a body about another status is a backend's");
        assert_eq!(message(404, br#"{"message":"order 7 not found"}"#), None);
        assert_eq!(message(502, b"<html>"), None);
        let long = serde_json::json!({"statusCode": 401, "message": "no\r\n ".repeat(1000)}).to_string();
        let line = message(401, long.as_bytes()).expect("a message");
        assert!(line.chars().count() <= LONGEST + 1 && !line.contains(['\r', '\n']), "{line}");
    }
}
