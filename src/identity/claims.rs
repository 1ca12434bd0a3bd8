//! What an id token says of us.

use super::{Actor, IdToken};
use crate::{
    clock::{self, LATEST},
    error::{Class, Error, Result},
    secret::Secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// The claims that the agent shows and names things by.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Subject.
    pub sub: String,
    /// Audiences; a single one counts as a list of one.
    pub aud: Vec<String>,
    /// When it expires.
    pub exp: SystemTime,
    /// The workspace's id, where the issuer says it (`environment_id`, `workspace_id`).
    pub workspace: Option<String>,
    /// The person, where the issuer says it (`creator_email`, `email`; Entra: `preferred_username`, `upn`, `unique_name`).
    pub user: Option<String>,
}

/// Takes `text`, less the white space around it, for an id token. `whence` says where it comes from, for the error.
pub(super) fn read(text: &str, whence: &str) -> Result<IdToken> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            Error::new(Class::Config, format!("{whence} is empty")).fix("it should hold an id token, a JWT")
        );
    }
    match parse(text) {
        Ok(claims) => Ok(IdToken { token: Secret::new(text.to_owned()), claims }),
        Err(why) => Err(Error::new(Class::Config, format!("{whence} is not an id token"))
            .why(why)
            .fix("an id token is a compact JWT with the claims iss, sub, aud and exp")),
    }
}

/// Reads a compact JWT (RFC 7519, RFC 7515 section 7.1) without verifying it.
///
/// Strict in form: three segments, base64url without padding, header and payload JSON objects, the last segment not
/// empty. `iss`, `sub` and `exp` are required. Error: what is wrong, without a part of the token.
pub fn parse(token: &str) -> Result<Claims, String> {
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else {
        return Err(match segments.len() {
            1 => "it is not a JWT: there is no dot in it".to_owned(),
            5 => "it is an encrypted JWT (five segments), which nobody but its audience can read".to_owned(),
            count => format!("it has {count} segments rather than three"),
        });
    };
    object(header, "header")?;
    let claims = object(payload, "payload")?;
    if signature.is_empty() {
        return Err("it is not signed: its third segment is empty".to_owned());
    }
    decode(signature, "signature")?;
    Ok(Claims {
        iss: required(&claims, "iss")?,
        sub: required(&claims, "sub")?,
        aud: audiences(&claims)?,
        exp: expiry(&claims)?,
        workspace: first(&claims, &["environment_id", "workspace_id"]),
        user: first(&claims, &PERSON),
    })
}

/// The names of a person that issuers know, the most telling first.
const PERSON: [&str; 5] = ["creator_email", "email", "preferred_username", "upn", "unique_name"];

/// What an access token of Entra's says, and whose it is. `None`: it cannot be looked into, which is its resource's right.
///
/// `idtyp` says it where the resource wants to know; else a delegated permission (`scp`) means a person.
/// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>
pub(super) fn of_access_token(token: &str) -> Option<(Claims, Actor)> {
    let claims = parse(token).ok()?;
    let payload = object(token.split('.').nth(1)?, "payload").ok()?;
    let is_app = match payload.get("idtyp").and_then(Value::as_str) {
        Some(kind) => kind == "app",
        None => !payload.contains_key("scp"),
    };
    Some((claims, if is_app { Actor::Workspace } else { Actor::User }))
}

/// The claim `nonce` of a token that [`parse`] has read (`OpenID` Connect Core, 2).
pub(super) fn nonce(token: &str) -> Option<String> {
    let payload = object(token.split('.').nth(1)?, "payload").ok()?;
    payload.get("nonce")?.as_str().map(str::to_owned)
}

fn decode(segment: &str, name: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| format!("its {name} is not base64url"))
}

fn object(segment: &str, name: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(&decode(segment, name)?).map_err(|_| format!("its {name} is not a JSON object"))
}

fn required(claims: &Map<String, Value>, name: &str) -> Result<String, String> {
    match claims.get(name) {
        // They are shown, and become part of commands that people paste.
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            Err(format!("its claim {name} holds control characters"))
        }
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("its claim {name} is not a text, or empty")),
        None => Err(format!("it has no claim {name}")),
    }
}

/// `aud` is a text or a list of texts (RFC 7519, 4.1.3). Without one the list is empty: the check of the audience,
/// which knows what was asked for, says so.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, String> {
    let texts = match claims.get("aud") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(single) => vec![single],
    };
    let texts: Option<Vec<_>> = texts.into_iter().map(|text| text.as_str().map(str::to_owned)).collect();
    let texts = texts.ok_or("its claim aud is neither a text nor a list of texts")?;
    if texts.iter().any(|text| text.chars().any(char::is_control)) {
        return Err("its claim aud holds control characters".to_owned());
    }
    Ok(texts)
}

/// `exp` is a number of seconds, perhaps with a fraction, which we drop: a token that ends earlier does no harm.
fn expiry(claims: &Map<String, Value>) -> Result<SystemTime, String> {
    let number = claims.get("exp").ok_or("it has no claim exp")?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and LATEST bounds it
    let seconds = number.as_u64().or_else(|| number.as_f64().filter(|exp| *exp >= 0.0).map(|exp| exp as u64));
    let seconds = seconds.filter(|seconds| *seconds <= LATEST).ok_or("its claim exp is not a time")?;
    Ok(clock::from_unix(seconds))
}

