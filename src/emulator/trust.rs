//! Whom Entra trusts: federated credentials, and the keys of their issuers, fetched as Entra fetches them.

use super::jwt::{self, Invalid, Verified};
use crate::{
    error::{Class, Error, Result},
    http::{Client, Options},
};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// A federated credential of the workspace application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The issuer, exactly as in the tokens' `iss`.
    pub url: String,
    /// The subject, exactly; `None` takes any, for foreign issuers whose subjects are not known beforehand.
    pub subject: Option<String>,
}

/// Why an assertion's signature does not convince.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// Its discovery document or its keys cannot be had.
    Unreachable,
    /// The issuer has no such key.
    UnknownKey,
    /// Not a JWT.
    Malformed,
    /// Signed by somebody else, or not with RS256.
    Signature,
}

/// How issuers' documents are had.
#[async_trait]
pub(super) trait Fetch: Send + Sync {
    /// The body of a 200.
    async fn get(&self, url: &str) -> Result<Bytes>;
}

/// The federated credentials, and the keys seen so far.
pub(super) struct Trust {
    pub(super) credentials: Vec<TrustedIssuer>,
    fetch: Box<dyn Fetch>,
    keys: Mutex<HashMap<String, Value>>,
}

impl Trust {
    pub(super) fn new(credentials: Vec<TrustedIssuer>, fetch: Box<dyn Fetch>) -> Self {
        Self { credentials, fetch, keys: Mutex::default() }
    }

    /// Checks a token's signature against `issuer`'s keys. They are fetched at the first use, and again for a key id
    /// that is not among them, because issuers change keys.
    pub(super) async fn verify(&self, token: &str, issuer: &str) -> Result<Verified, Distrust> {
        let known = self.lock().get(issuer).cloned();
        if let Some(keys) = known {
            match jwt::verify(token, &keys) {
                Err(Invalid::UnknownKey) => {}
                other => return other.map_err(distrust),
            }
        }
        let keys = self.fetch_keys(issuer).await.map_err(|error| {
            tracing::warn!(issuer, %error, "cannot get an issuer's keys");
            Distrust::Unreachable
        })?;
        let verified = jwt::verify(token, &keys).map_err(distrust);
        self.lock().insert(issuer.to_owned(), keys);
        verified
    }

    /// `OpenID` Connect Discovery 1.0, section 4: the document must name the very issuer it was asked of.
    async fn fetch_keys(&self, issuer: &str) -> Result<Value> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let document = self.json(&format!("{base}/.well-known/openid-configuration")).await?;
        if document["issuer"] != issuer {
            return Err(unusable(issuer, "its discovery document names another issuer"));
        }
        let jwks = document["jwks_uri"].as_str().ok_or_else(|| unusable(issuer, "no jwks_uri"))?;
        let keys = self.json(jwks).await?;
        if !keys["keys"].is_array() {
            return Err(unusable(issuer, "what its jwks_uri holds is not a JWK set"));
        }
        Ok(keys)
    }

    async fn json(&self, url: &str) -> Result<Value> {
        let body = self.fetch.get(url).await?;
        serde_json::from_slice(&body).map_err(|error| unusable(url, &format!("not JSON: {error}")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Value>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn distrust(invalid: Invalid) -> Distrust {
    match invalid {
        Invalid::Malformed => Distrust::Malformed,
        Invalid::UnknownKey => Distrust::UnknownKey,
        Invalid::Algorithm | Invalid::Signature => Distrust::Signature,
    }
}

fn unusable(what: &str, why: &str) -> Error {
    Error::new(Class::Unavailable, format!("Cannot use {what}")).why(why)
}

/// Over the network, with the product's own client, trusting our own authority too.
pub(super) struct Network {
    ca_file: PathBuf,
    /// Made at the first use: reading the system's roots takes longer than the rest of the emulator's start.
    client: OnceLock<Client>,
}

impl Network {
    pub(super) fn new(ca_file: PathBuf) -> Self {
        Self { ca_file, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let options = Options {
            ca_file: Some(self.ca_file.clone()),
            timeout: Duration::from_secs(10),
            ..Options::default()
        };
        let made = Client::new(&options)?;
        Ok(self.client.get_or_init(|| made))
    }
}

#[async_trait]
impl Fetch for Network {
    async fn get(&self, url: &str) -> Result<Bytes> {
        let request = http::Request::get(url)
            .header("Accept", "application/json")
            .body(Bytes::new())
            .map_err(|error| unusable(url, &error.to_string()))?;
        let response = self.client()?.send(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(unusable(url, &format!("it answered {}", response.status())));
        }
        Ok(response.into_body())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::emulator::jwt::SigningKey;
    use serde_json::json;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    /// Documents by address; counts what is asked for.
    pub(in crate::emulator) struct Shelf {
        pub(in crate::emulator) documents: Arc<Mutex<HashMap<String, Value>>>,
        pub(in crate::emulator) asked: Arc<AtomicUsize>,
    }

    impl Shelf {
        pub(in crate::emulator) fn with(issuer: &str, keys: &SigningKey) -> Self {
            let documents = HashMap::from([
                (
                    format!("{issuer}/.well-known/openid-configuration"),
                    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}),
                ),
                (format!("{issuer}/keys"), keys.jwks().clone()),
            ]);
            Self { documents: Arc::new(Mutex::new(documents)), asked: Arc::default() }
        }
    }

    #[async_trait]
    impl Fetch for Shelf {
        async fn get(&self, url: &str) -> Result<Bytes> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let document = self.documents.lock().unwrap().get(url).map(ToString::to_string);
            document.map(Bytes::from).ok_or_else(|| unusable(url, "not there"))
        }
    }

    const ISSUER: &str = "https://issuer.example";

    #[tokio::test]
    async fn keys_are_kept_until_an_unknown_one_comes() {
        let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let shelf = Shelf::with(ISSUER, &old);
        let (documents, asked) = (shelf.documents.clone(), shelf.asked.clone());
        let trust = Trust::new(Vec::new(), Box::new(shelf));
        let token = old.sign(&json!({})).unwrap();
        for _ in 0..2 {
            trust.verify(&token, ISSUER).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2, "one discovery, one key set");

        let token = new.sign(&json!({})).unwrap();
        assert_eq!(trust.verify(&token, ISSUER).await.unwrap_err(), Distrust::UnknownKey);
        documents.lock().unwrap().insert(format!("{ISSUER}/keys"), new.jwks().clone());
        trust.verify(&token, ISSUER).await.unwrap();
    }

    #[tokio::test]
    async fn a_document_of_another_issuer_is_refused() {
        let keys = SigningKey::generate().unwrap();
        let shelf = Shelf::with(ISSUER, &keys);
        let discovery = format!("{ISSUER}/.well-known/openid-configuration");
        shelf.documents.lock().unwrap().get_mut(&discovery).unwrap()["issuer"] =
            json!("https://other.example");
        let trust = Trust::new(Vec::new(), Box::new(shelf));
        let token = keys.sign(&json!({})).unwrap();
        assert_eq!(trust.verify(&token, ISSUER).await.unwrap_err(), Distrust::Unreachable);
    }
}
