//! One issued value of a credential: the secret, its expiry, and how to release it.
//!
//! A new kind is one file with a [`Lessor`] and one line in [`lessors`].

pub mod access_token;
pub mod announce;
pub mod arm;
pub mod arm_error;
pub mod bearer;
pub mod brokered;
#[cfg(test)]
mod fake;
pub mod id_token;
pub mod probe;
pub mod random;
pub mod subscription_key;
pub mod vault;
pub mod vault_certificate;
pub mod vault_secret;
pub mod verdict;
#[cfg(test)]
mod wire_tests;
#[cfg(test)]
mod wiring_tests;

use crate::{
    config::{Config, Credential, Method, Target, credential::InVault},
    error::{Class, Error, Result},
    exchange::{Exchange, Identities},
    http,
    secret::Secret,
};
use access_token::AccessToken;
use announce::Announce;
use arm::Arm;
use async_trait::async_trait;
use brokered::Brokered;
use id_token::IdToken;
use probe::{Presented, Probe};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::SystemTime,
};
use subscription_key::{SubscriptionKey, Wanted};
use vault::Vaults;
use vault_certificate::VaultCertificate;
use vault_secret::VaultSecret;

/// One issued value.
pub struct Lease {
    /// What the workspace gets.
    pub value: Value,
    /// When it was issued.
    pub issued_at: SystemTime,
    /// After this it must not be published.
    pub expires_at: SystemTime,
    /// When the issuer wants it renewed, where it says so.
    pub refresh_at: Option<SystemTime>,
}

impl Lease {
    /// The text, where it is one.
    pub fn text(&self) -> Option<&Secret> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Files(_) => None,
        }
    }

    /// Shows the gateway the text, where there is a probe and a text to show.
    async fn show(&self, probe: Option<&Probe>, presented: Presented) -> Result<()> {
        match (probe, self.text()) {
            (Some(probe), Some(text)) => probe.check(presented, text).await,
            _ => Ok(()),
        }
    }
}

/// What the workspace gets.
pub enum Value {
    /// A text, for the credential's variable. A sink that cannot write it there as it stands puts it into a file.
    Text(Secret),
    /// Files that belong together, such as a certificate and its key.
    Files(Vec<Part>),
}

/// One file of a value.
pub struct Part {
    /// What distinguishes it from the others: `crt` makes the file `NAME.crt` and the variable `ENV_CRT_FILE`.
    pub extension: &'static str,
    /// Its content.
    pub content: Secret,
}

/// How a credential ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The service has forgotten it: the value is refused from now on.
    Revoked,
    /// It cannot be revoked and merely expires.
    Expires,
    /// It is not ours to end: the vault keeps it, and only our copy is gone.
    Kept,
    /// There was nothing to release.
    Nothing,
}

/// What issues the leases of one credential. The lifecycle calls one method at a time for each credential.
///
/// Methods take `&self`, so that a call that is cut short (a signal during a renewal) leaves the record of what was
/// minted with the lessor, and [`Lessor::release`] still finds it.
#[async_trait]
pub trait Lessor: Send + Sync {
    /// Issues the next value. The one before it stays good.
    async fn issue(&self) -> Result<Lease>;

    /// Asks the gateway whether it accepts `lease`. `Class::TryAgain` means: not yet; `Class::Void`: never again.
    async fn probe(&self, lease: &Lease) -> Result<()>;

    /// Ends the value before the current one, the grace period being over. Does nothing where that is impossible.
    async fn retire(&self) -> Result<()> {
        Ok(())
    }

    /// Whether [`Lessor::retire`] does anything.
    fn retires(&self) -> bool {
        false
    }

    /// Whether there may be something that [`Lessor::release`] ends: until then, a call of [`Lessor::issue`] under way can
    /// be dropped and leaves nothing behind.
    fn has_begun(&self) -> bool {
        true
    }

    /// Takes over what another process has announced as [`Mint::Subscription`](announce::Mint), so that
    /// [`Lessor::release`] ends that.
    fn adopt(&self, _sid: &str) {}

