//! A token endpoint's good answer, read with suspicion (RFC 6749, 5.1; RFC 8693, 2.2.1). Pure.

use crate::{error::Class, http::answer::is_bearer_token, identity::claims, secret::Secret};
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::Value;
use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

/// A token and what is said of it.
pub(in crate::exchange) struct Granted {
    /// The token.
    pub(in crate::exchange) token: Secret,
    /// `token_type` is `Bearer`; else it is `N_A`.
    pub(in crate::exchange) bearer: bool,
    /// When its life ends.
    pub(in crate::exchange) expires_at: SystemTime,
    /// When the server wants it renewed: `refresh_in`, an invention of Entra's.
    pub(in crate::exchange) refresh_at: Option<SystemTime>,
    /// What it is (RFC 8693, 3), where the server says so.
    pub(in crate::exchange) issued_token_type: Option<String>,
    /// What it is good for, where the server says so.
    pub(in crate::exchange) scope: Option<String>,
}

/// What is expected of an answer.
#[derive(Clone, Copy, Default)]
pub(in crate::exchange) struct Expected<'a> {
    /// Whether a token may be one that is no access token: `token_type` `N_A`.
    pub(in crate::exchange) other_than_bearer: bool,
    /// Whether an answer may keep its token's life to itself: see [`ASSUMED`].
    pub(in crate::exchange) unsaid_life: bool,
    /// The type that was asked for.
    pub(in crate::exchange) issued_token_type: Option<&'a str>,
}

/// What is wrong with an answer, without a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exchange) struct Flaw {
    /// In words.
    pub(in crate::exchange) why: &'static str,
    /// `Unavailable` for what may come from somebody in between and pass; `Config` for a server that has issued what nobody
    /// can use, and would do so again and again.
    pub(in crate::exchange) class: Class,
}

impl From<&'static str> for Flaw {
    fn from(why: &'static str) -> Self {
        Self { why, class: Class::Unavailable }
    }
}

impl Flaw {
    const fn lasting(why: &'static str) -> Self {
        Self { why, class: Class::Config }
    }
}

const NO_BEARER: Flaw =
    Flaw::lasting("its access_token holds characters that no bearer token may hold (RFC 6750, 2.1)");
/// RFC 6749, A.12.
const NO_TOKEN: Flaw =
    Flaw::lasting("its access_token holds characters that no token may hold (RFC 6749, A.12)");

/// A life of more than ten years is not one.
const LONGEST: u64 = 10 * 366 * 24 * 3600;

/// The life of a token whose life nobody states. `expires_in` is only RECOMMENDED: without it, the `exp` of a token that
/// is a JWT counts (RFC 9068, 2.2), and of any other one it is assumed that it lives no shorter than the shortest-lived
/// tokens that are in use. It is then renewed well before that, and nothing that is published outlives it.
pub(in crate::exchange) const ASSUMED: Duration = Duration::from_mins(5);

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    token_type: Cow<'a, str>,
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    expires_in: Option<Value>,
    refresh_in: Option<Value>,
    #[serde(borrow)]
    issued_token_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    scope: Option<Cow<'a, str>>,
}

impl Granted {
    /// Checks the body of a 200. `asked_at` is when the request began: a life counts from before the token was issued, so
    /// that ours never ends later.
    pub(in crate::exchange) fn read(
        answer: &Response<Bytes>,
        expected: Expected<'_>,
        asked_at: SystemTime,
    ) -> Result<Self, Flaw> {
        let body: Body = serde_json::from_slice(answer.body()).map_err(|_| "it is not a token answer")?;
        let bearer = body.token_type.eq_ignore_ascii_case("Bearer");
        let is_other = expected.other_than_bearer && body.token_type.eq_ignore_ascii_case("N_A");
        if !bearer && !is_other {
            let why = if expected.other_than_bearer {
                "its token_type is neither Bearer nor N_A"
            } else {
                "its token_type is not Bearer"
            };
            return Err(why.into());
        }
        if body.access_token.is_empty() {
            return Err("its access_token is empty".into());
        }
        // Whoever gets the value puts it into a header. What is no bearer token is a key of any form.
        if bearer && !is_bearer_token(&body.access_token) {
            return Err(NO_BEARER);
        }
        if !body.access_token.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(NO_TOKEN);
        }
        if let (Some(wanted), Some(issued)) = (expected.issued_token_type, &body.issued_token_type)
            && wanted != issued
        {
            return Err("its issued_token_type is not the requested_token_type".into());
        }
        let life = match body.expires_in.as_ref().filter(|value| !value.is_null()) {
            Some(life) => Duration::from_secs(seconds(life).ok_or("its expires_in is not a life")?),
            None if expected.unsaid_life => unsaid_life(&body.access_token, asked_at)?,
            None => return Err("it is not a token answer".into()),
        };
        // A hint only: one that makes no sense is no reason to refuse the token.
        let refresh_in = body.refresh_in.as_ref().and_then(Value::as_u64).map(Duration::from_secs);
        Ok(Self {
            token: Secret::new(body.access_token.into_owned()),
            bearer,
            expires_at: asked_at + life,
            refresh_at: refresh_in.filter(|wait| *wait < life).map(|wait| asked_at + wait),
            issued_token_type: body.issued_token_type.map(Cow::into_owned),
            scope: body.scope.map(Cow::into_owned),
        })
    }
}

