//! What the metadata service answers. Pure.

use crate::{
    clock,
    error::{Class, Error, Result},
    http::answer::{is_bearer_token, outline, printable, retry_after},
    secret::Secret,
};
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// How long an update of the service may take, by its documentation.
const UPDATE: Duration = Duration::from_secs(70);

/// A token and its times.
pub(super) struct Granted {
    pub(super) token: Secret,
    pub(super) expires_at: SystemTime,
    pub(super) refresh_at: Option<SystemTime>,
}

impl Granted {
    /// Reads a 200. Its numbers are texts; newer services also write them as numbers.
    pub(super) fn read(answer: &Response<Bytes>, asked_at: SystemTime) -> Result<Self> {
        #[derive(Deserialize)]
        struct Body {
            access_token: String,
            expires_on: Option<Value>,
            expires_in: Option<Value>,
            refresh_in: Option<Value>,
        }
        let bad = |why: &str| {
            Error::new(Class::Unavailable, "the metadata service answered something that holds no token")
                .why(format!("{why}; {}", outline(answer)))
                .fix("check identity.imds_url, and whether a proxy stands between")
        };
        let body: Body =
            serde_json::from_slice(answer.body()).map_err(|_| bad("it is not a token answer"))?;
        let token = Secret::new(body.access_token);
        if token.expose().is_empty() {
            return Err(bad("its access_token is empty"));
        }
        if !is_bearer_token(token.expose()) {
            return Err(bad("its access_token holds characters that no bearer token may hold"));
        }
        let after = |span: Option<Value>| {
            let seconds = number(span.as_ref()?)?;
            Some(clock::from_unix(clock::unix(asked_at).saturating_add(seconds)))
        };
        let expires_at = body.expires_on.as_ref().and_then(number).map(clock::from_unix);
        let expires_at =
            expires_at.or_else(|| after(body.expires_in)).ok_or_else(|| bad("it does not say its end"))?;
        if expires_at <= asked_at {
            return Err(bad("its token has expired, if this machine's clock is right"));
        }
        let refresh_at = after(body.refresh_in).filter(|at| *at < expires_at);
        Ok(Self { token, expires_at, refresh_at })
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The service's words: of IMDS an OAuth error, of App Service `{"message": …}` or `{"error": {"message": …}}`.
fn words(answer: &Response<Bytes>) -> Option<String> {
    let body: Value = serde_json::from_slice(answer.body()).ok()?;
    let places = ["/error_description", "/error/message", "/message", "/error"];
    places.iter().find_map(|place| body.pointer(place)?.as_str()).map(str::to_owned)
}

/// Whether it says that the machine has no such identity.
pub(super) fn has_no_identity(answer: &Response<Bytes>) -> bool {
    let words = words(answer).unwrap_or_default().to_lowercase();
    answer.status() == 400 && words.contains("identity not found")
}

/// Any answer but 200, by the table of its documentation.
pub(super) fn refusal(
    answer: &Response<Bytes>,
    resource: &str,
    client_id: Option<&str>,
    now: SystemTime,
) -> Error {
    let status = answer.status().as_u16();
    let why = words(answer).map_or_else(|| outline(answer), |words| printable(&words, 300));
    let error = |class, what: &str| Error::new(class, format!("{what} ({status})")).why(&*why);
    let again = "nothing: it is tried again";
    let error = match status {
        400 if has_no_identity(answer) => match client_id {
            Some(id) => error(Class::Config, &format!("this machine has no managed identity {id}"))
                .fix("assign that identity to the machine, or correct identity.client_id"),
            None => error(Class::Config, "this machine has no managed identity")
                .fix("assign one to it, and set identity.client_id if there are several"),
        },
        400 if why.contains("AADSTS500011") || why.contains("AADSTS50001") => {
            error(Class::Config, &format!("Entra does not know the resource {resource}"))
                .fix("check the credential's scope, or identity.audience")
        }
        400 if why.contains("Multiple user assigned identities") => {
            error(Class::Config, "this machine has several managed identities")
                .fix("set identity.client_id to the client id of the one to use")
        }
        401 | 403 => error(Class::Denied, "the metadata service refuses tokens to this process")
            .fix("see what stands between: container platforms block it unless they are told otherwise"),
        404 => error(Class::Unavailable, "the metadata service has no tokens at the moment").fix(again),
        408 | 429 => error(Class::TryAgain, "the metadata service wants fewer requests").fix(again),
        410 => {
            let asked = retry_after(answer.headers(), now).or(Some(UPDATE));
            return error(Class::Unavailable, "the metadata service is being updated")
                .fix(again)
                .retry_after(asked);
        }
        300..=499 => error(Class::Config, "the metadata service refused the request for a token")
            .fix("check identity.imds_url, identity.client_id and the credential's scope"),
        _ => error(Class::Unavailable, "the metadata service failed to give a token").fix(again),
    };
    error.retry_after(retry_after(answer.headers(), now))
}