    /// Ends everything this lessor has minted. Repeatable: a second call continues where the first one failed.
    async fn release(&self) -> Result<Released>;
}

/// The lessors of all credentials of `config`, in its order. Those that go to the same APIM service by the same exchange
/// share one client for ARM, so one token for it; so do those in the same vault. What only a call at its service ends is
/// announced first, at what `announce` gives for the credential.
pub fn lessors(
    config: &Config,
    identities: &Identities,
    exchanges: &BTreeMap<String, Arc<dyn Exchange>>,
    http: &http::Client,
    announce: impl Fn(&Credential) -> Arc<dyn Announce>,
) -> Result<Vec<Arc<dyn Lessor>>> {
    let mut arms = BTreeMap::new();
    let mut vaults = Vaults::default();
    let mut lessors: Vec<Arc<dyn Lessor>> = Vec::new();
    for credential in &config.credentials {
        // `validate` accepts no name that is not there.
        let gateway = &config.gateways[&credential.gateway];
        let probe = credential.probe.as_deref().map(|path| Probe::new(&gateway.url, path, http.clone()));
        let exchange = |name: &str| Arc::clone(&exchanges[name]);
        let mut vault = |place: &InVault| vaults.at(place, &exchange(&place.exchange), http);
        lessors.push(match &credential.target {
            // Whatever can be revoked is, so such a token is a brokered one by another name.
            Target::AccessToken { exchange: name, scope } if revokes(config, name) => {
                let lessor = Brokered::new(exchange(name), Some(scope), true, probe);
                Arc::new(lessor.announced(announce(credential)))
            }
            Target::AccessToken { exchange: name, scope } => {
                Arc::new(AccessToken::new(exchange(name), scope, probe))
            }
            Target::Brokered { exchange: name, scope } => {
                let lessor = Brokered::new(exchange(name), scope.as_deref(), revokes(config, name), probe);
                Arc::new(lessor.announced(announce(credential)))
            }
            Target::IdToken { identity, audience } => {
                Arc::new(IdToken::new(Arc::clone(&identities[identity]), audience, probe))
            }
            Target::SubscriptionKey { exchange: name, scope } => {
                let arm = match arms.entry((name, &credential.gateway)) {
                    Entry::Occupied(arm) => Arc::clone(arm.get()),
                    Entry::Vacant(place) => {
                        let service =
                            gateway.service.as_deref().ok_or_else(|| no_service(&credential.name))?;
                        let entra = config.exchanges[name].method.entra();
                        let arm = &entra.ok_or_else(|| no_service(&credential.name))?.arm;
                        Arc::clone(place.insert(Arc::new(Arm::new(
                            arm,
                            service,
                            exchange(name),
                            http.clone(),
                        ))))
                    }
                };
                let wanted = Wanted {
                    scope: scope.clone(),
                    name: credential.name.clone(),
                    workspace: config.workspace.clone(),
                    lifetime: credential.lifetime,
                };
                Arc::new(SubscriptionKey::new(arm, probe, wanted).announced(announce(credential)))
            }
            Target::VaultSecret(place) => {
                Arc::new(VaultSecret::new(vault(place)?, place, credential.lifetime))
            }
            Target::VaultCertificate(place) => {
                Arc::new(VaultCertificate::new(vault(place)?, place, credential.lifetime, probe))
            }
        });
    }
    Ok(lessors)
}

/// Whether the exchange takes back what it has issued.
fn revokes(config: &Config, exchange: &str) -> bool {
    matches!(&config.exchanges[exchange].method, Method::TokenExchange(method) if method.revocation_endpoint.is_some())
}

fn no_service(credential: &str) -> Error {
    Error::new(Class::Config, format!("credentials.{credential} needs gateway.service"))
        .why("a subscription key is created at the APIM service's management API, with a token of Entra's")
        .fix("set gateway.service to the resource id: az apim show -n NAME -g GROUP --query id")
}
