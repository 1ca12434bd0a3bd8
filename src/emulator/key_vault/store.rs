//! What the vault holds. Shared with the gateway, which trusts client certificates by their thumbprints.

use super::{
    body::{Attributes, Changes, Tags},
    certificate::Certificate,
    error::{Kind, VaultError},
    shelf::{Shelf, Version},
};
use crate::secret::Secret;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// The value of one version of a secret.
pub(super) struct SecretValue {
    pub(super) value: Secret,
    pub(super) content_type: Option<String>,
    /// A certificate brought it along and alone changes it.
    pub(super) managed: bool,
    /// The same as PEM, where the value is PKCS#12.
    pub(super) pem: Option<Secret>,
}

/// All secrets and certificates of the vault.
pub struct Vault {
    inner: Mutex<Inner>,
}

/// What one lock guards: a certificate and its secret change in one step.
pub(super) struct Inner {
    pub(super) secrets: Shelf<SecretValue>,
    pub(super) certificates: Shelf<Certificate>,
}

impl Vault {
    /// An empty vault.
    pub fn new() -> Self {
        let inner = Inner { secrets: Shelf::new(Kind::Secret), certificates: Shelf::new(Kind::Certificate) };
        Self { inner: Mutex::new(inner) }
    }

    /// SHA-1 thumbprints of the current versions of all certificates that are enabled, as a gateway's policy compares them.
    /// With a new version the former one's is gone at once; who wants to know both for a while has to remember it.
    pub fn thumbprints(&self) -> Vec<[u8; 20]> {
        let inner = self.lock();
        let enabled =
            inner.certificates.items().map(|(_, item)| item.current()).filter(|it| it.attributes.enabled);
        enabled.map(|current| current.content.thumbprint).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Vault {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// Forgets what was deleted too long ago.
    pub(super) fn expire(&mut self, now: SystemTime) {
        self.secrets.expire(now);
        self.certificates.expire(now);
    }

    /// Adds a version of a secret of its own.
    pub(super) fn set_secret(
        &mut self,
        name: &str,
        content: SecretValue,
        changes: Changes,
        now: SystemTime,
    ) -> Result<(), VaultError> {
        self.secrets.check_name(name)?;
        if self.certificates.holds(name) {
            return Err(VaultError::secret_managed("set"));
        }
        let mut attributes = Attributes::new(now);
        changes.apply(&mut attributes);
        self.secrets.add(name, version(new_id(), attributes, changes.tags.unwrap_or_default(), content));
        Ok(())
    }

    /// Adds a version of a certificate, and of the secret with its private key under the same name and id.
    ///
    /// Its times are the certificate's own, whatever the request says.
    pub(super) fn import(
        &mut self,
        name: &str,
        certificate: Certificate,
        value: SecretValue,
        changes: Changes,
        now: SystemTime,
    ) -> Result<(), VaultError> {
        self.certificates.check_name(name)?;
        self.secrets.check_name(name)?;
        if self.secrets.holds(name) && !self.certificates.holds(name) {
            return Err(VaultError::name_taken(Kind::Secret, name));
        }
        let attributes = Attributes {
            enabled: changes.enabled.unwrap_or(true),
            not_before: Some(certificate.facts.not_before),
            expires: Some(certificate.facts.not_after),
            ..Attributes::new(now)
        };
        let (id, tags) = (new_id(), changes.tags.unwrap_or_default());
        self.secrets.add(name, version(id.clone(), attributes, tags.clone(), value));
        self.certificates.add(name, version(id, attributes, tags, certificate));
        Ok(())
    }
}

fn version<T>(id: String, attributes: Attributes, tags: Tags, content: T) -> Version<T> {
    Version { id, attributes, tags, content }
}

/// 32 hexadecimal digits that no other has. They need not be hard to guess, and std's hasher keys are the random
/// numbers that cannot fail.
pub(super) fn new_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
