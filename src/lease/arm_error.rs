//! What ARM's refusals mean: pure, from status, headers and body to something a person can act on.
//!
//! Bodies look like `{"error":{"code","message","details":[{"code","target","message"}]}}`. Only these parts are ever
//! repeated, shortened and with anything that looks like a key masked; never the request, which holds keys.

use crate::{
    error::{Class, Error},
    http::answer::{printable, wait},
};
use serde::Deserialize;
use std::{fmt, time::SystemTime};

/// Where it says which rights the workspace's application needs.
const RIGHTS: &str = "docs/azure.md, \"Rights in Azure\"";

/// Longest text that we repeat from an answer.
const LONGEST: usize = 600;

/// What was asked of ARM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// PUT.
    Create,
    /// PATCH.
    Update,
    /// GET.
    Read,
    /// DELETE.
    Delete,
}

/// As in "ARM did not create the subscription".
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Read => "show",
            Self::Delete => "delete",
        })
    }
}

/// What is certain after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing has changed at ARM.
    None,
    /// Nothing has changed: the version that we named, or that ARM itself had in hand, was stale (412).
    Stale,
    /// Nothing has changed: what we named does not exist (404).
    Missing,
    /// It may have happened or not.
    Unknown,
}

/// A failed call: what it did, and what to tell.
#[derive(Debug)]
pub struct Fault {
    /// What it did.
    pub effect: Effect,
    /// What to tell.
    pub error: Error,
}

/// The parts of an answer that are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

#[derive(Deserialize)]
struct Body {
    error: Inner,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Vec<Detail>>,
}

#[derive(Deserialize)]
struct Detail {
    target: Option<String>,
    message: Option<String>,
}

/// Reads an answer that is not a success to `operation` on `subscription`: its id, and what else tells it apart.
pub fn read(operation: Operation, subscription: &str, answer: &Answer<'_>, now: SystemTime) -> Fault {
    let what = format!("ARM did not {operation} the subscription {subscription}");
    let status = answer.status;
    let retry_after = answer.retry_after.and_then(|text| wait(text, now));
    let told = serde_json::from_slice::<Body>(answer.body).ok().map(|body| body.error);

    let class = class(status, told.as_ref());
    let passing = || matches!(class, Class::Unavailable | Class::TryAgain);
    let fix = told.as_ref().and_then(|told| fix(status, told));
    let fix = fix.or_else(|| passing().then(|| "nothing: it is tried again".to_owned()));
    let why = match &told {
        Some(told) => words(told),
        None => format!("status {status}, {}", seen(answer)),
    };
    let mut error = Error::new(class, what).why(why).retry_after(retry_after);
    if let Some(fix) = fix {
        error = error.fix(fix);
    }
    let effect = match status {
        412 => Effect::Stale,
        // A 404 in other words than ARM's comes from something in between.
        404 if told.is_some() => Effect::Missing,
        408 => Effect::Unknown,
        300..=499 => Effect::None,
        _ => Effect::Unknown,
    };
    Fault { effect, error }
}

fn class(status: u16, told: Option<&Inner>) -> Class {
    match (status, told) {
        // The clocks disagree, or the token was long under way: the next one may do.
        (401, Some(told)) if told.code == "ExpiredAuthenticationToken" => Class::TryAgain,
        (401 | 403, Some(_)) => Class::Denied,
        (409 | 412 | 429, _) => Class::TryAgain,
        (400..=499, Some(_)) if status != 408 => Class::Config,
        // Faults of its own, and whatever does not speak like ARM: a proxy's page, a truncated body.
        _ => Class::Unavailable,
    }
}

