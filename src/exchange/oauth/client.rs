//! How we are known to an authorization server: client authentication (RFC 6749, 2.3; RFC 7521, 4.2; RFC 8705).

use super::{assertion, file, form::Form};
use crate::{
    clock,
    config::{Client, ClientAuth},
    error::Result,
    http,
    secret::Secret,
};
use ring::digest::{Context, SHA256};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};
use url::Url;

/// A configured client.
pub(super) struct Identified {
    config: Client,
    plain: http::Client,
    /// The client with the certificate that was read last, and the digest of its files: with one of its own for each
    /// request no connection would be kept.
    certified: Mutex<Option<(Vec<u8>, http::Client)>>,
}

/// What one request of it needs.
pub(super) struct Request {
    /// The client to send it with.
    pub(super) http: http::Client,
    assertion: Option<Secret>,
}

impl Identified {
    pub(super) fn new(config: &Client, http: &http::Client) -> Self {
        Self { config: config.clone(), plain: http.clone(), certified: Mutex::default() }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.config.id.as_deref()
    }

    /// Opens a connection to `url` for the next request. Not with mutual TLS, where files come first.
    pub(super) async fn warm(&self, url: &Url) {
        if !matches!(self.config.auth, ClientAuth::Mtls { .. }) {
            self.plain.warm(url).await;
        }
    }

    /// Gets ready for one request. `audience` is the token endpoint, for whichever endpoint the request is (RFC 7523, 3).
    ///
    /// Errors: the files cannot be used (`Config`).
    pub(super) async fn request(&self, audience: &Url) -> Result<Request> {
        let plain = |assertion| Request { http: self.plain.clone(), assertion };
        Ok(match &self.config.auth {
            ClientAuth::None => plain(None),
            ClientAuth::PrivateKeyJwt { key_file } => {
                let key = file::read(key_file, "key_file").await?;
                let id = self.id().unwrap_or_default();
                plain(Some(assertion::sign(&key, id, audience.as_str(), clock::now())?))
            }
            ClientAuth::Mtls { certificate_file, key_file } => {
                Request { http: self.certified(certificate_file, key_file).await?, assertion: None }
            }
        })
    }

    /// The parameters by which `request` says who we are; they follow those of the request itself.
    pub(super) fn identify<'a>(&'a self, form: Form<'a>, request: &'a Request) -> Form<'a> {
        let form = form.maybe("client_id", self.id());
        match &request.assertion {
            Some(assertion) => form
                .with("client_assertion_type", assertion::JWT_BEARER)
                .secret("client_assertion", assertion.expose()),
            None => form,
        }
    }

    async fn certified(&self, certificate_file: &Path, key_file: &Path) -> Result<http::Client> {
        let (chain, key) = (
            file::read(certificate_file, "certificate_file").await?,
            file::read(key_file, "key_file").await?,
        );
        let mut digest = Context::new(&SHA256);
        // The length keeps the two apart.
        digest.update(&(chain.expose().len() as u64).to_be_bytes());
        digest.update(chain.expose().as_bytes());
        digest.update(key.expose().as_bytes());
        let digest = digest.finish().as_ref().to_vec();
        let mut certified = self.certified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, http)) = &*certified
            && *of == digest
        {
            return Ok(http.clone());
        }
        let http = self.plain.with_certificate(chain.expose(), &key)?;
        *certified = Some((digest, http.clone()));
        Ok(http)
    }
}
