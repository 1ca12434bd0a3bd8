//! Kind `vault-secret`: a Key Vault secret. The vault keeps it; what ends is our copy.
//!
//! A value is published for the credential's `lifetime` after the vault has last confirmed it, and never after the date
//! that the vault gives for it. The vault is asked again after a quarter of that time ([`term::life`]), and whenever
//! somebody asks for a refresh: a new version is then taken over, and the same version gives the same value once more.

use super::{
    Lease, Lessor, Released, Value,
    vault::{
        Object, Stored, Vault,
        term::{self, Life},
        version::HandedOut,
    },
};
use crate::{
    clock,
    config::credential::InVault,
    error::{Class, Error, Result},
};
use async_trait::async_trait;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Hands out one secret.
pub struct VaultSecret {
    vault: Arc<Vault>,
    place: InVault,
    lifetime: Duration,
    handed_out: HandedOut,
}

impl VaultSecret {
    /// For the secret that `place` names; each value is published for `lifetime`.
    pub fn new(vault: Arc<Vault>, place: &InVault, lifetime: Duration) -> Self {
        Self { vault, place: place.clone(), lifetime, handed_out: HandedOut::default() }
    }

    /// The lease of what the vault confirmed at `now`, or why there is none.
    fn lease(&self, stored: Stored, now: SystemTime) -> Result<Lease> {
        let called = format!("the secret {}", self.place.name);
        term::usable(&called, Object::Secret, &stored.attributes, now)?;
        check(&called, stored.value.expose())?;
        let Life { expires_at, refresh_at } = term::life(now, self.lifetime, stored.attributes.expires);
        self.handed_out.note(&called, &stored.version);
        if stored.managed {
            tracing::info!(
                "{called} belongs to a certificate; kind vault-certificate gives that as PEM files"
            );
        }
        Ok(Lease {
            value: Value::Text(stored.value),
            issued_at: now,
            expires_at,
            refresh_at: Some(refresh_at),
        })
    }
}

/// A text is passed on as it is: whether it goes into the env file or a file of its own is the sink's decision. Refused is
/// only what cannot be meant.
fn check(called: &str, value: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(Class::Config, format!("{called} cannot be published"))
            .why(why)
            .fix("put the right value into the vault; binary values go in as base64"))
    };
    match value {
        "" => refuse("it is empty"),
        _ if value.contains('\0') => refuse("it holds a NUL character, at which programs in C end a text"),
        _ => Ok(()),
    }
}

#[async_trait]
impl Lessor for VaultSecret {
    async fn issue(&self) -> Result<Lease> {
        // Taken before the request: what is confirmed must not pass for younger than it is.
        let now = clock::now();
        let stored = self.vault.secret(&self.place.name, self.place.version.as_deref()).await?;
        self.lease(stored, now)
    }

    /// Nobody can say whether a secret is right except whom it is for, and that is not the gateway.
    async fn probe(&self, _lease: &Lease) -> Result<()> {
        Ok(())
    }

    fn has_begun(&self) -> bool {
        // It is only read: nothing is made that could be left behind.
        false
    }

    async fn release(&self) -> Result<Released> {
        Ok(if self.handed_out.is_any() { Released::Kept } else { Released::Nothing })
    }
}

#[cfg(test)]
mod tests;