fn fix(status: u16, told: &Inner) -> Option<String> {
    Some(match (status, told.code.as_str()) {
        (401, "ExpiredAuthenticationToken") => "compare this machine's clock with the time that ARM names".to_owned(),
        (401, _) => {
            "check entra.tenant_id, arm.url and arm.scope: the token must be one for ARM, from the tenant that \
                     the APIM service's Azure subscription trusts"
                .to_owned()
        }
        (403, "AuthorizationFailed" | "LinkedAuthorizationFailed") => {
            let action = quoted_after(&told.message, "perform action ");
            let missing = action.map_or_else(String::new, |action| format!("{action} is missing: "));
            format!(
                "{missing}give the application a role with Microsoft.ApiManagement/service/subscriptions/read, /write \
                 and /delete on the APIM service, and wait some minutes for it to spread; {RIGHTS}"
            )
        }
        (403, "RequestDisallowedByPolicy") => "an Azure Policy forbids it: ask who assigned it".to_owned(),
        (404, "SubscriptionNotFound" | "ResourceGroupNotFound" | "InvalidSubscriptionId") => {
            "check gateway.service, the resource id of the APIM service".to_owned()
        }
        (404, _) => "check gateway.service and the credential's scope: one of them names what is not there".to_owned(),
        (400, "ValidationError") => {
            "check the credential's scope: /products/ID, /apis/ID or /apis, of what exists in the service".to_owned()
        }
        (409 | 412, _) => "nothing: it is tried again; many workspaces starting together get in each other's way".to_owned(),
        (429, _) => "nothing: it is tried again when ARM allows it".to_owned(),
        _ => return None,
    })
}

/// Whether ARM says that the subscription `sid` is active now, in its answer to a create. What does not speak like ARM is
/// no proof that anything was created, and a key of one that waits for approval opens nothing.
pub fn is_active(sid: &str, body: &[u8]) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Resource {
        properties: Properties,
    }
    #[derive(Deserialize)]
    struct Properties {
        state: String,
    }
    let fault = |error| Err(Fault { effect: Effect::Unknown, error });
    match serde_json::from_slice::<Resource>(body) {
        Ok(resource) if resource.properties.state == "active" => Ok(()),
        Ok(resource) => {
            let state = printable(&resource.properties.state, 40);
            fault(
                Error::new(
                    Class::Denied,
                    format!("ARM created the subscription {sid}, but not as an active one"),
                )
                .why(format!("its state is {state}"))
                .fix("see whether the product wants each subscription approved, and why"),
            )
        }
        Err(_) => fault(
            Error::new(Class::Unavailable, format!("ARM did not confirm the subscription {sid}"))
                .why(format!("it answered with success and {} bytes that do not describe it", body.len()))
                .fix(
                    "nothing: it is tried again; if it stays so, see what answers in ARM's place (a proxy?)",
                ),
        ),
    }
}

