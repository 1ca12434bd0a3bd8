//! Tokens for tests: well formed, signed by nobody.

use super::{IdToken, Miss};
use crate::error::Error;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// A JWT with these claims.
pub(crate) fn jwt(claims: &Value) -> String {
    jwt_of(r#"{"alg":"RS256","kid":"k"}"#, &claims.to_string())
}

/// A JWT with these texts as header and payload.
pub(crate) fn jwt_of(header: &str, payload: &str) -> String {
    let [header, payload, signature] =
        [header, payload, "signature"].map(|text| URL_SAFE_NO_PAD.encode(text));
    format!("{header}.{payload}.{signature}")
}

/// The error of a source that is here and failed.
pub(crate) fn broken(result: Result<IdToken, Miss>) -> Error {
    match result {
        Err(Miss::Broken(error)) => error,
        Err(Miss::NotHere(what)) => panic!("not here: {what}"),
        Ok(_) => panic!("a token"),
    }
}

/// What a source that is not here says.
pub(crate) fn not_here(result: Result<IdToken, Miss>) -> String {
    match result {
        Err(Miss::NotHere(what)) => what,
        Err(Miss::Broken(error)) => panic!("broken: {error}"),
        Ok(_) => panic!("a token"),
    }
}
