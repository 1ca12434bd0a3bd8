//! Id tokens of any content, signed by nobody: for the checks that come before the signature's.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The audience that Entra's federated credentials expect.
pub(crate) const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Far beyond the life of any test: the end of the year 2286.
pub(crate) const LATER: u64 = 9_999_999_999;

/// A compact JWT with these claims.
pub(crate) fn jwt(claims: &Value) -> String {
    let [header, payload] = [&json!({"alg": "RS256", "kid": "nobody", "typ": "JWT"}), claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode("a signature by nobody"))
}

/// One that is in order as far as the workspace can see.
pub(crate) fn plausible(iss: &str, sub: &str) -> String {
    jwt(&json!({"iss": iss, "sub": sub, "aud": AUDIENCE, "exp": LATER}))
}