/// `code: message; target: message; …`.
fn words(told: &Inner) -> String {
    let mut words = match (told.code.as_str(), told.message.as_str()) {
        ("", "") => "no code and no message".to_owned(),
        ("", text) | (text, "") => text.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    for detail in told.details.iter().flatten() {
        let Some(message) = detail.message.as_deref() else { continue };
        let target = detail.target.as_deref().unwrap_or("detail");
        words.push_str("; ");
        words.push_str(target);
        words.push_str(": ");
        words.push_str(message);
    }
    printable(&words, LONGEST)
}

fn seen(answer: &Answer<'_>) -> String {
    let content_type = printable(answer.content_type.unwrap_or("no content type"), LONGEST);
    format!("{content_type}, {} bytes that are not an error of ARM's", answer.body.len())
}

/// The text between the first pair of apostrophes after `before`.
fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let (quoted, _) = rest.strip_prefix('\'')?.split_once('\'')?;
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '/' | '*' | '_');
    (quoted.len() <= 200 && quoted.chars().all(plain)).then_some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;
    use std::time::Duration;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, content_type: Some("application/json"), retry_after: None, body: body.as_bytes() }
    }

    fn fault(operation: Operation, status: u16, body: &str) -> Fault {
        read(operation, "ws-1", &answer(status, body), from_unix(0))
    }

    fn body(code: &str, message: &str) -> String {
        serde_json::json!({"error": {"code": code, "message": message, "details": null}}).to_string()
    }

    #[test]
    fn each_refusal_has_its_class_and_effect() {
        use {Class as C, Effect as E, Operation as O};
        let cases = [
            (O::Create, 401, "InvalidAuthenticationTokenAudience", C::Denied, E::None),
            (O::Create, 401, "ExpiredAuthenticationToken", C::TryAgain, E::None),
            (O::Create, 403, "AuthorizationFailed", C::Denied, E::None),
            (O::Create, 404, "ResourceGroupNotFound", C::Config, E::Missing),
            (O::Update, 404, "ResourceNotFound", C::Config, E::Missing),
            (O::Create, 400, "ValidationError", C::Config, E::None),
            (O::Create, 409, "Conflict", C::TryAgain, E::None),
            (O::Create, 412, "PreconditionFailed", C::TryAgain, E::Stale),
            (O::Update, 429, "TooManyRequests", C::TryAgain, E::None),
            (O::Delete, 500, "InternalServerError", C::Unavailable, E::Unknown),
            (O::Delete, 503, "ServiceUnavailable", C::Unavailable, E::Unknown),
        ];
        for (operation, status, code, class, effect) in cases {
            let fault = fault(operation, status, &body(code, "words"));
            assert_eq!((fault.error.class, fault.effect), (class, effect), "{status} {code}");
            assert_eq!(fault.error.why.as_deref(), Some(format!("{code}: words").as_str()));
            assert!(fault.error.what.contains("ws-1"), "{}", fault.error.what);
        }
    }

    #[test]
    fn a_missing_right_is_named_with_the_role_that_has_it() {
        let message = "The client 'c' with object id 'o' does not have authorization to perform action \
                       'Microsoft.ApiManagement/service/subscriptions/write' over scope '/subscriptions/s' or the scope \
                       is invalid. If access was recently granted, please refresh your credentials.";
        let error = fault(Operation::Create, 403, &body("AuthorizationFailed", message)).error;
        let fix = error.fix.expect("advice");
        assert!(
            fix.starts_with("Microsoft.ApiManagement/service/subscriptions/write is missing: give"),
            "{fix}"
        );
        assert!(fix.contains("docs/azure.md"), "{fix}");
        assert!(error.why.expect("words").contains("over scope '/subscriptions/s'"));
    }

    #[test]
    fn a_validation_error_tells_its_details() {
        let text = r#"{"error":{"code":"ValidationError","message":"One or more fields contain incorrect values:",
            "details":[{"code":"ValidationError","target":"scope","message":"Subscription scope should be one of '/apis'"}]}}"#;
        let why = fault(Operation::Create, 400, text).error.why.expect("words");
        assert_eq!(
            why,
            "ValidationError: One or more fields contain incorrect values:; \
             scope: Subscription scope should be one of '/apis'"
        );
    }

    #[test]
    fn a_key_that_is_quoted_back_is_masked_and_an_id_is_not() {
        let key = "0123456789abcdef".repeat(4);
        let sid = format!("ws-{}", "0123456789abcdef".repeat(2));
        let text = body("ValidationError", &format!("{sid} has the key '{key}'\r\nagain {key}"));
        let why = fault(Operation::Create, 400, &text).error.why.expect("words");
        assert_eq!(why, format!("ValidationError: {sid} has the key [key] again [key]"));
    }

    #[test]
    fn what_does_not_speak_like_arm_is_unavailable_and_not_quoted() {
        for body in ["<html>secret page</html>", "", "{\"error\":{\"code\":\"Auth", "[]"] {
            for status in [200, 302, 401, 403, 404, 502] {
                let fault = fault(Operation::Delete, status, body);
                assert_eq!(fault.error.class, Class::Unavailable, "{status} {body}");
                assert_ne!(fault.effect, Effect::Missing, "{status} {body}");
                let why = fault.error.why.expect("words");
                assert!(why.contains(&status.to_string()) && !why.contains("secret page"), "{why}");
            }
        }
    }

    #[test]
    fn throttling_says_when_to_come_again() {
        let now = from_unix(0);
        let answer = Answer { retry_after: Some("17"), ..answer(429, "") };
        let fault = read(Operation::Update, "ws-1", &answer, now);
        assert_eq!(fault.error.retry_after, Some(Duration::from_secs(17)));
        assert_eq!(fault.error.class, Class::TryAgain, "throttled, whoever words it");
    }

    #[test]
    fn an_endless_message_is_cut() {
        let error = fault(Operation::Create, 400, &body("ValidationError", &"x y ".repeat(10_000))).error;
        assert!(error.why.expect("words").chars().count() <= LONGEST + 1);
    }
}