fn first(claims: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| claims.get(*name)?.as_str())
        .filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{jwt, jwt_of};
    use serde_json::json;

    #[test]
    fn the_claims_of_ona_and_of_classic() {
        let ona = parse(&jwt(&json!({
            "iss": "https://app.gitpod.io", "sub": "organization_id:o:project_id:p", "aud": ["api://AzureADTokenExchange"],
            "exp": 1_795_482_000, "environment_id": "e5f6", "creator_email": "jane@acme.example",
        })))
        .unwrap();
        assert_eq!(
            (ona.iss.as_str(), ona.sub.as_str()),
            ("https://app.gitpod.io", "organization_id:o:project_id:p")
        );
        assert_eq!(
            (ona.workspace.as_deref(), ona.user.as_deref()),
            (Some("e5f6"), Some("jane@acme.example"))
        );
        assert_eq!(
            (ona.aud, clock::unix(ona.exp)),
            (vec!["api://AzureADTokenExchange".to_owned()], 1_795_482_000)
        );

        let classic = parse(&jwt(&json!({
            "iss": "i", "sub": "s", "aud": "a", "exp": 1.9, "workspace_id": "acme-1", "email": "jane@acme.example",
        })))
        .unwrap();
        assert_eq!((classic.aud, clock::unix(classic.exp)), (vec!["a".to_owned()], 1));
        assert_eq!(
            (classic.workspace.as_deref(), classic.user.as_deref()),
            (Some("acme-1"), Some("jane@acme.example"))
        );
    }

    #[test]
    fn what_is_no_jwt() {
        let good = json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            jwt(&claims)
        };
        let without = |name: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(name);
            jwt(&claims)
        };
        let valid = jwt(&good);
        let (head, rest) = valid.split_once('.').unwrap();
        for (token, why) in [
            (with("sub", json!("a\u{1b}[2Jb")), "its claim sub holds control characters"),
            (with("aud", json!(["a\nb"])), "its claim aud holds control characters"),
            ("secret".to_owned(), "it is not a JWT: there is no dot in it"),
            ("a.b".to_owned(), "it has 2 segments rather than three"),
            (
                "a.b.c.d.e".to_owned(),
                "it is an encrypted JWT (five segments), which nobody but its audience can read",
            ),
            (format!("{valid}="), "its signature is not base64url"),
            (format!("{valid}+"), "its signature is not base64url"),
            (format!("{head}=.{rest}"), "its header is not base64url"),
            (jwt_of("7", "{}"), "its header is not a JSON object"),
            (jwt_of("{}", "[]"), "its payload is not a JSON object"),
            (jwt_of("{}", "{\"iss\":"), "its payload is not a JSON object"),
            (
                valid.rsplit_once('.').unwrap().0.to_owned() + ".",
                "it is not signed: its third segment is empty",
            ),
            (without("iss"), "it has no claim iss"),
            (without("sub"), "it has no claim sub"),
            (without("exp"), "it has no claim exp"),
            (with("sub", json!(7)), "its claim sub is not a text, or empty"),
            (with("iss", json!("")), "its claim iss is not a text, or empty"),
            (with("aud", json!([1])), "its claim aud is neither a text nor a list of texts"),
            (with("exp", json!("1")), "its claim exp is not a time"),
            (with("exp", json!(-1)), "its claim exp is not a time"),
            (with("exp", json!(u64::MAX)), "its claim exp is not a time"),
            (with("exp", json!(1e300)), "its claim exp is not a time"),
        ] {
            assert_eq!(parse(&token).unwrap_err(), why);
        }
        assert!(parse(&without("aud")).unwrap().aud.is_empty());
    }

    #[test]
    fn an_error_holds_nothing_of_the_text() {
        let error = read(" my-secret.text ", "the file /x").err().unwrap();
        assert_eq!(error.what, "the file /x is not an id token");
        assert!(!error.to_string().contains("my-secret"));
        assert_eq!(read(" \n", "the file /x").err().unwrap().what, "the file /x is empty");
    }

    #[test]
    fn whose_an_access_token_is() {
        let whose = |more: Value| {
            let mut claims = json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of_access_token(&jwt(&claims)).map(|(claims, actor)| (claims.user, actor))
        };
        let jane = Some("jane@acme.example".to_owned());
        for (more, whose_it_is) in [
            (json!({"idtyp": "user", "upn": "jane@acme.example"}), (jane.clone(), Actor::User)),
            (json!({"scp": "access_as_user", "unique_name": "jane@acme.example"}), (jane, Actor::User)),
            (json!({"idtyp": "app", "scp": ""}), (None, Actor::Workspace)),
            (json!({"roles": ["Echo.Call"]}), (None, Actor::Workspace)),
        ] {
            assert_eq!(whose(more), Some(whose_it_is));
        }
        assert!(of_access_token("opaque").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[a-zA-Z0-9+/=._-]{0,80}", json in "\\PC{0,60}") {
            let _ = parse(&text);
            let _ = parse(&jwt_of("{}", &json));
        }
    }
}
