//! Who uses the broker: client authentication by a signed assertion or by a client certificate.

use super::{Form, Refusal, signature};
use crate::{
    clock,
    emulator::{
        gateway::{Thumbprint, thumbprint},
        jwt,
    },
};
use serde_json::Value;
use std::{collections::HashMap, time::SystemTime};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion may not live longer from now on, in seconds: its id has to be remembered that long.
const LONGEST_ASSERTION: u64 = 3600;

/// A client that is registered at the broker.
#[derive(Clone, Debug)]
pub struct BrokerClient {
    /// Its `client_id`.
    pub id: String,
    /// How it proves who it is.
    pub authentication: ClientAuthentication,
    /// Whether it may exchange tokens. One that may not can still revoke its own.
    pub may_exchange: bool,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// `private_key_jwt` (RFC 7523, 3): an assertion signed with RS256, PS256 or ES256.
    PrivateKeyJwt {
        /// The PEM of the public key (`SubjectPublicKeyInfo`).
        public_key: String,
    },
    /// `self_signed_tls_client_auth` (RFC 8705, 2.2): the certificate of the connection.
    Tls {
        /// SHA-1 of the certificate's DER.
        thumbprint: Thumbprint,
    },
}

/// What a request brings to prove who sends it.
pub(super) struct Attempt<'a> {
    pub(super) form: &'a Form,
    /// The certificate of its connection, in DER.
    pub(super) certificate: Option<&'a [u8]>,
    /// The addresses that an assertion may be for.
    pub(super) endpoints: [String; 2],
}

/// The ids of assertions that have been used, until they expire.
#[derive(Default)]
pub(super) struct Replays(HashMap<(String, String), u64>);

impl Replays {
    /// Notes the use of an assertion that expires at `end`, both in seconds since the Unix epoch; whether it is the first.
    fn first_use(&mut self, client: &str, id: &str, end: u64, now: u64) -> bool {
        self.0.retain(|_, end| *end > now);
        self.0.insert((client.to_owned(), id.to_owned()), end).is_none()
    }
}

/// The client that an attempt proves.
pub(super) fn authenticate<'a>(
    clients: &'a [BrokerClient],
    attempt: &Attempt<'_>,
    replays: &mut Replays,
    now: SystemTime,
) -> Result<&'a BrokerClient, Refusal> {
    let named = |id: &str| {
        clients
            .iter()
            .find(|client| client.id == id)
            .ok_or_else(|| Refusal::invalid_client(format!("there is no client {id}")))
    };
    let Some(assertion) = attempt.form.get("client_assertion") else {
        let id = attempt.form.get("client_id").ok_or_else(|| {
            Refusal::invalid_client(
                "client authentication is required: client_assertion, or a client certificate",
            )
        })?;
        let client = named(id)?;
        let ClientAuthentication::Tls { thumbprint: wanted } = &client.authentication else {
            return Err(Refusal::invalid_client("this client must send a client_assertion"));
        };
        let presented = attempt.certificate.map(thumbprint);
        return match presented {
            Some(presented) if presented == *wanted => Ok(client),
            Some(_) => Err(Refusal::invalid_client("the client certificate is not this client's")),
            None => Err(Refusal::invalid_client("this client must present its client certificate in TLS")),
        };
    };
    if attempt.form.get("client_assertion_type") != Some(JWT_BEARER) {
        return Err(Refusal::invalid_request(format!("client_assertion_type must be {JWT_BEARER}")));
    }
    let refuse = |why: &str| Refusal::invalid_client(format!("the client_assertion {why}"));
    let parts = jwt::peek(assertion).map_err(|_| refuse("is no JWT"))?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let id = text(&parts.claims["sub"]).ok_or_else(|| refuse("has no sub"))?;
    if text(&parts.claims["iss"]).as_ref() != Some(&id) {
        return Err(refuse("must have the client_id as both iss and sub"));
    }
    if attempt.form.get("client_id").is_some_and(|given| given != id) {
        return Err(refuse("is of another client than client_id"));
    }
    let client = named(&id)?;
    let ClientAuthentication::PrivateKeyJwt { public_key } = &client.authentication else {
        return Err(Refusal::invalid_client("this client must present its client certificate in TLS"));
    };
    let algorithm = text(&parts.header["alg"]).unwrap_or_default();
    if !signature::holds(assertion, &algorithm, public_key) {
        return Err(refuse("has a wrong signature"));
    }
    let (assertion_id, end) =
        check_claims(&parts.claims, &attempt.endpoints, clock::unix(now)).map_err(refuse)?;
    if !replays.first_use(&client.id, assertion_id, end, clock::unix(now)) {
        return Err(refuse("has been used before"));
    }
    Ok(client)
}

/// Audience, times and id (RFC 7523, 3) of an assertion whose signature holds; gives the id and the end. Error: a
/// predicate.
fn check_claims<'a>(
    claims: &'a Value,
    endpoints: &[String],
    now: u64,
) -> Result<(&'a str, u64), &'static str> {
    let is_ours = |audience: &Value| endpoints.iter().any(|endpoint| audience == endpoint.as_str());
    let for_us = match &claims["aud"] {
        Value::Array(list) => list.iter().any(is_ours),
        one => is_ours(one),
    };
    if !for_us {
        return Err("is not for the token endpoint");
    }
    let end = claims["exp"].as_u64().ok_or("has no exp")?;
    if end <= now {
        return Err("has expired");
    }
    if end > now + LONGEST_ASSERTION {
        return Err("lives too long");
    }
    let early = |name: &str| !claims[name].is_null() && claims[name].as_u64().is_none_or(|start| start > now);
    if early("nbf") || early("iat") {
        return Err("is not yet valid");
    }
    let id = claims["jti"].as_str().filter(|id| !id.is_empty()).ok_or("has no jti")?;
    Ok((id, end))
}
