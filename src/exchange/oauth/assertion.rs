//! `private_key_jwt`: a client assertion that we sign ourselves (RFC 7523, 2.2 and 3; RFC 7515). Pure, but for the random
//! source.

use crate::{
    clock,
    error::{Class, Error, Result},
    secret::Secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// `client_assertion_type` of a JWT (RFC 7523, 2.2).
pub(in crate::exchange) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion serves one request. This leaves time for that and for clocks that differ.
const LIFE: Duration = Duration::from_mins(2);
/// `nbf` lies this far back, for servers whose clock is behind.
const LEEWAY: Duration = Duration::from_secs(30);

/// A private key, with the algorithm that goes with it.
enum Key {
    /// `RS256`.
    Rsa(RsaKeyPair),
    /// `ES256`.
    P256(EcdsaKeyPair),
}

impl Key {
    /// The first private key in `pem`: RSA (PKCS#8 or PKCS#1, from 2048 bits) or P-256 (PKCS#8).
    fn read(pem: &Secret) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(Class::Config, "the client's private key cannot be used").why(why).fix(
                "key_file is PEM with an RSA key of at least 2048 bits or a P-256 key; \
                 to convert: openssl pkcs8 -topk8 -nodes -in OLD -out NEW",
            )
        };
        // The reasons of the libraries say nothing of the key.
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes());
        match der.map_err(|_| bad("there is no unencrypted private key in key_file"))? {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let p256 = || {
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
                        .map(Self::P256)
                };
                match RsaKeyPair::from_pkcs8(der) {
                    Ok(key) => Ok(Self::Rsa(key)),
                    // What it is wrong with as an RSA key is of interest only if it is one.
                    Err(rsa) => p256().map_err(|p256| match rsa.to_string().as_str() {
                        "WrongAlgorithm" => bad(&p256.to_string()),
                        why => bad(why),
                    }),
                }
            }
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der())
                .map(Self::Rsa)
                .map_err(|error| bad(&error.to_string())),
            _ => Err(bad("it is not PKCS#8")),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            Self::P256(key) => Ok(key.sign(&random, message)?.as_ref().to_vec()),
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// A fresh assertion of the client `client_id` for `audience`, the token endpoint, signed with the key in `pem`.
///
/// It has no `kid`, which the configuration does not know: a server finds the key by the client and the algorithm.
/// Errors: the key cannot be used (`Config`).
pub(super) fn sign(pem: &Secret, client_id: &str, audience: &str, now: SystemTime) -> Result<Secret> {
    let key = Key::read(pem)?;
    let failed = |why: String| Error::new(Class::Internal, "the client assertion cannot be made").why(why);
    // Servers remember it, to see an assertion that comes twice.
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| failed(error.to_string()))?;
    let claims = Claims {
        iss: client_id,
        sub: client_id,
        aud: audience,
        jti: URL_SAFE_NO_PAD.encode(id),
        iat: clock::unix(now),
        nbf: clock::unix(now.checked_sub(LEEWAY).unwrap_or(SystemTime::UNIX_EPOCH)),
        exp: clock::unix(now + LIFE),
    };
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, key.algorithm());
    let claims = serde_json::to_vec(&claims).map_err(|error| failed(error.to_string()))?;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(message.as_bytes()).map_err(|error| failed(error.to_string()))?;
    Ok(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests;
