//! A token or revocation endpoint's refusals: from its answer to something a person can act on. Pure.
//!
//! RFC 6749, 5.2, with the errors of RFC 7009 (2.2.1), RFC 8693 (2.2.2) and `OpenID` Connect Core (3.1.2.6). A broker behind
//! APIM may also answer in the gateway's own form, `{"statusCode": …, "message": …}`.

use super::form::Form;
use crate::{
    clock,
    error::{
        Class::{self, Config, Denied, TryAgain, Unavailable},
        Error,
    },
    http::answer::{outline, printable, retry_after},
    identity::claims::Claims,
};
use bytes::Bytes;
use http::Response;
use serde_json::Value;
use std::time::SystemTime;
use url::{Position, Url};

/// What was asked, and of whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Where the request went.
    pub(super) endpoint: &'a Url,
    /// What for.
    pub(super) purpose: Purpose<'a>,
    /// `client_id`, where there is one.
    pub(super) client_id: Option<&'a str>,
    /// What was sent: none of its secrets may come back in a message.
    pub(super) form: &'a Form<'a>,
}

/// What a request is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// A token, for a subject with these claims.
    Token(&'a Claims),
    /// The end of one.
    Revocation,
}

impl Asked<'_> {
    /// What did not come about, for an error's first line.
    pub(super) fn failed(&self) -> String {
        // Without the query, which is nobody's business in a log.
        let endpoint = &self.endpoint[..Position::AfterPath];
        match self.purpose {
            Purpose::Token(_) => format!("no token from {endpoint}"),
            Purpose::Revocation => format!("no revocation at {endpoint}"),
        }
    }

    fn setting(&self) -> &'static str {
        match self.purpose {
            Purpose::Token(_) => "token_endpoint",
            Purpose::Revocation => "revocation_endpoint",
        }
    }

    fn client(&self) -> String {
        self.client_id.map_or_else(|| "a client without client_id".to_owned(), |id| format!("client_id {id}"))
    }

    /// A foreign text made fit for a message.
    fn quote(&self, text: &str, max: usize) -> String {
        if self.form.is_repeated_in(text) {
            return "words that repeat a secret that was sent, so they are not shown".to_owned();
        }
        printable(text, max)
    }
}

/// An error answer's parts that are looked at.
struct Refusal {
    /// Such as `invalid_grant`; empty in the gateway's own form.
    error: String,
    words: String,
}

impl Refusal {
    /// `None` if the body is no error in any of the forms.
    fn parse(answer: &Response<Bytes>, asked: &Asked<'_>) -> Option<Self> {
        let body: Value = serde_json::from_slice(answer.body()).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(|text| asked.quote(text, 300));
        if let Some(error) = text("error").filter(|error| !error.is_empty()) {
            return Some(Self { error, words: text("error_description").unwrap_or_default() });
        }
        let is_gateways = body.get("statusCode")?.as_u64() == Some(answer.status().as_u16().into());
        Some(Self { error: String::new(), words: text("message").filter(|_| is_gateways)? })
    }
}

/// The error for `answer`, which is any but a success.
pub(super) fn explain(answer: &Response<Bytes>, asked: &Asked<'_>, now: SystemTime) -> Error {
    let status = answer.status().as_u16();
    let refusal = Refusal::parse(answer, asked);
    let error = refusal.as_ref().map_or("", |refusal| refusal.error.as_str());
    let (class, fix) = match status {
        429 => (TryAgain, "nothing: it is tried again after the wait that the server asks for".to_owned()),
        500.. => (
            Unavailable,
            "nothing: it is tried again; if it stays so, ask whoever runs the server".to_owned(),
        ),
        _ => by_error(error, asked).unwrap_or_else(|| by_status(status, refusal.is_some(), asked)),
    };
    Error::new(class, asked.failed())
        .why(told(answer, refusal.as_ref(), asked, now))
        .fix(fix)
        .retry_after(retry_after(answer.headers(), now))
}

/// What the error says of who has to do what; `None` for one that is not in the table.
fn by_error(error: &str, asked: &Asked<'_>) -> Option<(Class, String)> {
    let setting = asked.setting();
    let (class, fix) = match error {
        "invalid_request" => (Config, "check the exchange's settings: the server wants a parameter more, or one less".to_owned()),
        "invalid_client" => (
            Denied,
            format!("check {}, client_auth and that the server knows our key or certificate", asked.client()),
        ),
        "unauthorized_client" => (Denied, format!("have {} allowed this grant at the server", asked.client())),
        "invalid_grant" => (
            Denied,
            "have the server trust the subject token's issuer, and compare what it expects of issuer, subject, audience and \
             type with what the token says (subject_audience, subject_token_type)"
                .to_owned(),
        ),
        "unsupported_grant_type" => {
            (Config, format!("the server does not know this grant: check {setting} and the exchange's kind"))
        }
        "unsupported_token_type" => (Config, format!("the server revokes no such tokens: remove {setting}")),
        "invalid_scope" => (Config, "correct the credential's scope, or have it granted to the client".to_owned()),
        "invalid_target" => (Config, "correct the exchange's resource and audience: the server knows none of that name".to_owned()),
        "access_denied" => (Denied, "have whoever runs the server allow it".to_owned()),
        "interaction_required" | "login_required" | "consent_required" => {
            (Denied, "the server wants a person here: sign in and consent, or have workloads excepted".to_owned())
        }
        "temporarily_unavailable" | "server_error" => (Unavailable, "nothing: it is tried again".to_owned()),
        "slow_down" => (TryAgain, "nothing: it is tried again later".to_owned()),
        _ => return None,
    };
    Some((class, fix))
}

fn by_status(status: u16, is_refusal: bool, asked: &Asked<'_>) -> (Class, String) {
    let setting = asked.setting();
    match status {
        401 | 403 => (Denied, format!("have {} let in: see what guards {setting}", asked.client())),
        404 | 405 | 410 => (Config, format!("check {setting}: nothing there takes this request")),
        408 => (Unavailable, "nothing: it is tried again".to_owned()),
        _ if is_refusal => (Denied, "see what the server's documentation says of this error".to_owned()),
        _ => (
            Unavailable,
            format!(
                "check {setting}, and whether a proxy or a portal stands between: this is no OAuth answer"
            ),
        ),
    }
}

/// The server's words, then what it was shown where that is the question.
fn told(answer: &Response<Bytes>, refusal: Option<&Refusal>, asked: &Asked<'_>, now: SystemTime) -> String {
    let Some(Refusal { error, words }) = refusal else { return outline(answer) };
    let mut parts = vec![match (error.as_str(), words.as_str()) {
        (error, "") => format!("it answered {error}"),
        ("", words) => format!("it answered {}: {words}", answer.status().as_u16()),
        (error, words) => format!("it answered {error}: {words}"),
    }];
    if let ("invalid_grant" | "invalid_request", Purpose::Token(claims)) = (error.as_str(), asked.purpose) {
        let show = |text: &str| printable(text, 300);
        parts.push(format!(
            "the subject token has issuer \"{}\", subject \"{}\", audience \"{}\" and is good until {} (this machine's clock says {})",
            show(&claims.iss),
            show(&claims.sub),
            show(&claims.aud.join("\", \"")),
            clock::rfc3339(claims.exp),
            clock::rfc3339(now)
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests;