/// A number of seconds, which older servers send as a text.
fn seconds(value: &Value) -> Option<u64> {
    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    (1..=LONGEST).contains(&seconds).then_some(seconds)
}

fn unsaid_life(token: &str, asked_at: SystemTime) -> Result<Duration, &'static str> {
    let Ok(claims) = claims::parse(token) else { return Ok(ASSUMED) };
    let life = claims.exp.duration_since(asked_at).ok().filter(|life| !life.is_zero());
    life.map(|life| life.min(Duration::from_secs(LONGEST)))
        .ok_or("its access_token has expired, as its exp says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::from_unix, identity::testing::jwt};
    use serde_json::json;

    const ANY: Expected<'_> =
        Expected { other_than_bearer: true, unsaid_life: true, issued_token_type: Some("urn:wanted") };

    fn read(body: &Value, expected: Expected<'_>) -> Result<Granted, &'static str> {
        read_or_flaw(body, expected).map_err(|flaw| flaw.why)
    }

    fn read_or_flaw(body: &Value, expected: Expected<'_>) -> Result<Granted, Flaw> {
        Granted::read(&Response::new(body.to_string().into()), expected, from_unix(1_000))
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = json!({"token_type": "bearer", "access_token": "t", "expires_in": 60});
        body[name] = value;
        body
    }

    fn life(body: &Value) -> Result<u64, &'static str> {
        read(body, ANY).map(|granted| crate::clock::unix(granted.expires_at) - 1_000)
    }

    #[test]
    fn a_life_is_what_is_said_or_little() {
        for (expires_in, expected) in [
            (json!(60), Ok(60)),
            (json!("3599"), Ok(3599)),
            (Value::Null, Ok(ASSUMED.as_secs())),
            (json!(0), Err("its expires_in is not a life")),
            (json!(-1), Err("its expires_in is not a life")),
            (json!(1.5), Err("its expires_in is not a life")),
            (json!("soon"), Err("its expires_in is not a life")),
            (json!(u64::MAX), Err("its expires_in is not a life")),
        ] {
            assert_eq!(life(&with("expires_in", expires_in.clone())), expected, "{expires_in}");
        }
    }

    #[test]
    fn a_jwt_says_its_own_life_where_the_answer_does_not() {
        let token = |exp: u64| {
            let token = jwt(&json!({"iss": "i", "sub": "s", "exp": exp}));
            json!({"token_type": "Bearer", "access_token": token})
        };
        assert_eq!(life(&token(1_090)), Ok(90));
        assert_eq!(life(&token(1_000)), Err("its access_token has expired, as its exp says"));
        assert_eq!(life(&token(crate::clock::LATEST)), Ok(LONGEST));
        let mut told = token(1_090);
        told["expires_in"] = json!(30);
        assert_eq!(life(&told), Ok(30), "the answer's word counts for more");
        assert!(read(&token(1_090), Expected::default()).is_err());
    }

    #[test]
    fn kinds_of_tokens() {
        let bearer = |token_type: &str, expected| {
            read(&with("token_type", json!(token_type)), expected).map(|granted| granted.bearer)
        };
        assert_eq!(bearer("BEARER", Expected::default()), Ok(true));
        assert_eq!(bearer("N_A", Expected::default()), Err("its token_type is not Bearer"));
        assert_eq!(bearer("n_a", ANY), Ok(false));
        assert_eq!(bearer("DPoP", ANY), Err("its token_type is neither Bearer nor N_A"));
        for (issued, expected) in [
            (json!("urn:wanted"), Ok(Some("urn:wanted".to_owned()))),
            (json!("urn:other"), Err("its issued_token_type is not the requested_token_type")),
            (Value::Null, Ok(None)),
        ] {
            let granted =
                read(&with("issued_token_type", issued), ANY).map(|granted| granted.issued_token_type);
            assert_eq!(granted, expected);
        }
    }

    #[test]
    fn what_nobody_can_present_is_refused_for_good() {
        let flaw = |token: &str, token_type: &str| {
            let mut body = with("access_token", json!(token));
            body["token_type"] = json!(token_type);
            read_or_flaw(&body, ANY).err()
        };
        for token in ["a\nb", "a\0b", "tökén", "a\u{7f}", "a b", " a", "a\"b", "a=b", "="] {
            assert_eq!(flaw(token, "Bearer"), Some(NO_BEARER), "{token:?}");
        }
        for token in ["a\nb", "a\0b", "tökén", "a\u{7f}"] {
            assert_eq!(flaw(token, "N_A"), Some(NO_TOKEN), "{token:?}");
        }
        assert_eq!(NO_BEARER.class, Class::Config);
        assert_eq!(flaw("a'b \"$(c)\" ~", "N_A"), None, "the sink knows what to do with it");
        assert_eq!(flaw("a-._~+/b==", "Bearer"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_survived(body in "\\PC{0,80}", life in proptest::num::u64::ANY, refresh in proptest::num::i64::ANY) {
            let at = from_unix(1_000);
            let _ = Granted::read(&Response::new(body.into()), ANY, at);
            let body = json!({"token_type": "Bearer", "access_token": "t", "expires_in": life, "refresh_in": refresh});
            if let Ok(granted) = read(&body, ANY) {
                proptest::prop_assert!(granted.expires_at > at);
                proptest::prop_assert!(granted.refresh_at.is_none_or(|refresh| refresh < granted.expires_at));
            }
        }
    }
}
