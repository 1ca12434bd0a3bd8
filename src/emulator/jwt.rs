//! RS256 tokens: signing keys, JWKS, signature checks. Used by the issuer, Entra, ARM and the gateway.

use super::rsa;
use crate::error::{Class, Error, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest, rand,
    rsa::PublicKeyComponents,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};

/// An RSA key pair with its key id.
pub struct SigningKey {
    pair: RsaKeyPair,
    kid: String,
    jwks: Value,
}

impl SigningKey {
    /// Draws a new 2048-bit key, on two threads; `kid` is its RFC 7638 thumbprint.
    pub fn generate() -> Result<Self> {
        let (pair, modulus) = rsa::generate()?;
        let n = URL_SAFE_NO_PAD.encode(modulus);
        let e = URL_SAFE_NO_PAD.encode(&rsa::EXPONENT.to_be_bytes()[1..]);
        // The members in this order and without spaces are what RFC 7638 hashes.
        let thumbprint =
            digest::digest(&digest::SHA256, format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let jwks =
            json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e}]});
        Ok(Self { pair, kid, jwks })
    }

    /// A compact JWS (RFC 7515) of `claims`, RS256.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": self.kid});
        let mut token = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The RSA-SHA256 signature (PKCS #1 v1.5) of any bytes, for formats other than JWS.
    pub(super) fn signature(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut signature)
            .map_err(|_| Error::new(Class::Internal, "Cannot sign a token").why("ring refused the key"))?;
        Ok(signature)
    }

    /// Modulus and exponent, big-endian.
    pub(super) fn public_key(&self) -> PublicKeyComponents<Vec<u8>> {
        self.pair.public().into()
    }

    /// The public half as a JWK set (RFC 7517).
    pub fn jwks(&self) -> &Value {
        &self.jwks
    }
}

/// A token whose signature holds. Nothing else is checked yet.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

/// Why a token's signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a JWT at all.
    Malformed,
    /// Signed in another way than RS256.
    Algorithm,
    /// Its `kid` is not in the set, or it has none.
    UnknownKey,
    /// The signature is wrong.
    Signature,
}

/// Reads header and claims without checking anything.
pub fn peek(token: &str) -> Result<Verified, Invalid> {
    Parts::of(token)?.read()
}

/// Checks the signature against a JWK set.
pub fn verify(token: &str, jwks: &Value) -> Result<Verified, Invalid> {
    let parts = Parts::of(token)?;
    let read = parts.read()?;
    if read.header["alg"] != "RS256" {
        return Err(Invalid::Algorithm);
    }
    let kid = read.header["kid"].as_str().ok_or(Invalid::UnknownKey)?;
    let key = jwks["keys"]
        .as_array()
        .and_then(|keys| keys.iter().find(|key| key["kid"] == kid && key["kty"] == "RSA"))
        .ok_or(Invalid::UnknownKey)?;
    let number =
        |name: &str| decode(key[name].as_str().ok_or(Invalid::UnknownKey)?).map_err(|_| Invalid::UnknownKey);
    PublicKeyComponents { n: number("n")?, e: number("e")? }
        .verify(&RSA_PKCS1_2048_8192_SHA256, parts.signed.as_bytes(), &decode(parts.signature)?)
        .map_err(|_| Invalid::Signature)?;
    Ok(read)
}

/// A compact JWS, cut but not decoded.
struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, Invalid> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
        // A third dot would end up in `claims`, where base64 has no place for it.
        let (header, claims) = signed.split_once('.').ok_or(Invalid::Malformed)?;
        Ok(Self { signed, header, claims, signature })
    }

    fn read(&self) -> Result<Verified, Invalid> {
        let object = |segment| {
            let value: Value = serde_json::from_slice(&decode(segment)?).map_err(|_| Invalid::Malformed)?;
            value.is_object().then_some(value).ok_or(Invalid::Malformed)
        };
        Ok(Verified { header: object(self.header)?, claims: object(self.claims)? })
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, Invalid> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Invalid::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (SigningKey, String) {
        let key = SigningKey::generate().unwrap();
        let token = key.sign(&json!({"sub": "ws", "exp": 7})).unwrap();
        (key, token)
    }

    fn with_header(token: &str, header: &Value) -> String {
        let (_, rest) = token.split_once('.').unwrap();
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
    }

    #[test]
    fn what_is_signed_verifies() {
        let (key, token) = signed();
        let verified = verify(&token, key.jwks()).unwrap();
        assert_eq!(verified.claims, json!({"sub": "ws", "exp": 7}));
        assert_eq!(verified.header["kid"], key.jwks()["keys"][0]["kid"]);
        assert_eq!(peek(&token).unwrap().claims, verified.claims);
    }

    #[test]
    fn what_was_changed_does_not() {
        let (key, token) = signed();
        let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("three segments")
        };
        let other = URL_SAFE_NO_PAD.encode(json!({"sub": "someone else", "exp": 7}).to_string());
        let forged = format!("{header}.{other}.{signature}");
        assert_eq!(verify(&forged, key.jwks()).unwrap_err(), Invalid::Signature);
        assert_eq!(verify(&format!("{header}.{other}."), key.jwks()).unwrap_err(), Invalid::Signature);
    }

    #[test]
    fn another_key_or_way_of_signing_is_refused() {
        let (key, token) = signed();
        let (stranger, _) = signed();
        assert_eq!(verify(&token, stranger.jwks()).unwrap_err(), Invalid::UnknownKey);

        let kid = &key.jwks()["keys"][0]["kid"];
        for alg in ["none", "HS256", "RS512"] {
            let token = with_header(&token, &json!({"alg": alg, "kid": kid}));
            assert_eq!(verify(&token, key.jwks()).unwrap_err(), Invalid::Algorithm);
        }
        let anonymous = with_header(&token, &json!({"alg": "RS256"}));
        assert_eq!(verify(&anonymous, key.jwks()).unwrap_err(), Invalid::UnknownKey);
        // The right name with the wrong key behind it.
        let mut renamed = stranger.jwks().clone();
        renamed["keys"][0]["kid"] = kid.clone();
        assert_eq!(verify(&token, &renamed).unwrap_err(), Invalid::Signature);
    }

    #[test]
    fn what_is_no_jwt_is_malformed() {
        let (_, token) = signed();
        let array = format!("{}.W10.x", token.split('.').next().unwrap());
        for bad in [
            "",
            "a",
            "a.b",
            "..",
            "a.b.c",
            "a.b.c.d",
            &format!("{token}.x"),
            &token.replacen('.', "=.", 1),
            &array,
        ] {
            assert_eq!(peek(bad).unwrap_err(), Invalid::Malformed, "{bad}");
        }
    }
}
