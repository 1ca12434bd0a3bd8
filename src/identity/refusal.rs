//! What an issuer's answer means when it is not a token. Pure.

use crate::{
    error::{Class, Error},
    http::answer,
};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use std::time::SystemTime;
use url::Url;

/// Any answer of `host` but 200, as an error whose `fix` is the source's to set where it knows more. `words` are those of
/// the issuer's own error, if it could be read; they are left out where they repeat `sent`, the header that went with the
/// request, whose bearer may be a text that no pattern knows.
pub(super) fn refusal(
    host: &str,
    answer: &Response<Bytes>,
    words: Option<&str>,
    sent: &HeaderValue,
    now: SystemTime,
) -> Error {
    let status = answer.status().as_u16();
    let (class, what) = match status {
        401 | 403 => (Class::Denied, format!("{host} refused to give an id token ({status})")),
        429 => (Class::TryAgain, format!("{host} wants fewer requests (429)")),
        400..=499 => (Class::Config, format!("{host} refused the request for an id token ({status})")),
        _ => (Class::Unavailable, format!("{host} failed to give an id token ({status})")),
    };
    let why = words.map_or_else(
        || answer::outline(answer),
        |words| answer::quotable(words, sent.to_str().unwrap_or_default().trim_start_matches("Bearer "), 300),
    );
    let error = Error::new(class, what);
    let error = if error.is_transient() { error.fix("nothing: it is tried again") } else { error };
    error.why(why).retry_after(answer::retry_after(answer.headers(), now))
}

/// A redirect, which is not followed: that would carry the bearer to another place. `url` is what was asked, and `fix`
/// says what to do if the place, which it gets, is trusted.
pub(super) fn redirect(
    host: &str,
    url: &Url,
    answer: &Response<Bytes>,
    fix: impl FnOnce(&str) -> String,
) -> Error {
    let place = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
    let place = place.and_then(|place| url.join(place).ok());
    let place = place.and_then(|place| place.host_str().map(str::to_owned));
    let place = place.unwrap_or_else(|| "nowhere".to_owned());
    Error::new(Class::Config, format!("{host} redirects to {place}"))
        .why("redirects are not followed: that would hand the bearer to another place")
        .fix(fix(&place))
}
