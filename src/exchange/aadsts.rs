//! Entra's error answers, read by ourselves. Pure.
//!
//! The SDK loses the code of an answer whose description holds an escape, as Entra's do, and knows nothing of the
//! workspace's token, which is what the person who has to mend it needs to see beside the answer.

use super::advice;
use crate::{
    clock,
    error::{Class, Error},
    http::answer::{outline, printable, retry_after},
    identity::claims::Claims,
};
use bytes::Bytes;
use http::Response;
use serde_json::Value;
use std::time::SystemTime;

/// Which grant Entra was asked for a token by: the same code asks different things of different people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Client credentials with the workspace's id token as the client's assertion.
    ClientAssertion,
    /// A SAML assertion of a person.
    SamlBearer,
    /// A person's token, with the workspace's id token as the client's assertion.
    OnBehalfOf,
}

/// What Entra was asked for, and with what in hand.
#[derive(Clone, Debug)]
pub struct Presented {
    /// By which grant.
    pub flow: Flow,
    /// Tenant id or domain.
    pub tenant_id: String,
    /// The application's (client) id.
    pub client_id: String,
    /// The audience that the assertion was asked for.
    pub audience: String,
    /// The scope of the access token.
    pub scope: String,
    /// What the assertion says that proves the client, or in [`Flow::SamlBearer`] the person.
    pub claims: Claims,
}

/// Entra's refusal as it stands in the body.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number behind `AADSTS`.
    pub code: Option<u32>,
    /// The OAuth error (RFC 6749, 5.2), such as `invalid_client`.
    pub error: String,
    /// The first line of the description.
    pub description: String,
    /// Entra's id of the request, for its support.
    pub trace_id: Option<String>,
    /// Our id of the request, as Entra repeats it.
    pub correlation_id: Option<String>,
    /// It comes with a claims challenge: what a person's next sign-in has to prove besides.
    pub claims_challenge: bool,
}

impl Refusal {
    /// Reads a body; `None` if it is not an OAuth error.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name)?.as_str().map(|text| printable(text, 100));
        let description = body.get("error_description").and_then(Value::as_str).unwrap_or_default();
        let listed = body.get("error_codes").and_then(|codes| codes.get(0)).and_then(Value::as_u64);
        Some(Self {
            code: listed.and_then(|code| u32::try_from(code).ok()).or_else(|| code_in(description)),
            error: text("error").filter(|error| !error.is_empty())?,
            description: first_line(description),
            trace_id: text("trace_id"),
            correlation_id: text("correlation_id"),
            claims_challenge: body.get("claims").is_some_and(Value::is_string),
        })
    }
}

/// The number in `AADSTS700213: No matching …`.
fn code_in(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The sentences before the ids, which newer answers put on the same line.
fn first_line(description: &str) -> String {
    let line = description.lines().next().unwrap_or_default();
    let line = line.split(" Trace ID:").next().unwrap_or_default();
    printable(line, 400)
}

/// The error for `answer`, which is any but a 200.
pub fn explain(answer: &Response<Bytes>, presented: &Presented, now: SystemTime) -> Error {
    let status = answer.status().as_u16();
    let refusal = Refusal::parse(answer.body());
    let code = refusal.as_ref().and_then(|refusal| refusal.code);
    let known = code.and_then(|code| advice::known(code, presented));
    let error = match (status, &refusal, known) {
        (429, ..) => Error::new(Class::TryAgain, "Entra wants fewer requests (429)")
            .fix("nothing: it is tried again after the wait that Entra asks for"),
        (500.., ..) => Error::new(Class::Unavailable, format!("Entra failed ({status})"))
            .fix("nothing: it is tried again; if it stays so, see the Azure status page"),
        (_, None, _) => {
            Error::new(Class::Unavailable, format!("what answered for Entra is not Entra ({status})"))
                .fix("check entra.authority, and whether a proxy or a portal stands between")
        }
        (_, Some(refusal), None) => {
            let (class, fix) = advice::by_error(&refusal.error, presented.flow);
            Error::new(class, refused(presented)).fix(fix)
        }
        (_, Some(_), Some(known)) => Error::new(known.class, refused(presented)).fix(known.fix),
    };
    let why = match &refusal {
        Some(refusal) => told(refusal, presented, now),
        None => outline(answer),
    };
    error.why(why).retry_after(retry_after(answer.headers(), now))
}

fn refused(presented: &Presented) -> String {
    format!("Entra refused the application {} a token for {}", presented.client_id, presented.scope)
}

/// Entra's words, then what it was shown where that is the question, then the ids.
fn told(refusal: &Refusal, presented: &Presented, now: SystemTime) -> String {
    let mut parts = Vec::new();
    parts.push(match refusal.description.as_str() {
        "" => refusal.error.clone(),
        words => words.to_owned(),
    });
    let claims = &presented.claims;
    if refusal.code.is_some_and(advice::is_about_the_match) {
        let show = |text: &str| printable(text, 300);
        parts.push(format!(
            "the workspace's token has issuer \"{}\", subject \"{}\", audience \"{}\"",
            show(&claims.iss),
            show(&claims.sub),
            show(&claims.aud.join("\", \""))
        ));
    }
    if refusal.code == Some(advice::OUTSIDE_ITS_TIME) {
        parts.push(format!(
            "the workspace's token is good until {}, and this machine's clock says {}",
            clock::rfc3339(claims.exp),
            clock::rfc3339(now)
        ));
    }
    if refusal.claims_challenge {
        parts.push("it comes with a claims challenge, which only a person's sign-in can meet".to_owned());
    }
    for (name, id) in [("trace id", &refusal.trace_id), ("correlation id", &refusal.correlation_id)] {
        if let Some(id) = id {
            parts.push(format!("{name} {id}"));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests;
