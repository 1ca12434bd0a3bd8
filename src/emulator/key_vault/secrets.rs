//! The operations on secrets.

use super::{
    Context,
    body::{Body, invalid},
    certificate::{PEM, PKCS12},
    error::{Kind, VaultError},
    shelf::{Deleted, Item, Version},
    store::SecretValue,
};
use crate::{clock, emulator::wire::Response, secret::Secret};
use serde_json::{Value, json};

/// The longest value: 25 KiB.
const LONGEST: usize = 25 * 1024;

impl Context<'_> {
    pub(super) fn get_secret(&self, name: &str, version: Option<&str>) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let (item, version) = vault.secrets.get(name, version)?;
        // Not so the times: outside of nbf and exp a value is handed out all the same.
        if !version.attributes.enabled {
            return Err(VaultError::secret_disabled());
        }
        let mut bundle = self.bundle(item, version);
        let (value, content_type) = self.converted(&version.content)?;
        bundle["value"] = json!(value.expose());
        if let Some(content_type) = content_type {
            bundle["contentType"] = json!(content_type);
        }
        Ok(Response::json(200, &bundle))
    }

    /// The value, as PEM if `outContentType` asks for that; PKCS#12 to PEM is the only conversion.
    fn converted<'v>(&self, content: &'v SecretValue) -> Result<(&'v Secret, Option<&'v str>), VaultError> {
        let plain = (&content.value, content.content_type.as_deref());
        match self.request.query("outContentType").filter(|_| self.version.converts()) {
            None => Ok(plain),
            Some(wanted) if Some(wanted) == plain.1 => Ok(plain),
            Some(PEM) if content.pem.is_some() => {
                Ok((content.pem.as_ref().unwrap_or(&content.value), Some(PEM)))
            }
            // The wordings are ours.
            Some(PEM) => {
                let message = format!("Only content of the type {PKCS12} can be converted to {PEM}.");
                Err(VaultError::bad_parameter(message))
            }
            Some(_) => Err(invalid("outContentType")),
        }
    }

    pub(super) fn list_secrets(&self) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let rows = vault.secrets.items().map(|(key, item)| (key, self.row(item, item.current(), false)));
        self.page(rows)
    }

    pub(super) fn list_secret_versions(&self, name: &str) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        // A secret that is not there has no versions; the real vault answers so and not with 404.
        let Ok(item) = vault.secrets.item(name) else { return self.page(std::iter::empty()) };
        let versions = item.versions();
        self.page(versions.into_iter().map(|version| (version.id.as_str(), self.row(item, version, true))))
    }

    pub(super) fn set_secret(&self, name: &str) -> Result<Response, VaultError> {
        let body = Body::of(self.request)?;
        let value = body.text("value")?.ok_or_else(|| invalid("value"))?;
        if value.len() > LONGEST {
            // The wording is ours.
            let message = format!("Property value exceeds the limit of {LONGEST} bytes.");
            return Err(VaultError::bad_parameter(message));
        }
        let value = Secret::new(value.to_owned());
        let content_type = body.text("contentType")?.map(str::to_owned);
        let content = SecretValue { value, content_type, managed: false, pem: None };
        let mut vault = self.vault.lock();
        vault.set_secret(name, content, body.changes()?, self.now)?;
        let (item, version) = vault.secrets.get(name, None)?;
        let mut bundle = self.bundle(item, version);
        bundle["value"] = json!(version.content.value.expose());
        Ok(Response::json(200, &bundle))
    }

    pub(super) fn update_secret(&self, name: &str, version: Option<&str>) -> Result<Response, VaultError> {
        let body = Body::of(self.request)?;
        let (changes, content_type) = (body.changes()?, body.text("contentType")?);
        let mut vault = self.vault.lock();
        let secret = vault.secrets.get_mut(name, version)?;
        if secret.content.managed {
            return Err(VaultError::secret_managed("update"));
        }
        changes.apply(&mut secret.attributes);
        secret.attributes.updated = clock::unix(self.now);
        if let Some(content_type) = content_type {
            secret.content.content_type = Some(content_type.to_owned());
        }
        if let Some(tags) = changes.tags {
            secret.tags = tags;
        }
        let (item, version) = vault.secrets.get(name, version)?;
        Ok(Response::json(200, &self.bundle(item, version)))
    }

    pub(super) fn delete_secret(&self, name: &str) -> Result<Response, VaultError> {
        let mut vault = self.vault.lock();
        if vault.secrets.item(name)?.current().content.managed {
            return Err(VaultError::secret_managed("delete"));
        }
        let deleted = vault.secrets.delete(name, self.now)?;
        Ok(Response::json(200, &self.deleted_bundle(deleted)))
    }

    pub(super) fn get_deleted_secret(&self, name: &str) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        Ok(Response::json(200, &self.deleted_bundle(vault.secrets.deleted(name)?)))
    }

    pub(super) fn list_deleted_secrets(&self) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let rows = vault.secrets.deleted_items().map(|(key, deleted)| {
            let row = self.row(&deleted.item, deleted.item.current(), false);
            (key, self.deletion(Kind::Secret, deleted, row))
        });
        self.page(rows)
    }

    pub(super) fn recover_deleted_secret(&self, name: &str) -> Result<Response, VaultError> {
        let mut vault = self.vault.lock();
        if vault.secrets.deleted(name)?.item.current().content.managed {
            return Err(VaultError::secret_managed("recover"));
        }
        let item = vault.secrets.recover(name)?;
        Ok(Response::json(200, &self.bundle(item, item.current())))
    }

    pub(super) fn purge_deleted_secret(&self, name: &str) -> Result<Response, VaultError> {
        let mut vault = self.vault.lock();
        if vault.secrets.deleted(name)?.item.current().content.managed {
            return Err(VaultError::secret_managed("purge"));
        }
        vault.secrets.purge(name)?;
        Ok(Response::new(204, ""))
    }

    /// `SecretBundle`, without its value.
    fn bundle(&self, item: &Item<SecretValue>, version: &Version<SecretValue>) -> Value {
        let mut bundle = self.row(item, version, true);
        if version.content.managed {
            bundle["kid"] = json!(format!("{}/keys/{}/{}", self.base(), item.name, version.id));
        }
        bundle
    }

    /// `SecretItem`.
    fn row(&self, item: &Item<SecretValue>, version: &Version<SecretValue>, versioned: bool) -> Value {
        let mut row = json!({
            "id": self.id(Kind::Secret, &item.name, versioned.then_some(version.id.as_str())),
            "attributes": version.attributes.json(),
        });
        if let Some(content_type) = &version.content.content_type {
            row["contentType"] = json!(content_type);
        }
        if version.content.managed {
            row["managed"] = json!(true);
        }
        if !version.tags.is_empty() {
            row["tags"] = json!(version.tags);
        }
        row
    }

    /// `DeletedSecretBundle`.
    fn deleted_bundle(&self, deleted: &Deleted<SecretValue>) -> Value {
        let bundle = self.bundle(&deleted.item, deleted.item.current());
        self.deletion(Kind::Secret, deleted, bundle)
    }
}
