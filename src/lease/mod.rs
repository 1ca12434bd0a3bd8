//! One issued value of a credential: the secret, its expiry, and how to release it.
//!
//! A new kind is one file with a [`Lessor`] and one line in [`lessors`].

pub mod access_token;
pub mod arm;
pub mod arm_error;
pub mod bearer;
#[cfg(test)]
mod fake;
pub mod probe;
pub mod random;
pub mod subscription_key;
pub mod verdict;
#[cfg(test)]
mod wire_tests;

use crate::{
    config::{Config, Credential, Kind},
    error::{Class, Error, Result},
    exchange::Exchange,
    http,
    secret::Secret,
};
use access_token::AccessToken;
use arm::Arm;
use async_trait::async_trait;
use probe::Probe;
use std::{sync::Arc, time::SystemTime};
use subscription_key::SubscriptionKey;

/// One issued value.
pub struct Lease {
    /// What the workspace gets.
    pub secret: Secret,
    /// When it was issued.
    pub issued_at: SystemTime,
    /// After this it must not be published.
    pub expires_at: SystemTime,
    /// When the issuer wants it renewed, where it says so.
    pub refresh_at: Option<SystemTime>,
}

/// How a credential ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The service has forgotten it: the value is refused from now on.
    Revoked,
    /// It cannot be revoked and merely expires.
    Expires,
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
    async fn retire(&self) -> Result<()>;

    /// Whether [`Lessor::retire`] does anything.
    fn retires(&self) -> bool;

    /// Ends everything this lessor has minted. Repeatable: a second call continues where the first one failed.
    async fn release(&self) -> Result<Released>;
}

/// The lessors of all credentials of `config`, in its order. They share one client for ARM, so one token for it.
///
/// Errors: a `subscription-key` without `gateway.service` (`Config`).
pub fn lessors(
    config: &Config,
    exchange: &Arc<dyn Exchange>,
    http: &http::Client,
) -> Result<Vec<Arc<dyn Lessor>>> {
    let arm = config.gateway.service.as_deref().map(|service| {
        let exchange = Arc::clone(exchange);
        Arc::new(Arm::new(&config.arm, service, exchange, http.clone()))
    });
    let lessor = |credential: &Credential| -> Result<Arc<dyn Lessor>> {
        let path = credential.probe.as_deref().or(config.gateway.probe.as_deref());
        let probe = path.map(|path| Probe::new(&config.gateway.url, path, http.clone()));
        Ok(match credential.kind {
            Kind::AccessToken => Arc::new(AccessToken::new(Arc::clone(exchange), &credential.scope, probe)),
            Kind::SubscriptionKey => {
                let arm = arm.as_ref().map(Arc::clone).ok_or_else(|| no_service(&credential.name))?;
                Arc::new(SubscriptionKey::new(arm, probe, credential, &config.workspace))
            }
        })
    };
    config.credentials.iter().map(lessor).collect()
}

fn no_service(credential: &str) -> Error {
    Error::new(Class::Config, format!("credentials.{credential} needs gateway.service"))
        .why("a subscription key is created at the APIM service's management API")
        .fix("set gateway.service to the resource id: az apim show -n NAME -g GROUP --query id")
}
