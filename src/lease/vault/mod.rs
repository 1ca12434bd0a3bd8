//! One Key Vault, through Microsoft's clients for secrets and certificates.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | two calls: get a secret, get a certificate |
//! | `credential.rs` | the token for the vault, and for nobody else |
//! | `refusal.rs` | what the vault's refusals mean (pure) |
//! | `term.rs` | whether the vault lets a value be used, and for how long (pure) |
//! | `version.rs` | which version was handed out last |
//!
//! The transport is ours: it follows no redirect, so a token reaches the vault's own host or none, and it has the
//! deadline. Retries are off: when to try again is the lifecycle's business. The SDK sends its first request without a
//! token and takes the scope from the vault's challenge; `credential.rs` says which scopes are believed.
//!
//! The SDK's copies of a value (its JSON and the buffers of the connection) are not overwritten when they are freed;
//! ours are.

mod credential;
mod refusal;
pub mod term;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
pub mod version;

use crate::{
    clock,
    config::credential::InVault,
    error::{Class, Error, Result},
    exchange::Exchange,
    http::{self, transport},
    secret::Secret,
};
use azure_core::{
    error::ErrorKind,
    http::{RawResponse, Response, headers::RETRY_AFTER},
};
use azure_security_keyvault_certificates::{
    CertificateClient, CertificateClientOptions, ResourceExt as _,
    models::{CertificateAttributes, CertificateClientGetCertificateOptions},
};
use azure_security_keyvault_secrets::{
    ResourceExt as _, SecretClient, SecretClientOptions,
    models::{SecretAttributes, SecretClientGetSecretOptions},
};
use credential::Credential;
use refusal::Answer;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::Arc,
};
use term::Attributes;
use url::Url;

/// One vault.
pub struct Vault {
    secrets: SecretClient,
    certificates: CertificateClient,
    credential: Arc<Credential>,
    url: Url,
}

/// The vaults of a configuration. Credentials in the same vault, by the same exchange, share its client and its token.
#[derive(Default)]
pub struct Vaults(BTreeMap<(String, Url), Arc<Vault>>);

impl Vaults {
    /// The vault of `place`.
    pub fn at(
        &mut self,
        place: &InVault,
        exchange: &Arc<dyn Exchange>,
        http: &http::Client,
    ) -> Result<Arc<Vault>> {
        Ok(match self.0.entry((place.exchange.clone(), place.vault.clone())) {
            Entry::Occupied(vault) => Arc::clone(vault.get()),
            Entry::Vacant(free) => {
                Arc::clone(free.insert(Arc::new(Vault::new(&place.vault, exchange, http)?)))
            }
        })
    }
}

/// What is asked of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A secret.
    Secret,
    /// A certificate.
    Certificate,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        })
    }
}

/// A secret as the vault has it.
pub struct Stored {
    /// Its value; may be empty.
    pub value: Secret,
    /// Which version it is: 32 hexadecimal digits.
    pub version: String,
    /// What its owner says that the value is, such as `application/x-pkcs12`.
    pub content_type: Option<String>,
    /// Whether the vault keeps it for a certificate.
    pub managed: bool,
    /// When it may be used.
    pub attributes: Attributes,
}

/// A certificate as the vault has it, without its private key.
pub struct Public {
    /// Which version it is: 32 hexadecimal digits.
    pub version: String,
    /// The certificate, in DER.
    pub der: Option<Vec<u8>>,
    /// Whether the private key can leave the vault.
    pub exportable: Option<bool>,
    /// When it may be used.
    pub attributes: Attributes,
}

impl Vault {
    /// For the vault at `url`, such as `https://contoso.vault.azure.net/`. Connects nowhere yet.
    pub fn new(url: &Url, exchange: &Arc<dyn Exchange>, http: &http::Client) -> Result<Self> {
        let credential = Arc::new(Credential::new(url, exchange));
        let client_options = transport::options(http.transport());
        // Only a loopback address cannot be below the domain that the challenge names.
        let verify_challenge_resource = Some(!credential::is_loopback(url));
        let unusable = |error: azure_core::Error| {
            Error::new(Class::Config, format!("{url} cannot be used as a vault")).why(error.to_string())
        };
        let secrets = SecretClientOptions {
            client_options: client_options.clone(),
            verify_challenge_resource,
            ..SecretClientOptions::default()
        };
        let certificates = CertificateClientOptions {
            client_options,
            verify_challenge_resource,
            ..CertificateClientOptions::default()
        };
        let given = || Arc::clone(&credential) as Arc<dyn azure_core::credentials::TokenCredential>;
        Ok(Self {
            secrets: SecretClient::new(url.as_str(), given(), Some(secrets)).map_err(unusable)?,
            certificates: CertificateClient::new(url.as_str(), given(), Some(certificates))
                .map_err(unusable)?,
            credential,
            url: url.clone(),
        })
    }

