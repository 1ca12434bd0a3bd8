//! Kind `vault-certificate`: a certificate with its private key from a Key Vault, as PEM files for mutual TLS.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the lessor |
//! | `bundle.rs` | what the vault gives: PEM or PKCS#12 (pure) |
//! | `identity.rs` | what a client presents: checked, and in order (pure) |
//! | `pem.rs` | PEM in buffers that are overwritten (pure) |
//!
//! The workspace gets `NAME.crt` (the leaf, then those that signed it) and `NAME.key` (PKCS#8). The private key of a Key
//! Vault certificate is in the secret of the same name and version, if it is exportable. How long a pair is published, and
//! when the vault is asked for a newer version, is as for [`super::vault_secret`]; a new version replaces both files
//! together.

mod bundle;
mod identity;
mod pem;
#[cfg(test)]
mod tests;

use super::{
    Lease, Lessor, Part, Released, Value,
    probe::Probe,
    vault::{
        Object, Public, Stored, Vault,
        term::{self, Life},
        version::HandedOut,
    },
};
use crate::{
    clock,
    config::credential::InVault,
    error::{Class, Error, Result},
    http::answer::printable,
};
use async_trait::async_trait;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The part with the certificates.
const CHAIN: &str = "crt";
/// The part with the private key.
const KEY: &str = "key";

/// Hands out one certificate and its key.
pub struct VaultCertificate {
    vault: Arc<Vault>,
    place: InVault,
    lifetime: Duration,
    probe: Option<Probe>,
    handed_out: HandedOut,
}

impl VaultCertificate {
    /// For the certificate that `place` names; each pair is published for `lifetime`. Without a `probe` a pair counts as
    /// accepted once it has passed our own checks.
    pub fn new(vault: Arc<Vault>, place: &InVault, lifetime: Duration, probe: Option<Probe>) -> Self {
        Self { vault, place: place.clone(), lifetime, probe, handed_out: HandedOut::default() }
    }

    fn called(&self) -> String {
        format!("the certificate {}", self.place.name)
    }

    /// Whether it is worth asking for the private key.
    fn may_be_used(&self, public: &Public, now: SystemTime) -> Result<()> {
        term::usable(&self.called(), Object::Certificate, &public.attributes, now)?;
        if public.exportable == Some(false) {
            return Err(identity::no_key(&self.called()));
        }
        Ok(())
    }

    /// The lease of what the vault confirmed at `now`, or why there is none.
    fn lease(&self, public: &Public, stored: &Stored, now: SystemTime) -> Result<Lease> {
        let called = self.called();
        term::usable(&called, Object::Certificate, &stored.attributes, now)?;
        let bundle = bundle::read(stored.value.expose()).map_err(|why| {
            let kind = stored.content_type.as_deref().unwrap_or("of no type");
            Error::new(Class::Config, format!("{called} cannot be read"))
                .why(format!("{why}; the vault says that it is {}", printable(kind, 60)))
                .fix("import it again, as PKCS#12 or as PEM with a PKCS#8 key")
        })?;
        let identity = identity::assemble(&called, &bundle, public.der.as_deref(), now)?;
        for remark in &identity.remarks {
            tracing::warn!("{remark}");
        }
        let ends = [Some(identity.ends), public.attributes.expires, stored.attributes.expires];
        let Life { expires_at, refresh_at } = term::life(now, self.lifetime, ends.into_iter().flatten());
        self.handed_out.note(&called, &public.version);
        Ok(Lease {
            value: Value::Files(vec![
                Part { extension: CHAIN, content: identity.chain },
                Part { extension: KEY, content: identity.key },
            ]),
            issued_at: now,
            expires_at,
            refresh_at: Some(refresh_at),
        })
    }
}

#[async_trait]
impl Lessor for VaultCertificate {
    async fn issue(&self) -> Result<Lease> {
        // Taken before the request: what is confirmed must not pass for younger than it is.
        let now = clock::now();
        let InVault { name, version, .. } = &self.place;
        let public = self.vault.certificate(name, version.as_deref()).await?;
        self.may_be_used(&public, now)?;
        // That very version: a new one may arrive between the two calls.
        let stored = self.vault.secret(name, Some(&public.version)).await?;
        self.lease(&public, &stored, now)
    }

    async fn probe(&self, lease: &Lease) -> Result<()> {
        let (Some(probe), Value::Files(parts)) = (&self.probe, &lease.value) else { return Ok(()) };
        let part = |wanted| parts.iter().find(|part| part.extension == wanted).map(|part| &part.content);
        match (part(CHAIN), part(KEY)) {
            (Some(chain), Some(key)) => probe.check_certificate(chain, key).await,
            _ => Ok(()),
        }
    }

    fn has_begun(&self) -> bool {
        // It is only read: nothing is made that could be left behind.
        false
    }

    async fn release(&self) -> Result<Released> {
        Ok(if self.handed_out.is_any() { Released::Kept } else { Released::Nothing })
    }
}