    /// The secret `name`: that version, else the current one.
    pub async fn secret(&self, name: &str, version: Option<&str>) -> Result<Stored> {
        let model = self
            .get(Object::Secret, name, || {
                let secret_version = version.map(str::to_owned);
                let options = SecretClientGetSecretOptions { secret_version, ..Default::default() };
                self.secrets.get_secret(name, Some(options))
            })
            .await?;
        let nonsense = || self.nonsense(Object::Secret, name);
        let version = model.resource_id().ok().and_then(|id| id.version);
        Ok(Stored {
            version: version.filter(|version| is_version(version)).ok_or_else(nonsense)?,
            value: Secret::new(model.value.ok_or_else(nonsense)?),
            content_type: model.content_type,
            managed: model.managed == Some(true),
            attributes: model.attributes.as_ref().map(of_secret).unwrap_or_default(),
        })
    }

    /// The certificate `name`: that version, else the current one.
    pub async fn certificate(&self, name: &str, version: Option<&str>) -> Result<Public> {
        let model = self
            .get(Object::Certificate, name, || {
                let certificate_version = version.map(str::to_owned);
                let options =
                    CertificateClientGetCertificateOptions { certificate_version, ..Default::default() };
                self.certificates.get_certificate(name, Some(options))
            })
            .await?;
        let version = model.resource_id().ok().and_then(|id| id.version);
        let version = version.filter(|version| is_version(version));
        let key = model.policy.as_ref().and_then(|policy| policy.key_properties.as_ref());
        Ok(Public {
            version: version.ok_or_else(|| self.nonsense(Object::Certificate, name))?,
            exportable: key.and_then(|key| key.exportable),
            der: model.cer,
            attributes: model.attributes.as_ref().map(of_certificate).unwrap_or_default(),
        })
    }

    /// One GET, and a second one with a fresh token where the first was refused.
    async fn get<T, F>(&self, object: Object, name: &str, call: impl Fn() -> F) -> Result<T>
    where
        T: DeserializeOwned,
        F: Future<Output = azure_core::Result<Response<T>>>,
    {
        let mut tokens = 1..=2;
        loop {
            let refused = match call().await {
                // The reason would quote the answer, and the answer is the secret.
                Ok(response) => return response.into_model().map_err(|_| self.nonsense(object, name)),
                Err(error) => error,
            };
            tokens.next();
            // A cached token may have been cut short. A second one that is refused too will not get better.
            if refused.http_status().is_some_and(|status| u16::from(status) == 401) && !tokens.is_empty() {
                self.credential.discard().await;
                continue;
            }
            return Err(self.failure(object, name, &refused));
        }
    }

    fn failure(&self, object: Object, name: &str, error: &azure_core::Error) -> Error {
        let asked = refusal::Asked { object, name, vault: &self.url };
        // Our own transport's and our own exchange's errors say it best.
        if let Some(ours) = transport::from_azure(error) {
            return refusal::unreached(&asked, ours);
        }
        match error.kind() {
            ErrorKind::HttpResponse { status, raw_response, .. } => {
                let raw = raw_response.as_deref();
                let answer = Answer {
                    status: (*status).into(),
                    retry_after: raw.and_then(|raw| raw.headers().get_optional_str(&RETRY_AFTER)),
                    body: raw.map(RawResponse::body).map(AsRef::as_ref).unwrap_or_default(),
                };
                refusal::read(&asked, &answer, clock::now())
            }
            _ => refusal::unasked(&asked, &error.to_string()),
        }
    }

    fn nonsense(&self, object: Object, name: &str) -> Error {
        refusal::nonsense(&refusal::Asked { object, name, vault: &self.url })
    }
}

/// What goes into a path must not change the path.
fn is_version(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn of_secret(model: &SecretAttributes) -> Attributes {
    Attributes {
        enabled: model.enabled != Some(false),
        not_before: model.not_before.map(Into::into),
        expires: model.expires.map(Into::into),
    }
}

fn of_certificate(model: &CertificateAttributes) -> Attributes {
    Attributes {
        enabled: model.enabled != Some(false),
        not_before: model.not_before.map(Into::into),
        expires: model.expires.map(Into::into),
    }
}
