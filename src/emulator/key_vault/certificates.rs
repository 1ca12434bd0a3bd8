//! The operations on certificates. What happens to one happens to the secret with its private key as well.

use super::{
    Context,
    body::{Attributes, Body, invalid},
    certificate::{Certificate, Material, PEM, PKCS12},
    error::{Kind, VaultError},
    shelf::{Deleted, Item, Version},
    store::SecretValue,
};
use crate::{clock, emulator::wire::Response};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// Seconds in a twelfth of the Gregorian year. The official example counts the months that have begun.
const MONTH: u64 = 2_629_746;

impl Context<'_> {
    pub(super) fn get_certificate(&self, name: &str, version: Option<&str>) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let (item, version) = vault.certificates.get(name, version)?;
        Ok(Response::json(200, &self.certificate(item, version)))
    }

    pub(super) fn get_certificate_policy(&self, name: &str) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        Ok(Response::json(200, &self.policy(vault.certificates.item(name)?)))
    }

    pub(super) fn list_certificates(&self) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let items = vault.certificates.items();
        self.page(items.map(|(key, item)| (key, self.certificate_row(item, item.current(), false))))
    }

    pub(super) fn list_certificate_versions(&self, name: &str) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let Ok(item) = vault.certificates.item(name) else { return self.page(std::iter::empty()) };
        let versions = item.versions();
        let row = |version| self.certificate_row(item, version, true);
        self.page(versions.into_iter().map(|version| (version.id.as_str(), row(version))))
    }

    /// PEM or PKCS#12, as the policy's `secret_props.contentType` says; the secret keeps that form.
    pub(super) fn import_certificate(&self, name: &str) -> Result<Response, VaultError> {
        let body = Body::of(self.request)?;
        let value = body.text("value")?.ok_or_else(|| invalid("value"))?;
        let password = body.text("pwd")?.unwrap_or_default();
        let empty = json!({});
        let policy = body.get("policy").unwrap_or(&empty);
        let content_type = match policy["secret_props"]["contentType"].as_str() {
            None | Some(PKCS12) => PKCS12,
            Some(PEM) => PEM,
            Some(_) => return Err(invalid("contentType")),
        };
        let material = if content_type == PEM {
            Material::from_pem(&pem_text(value))?
        } else {
            Material::from_pkcs12(&STANDARD.decode(value.trim()).map_err(|_| invalid("value"))?, password)?
        };
        if policy["key_props"]["exportable"] == false {
            return Err(VaultError::not_implemented("certificates whose private key cannot be exported"));
        }
        let issuer = policy["issuer"]["name"].as_str().unwrap_or("Unknown");
        let certificate = material.certificate(content_type, issuer);
        let secret = secret(&material, name, content_type).map_err(|error| VaultError::internal(&error))?;
        let mut vault = self.vault.lock();
        vault.import(name, certificate, secret, body.changes()?, self.now)?;
        let (item, version) = vault.certificates.get(name, None)?;
        Ok(Response::json(200, &self.certificate(item, version)))
    }

    /// Attributes and tags; a policy has an operation of its own.
    pub(super) fn update_certificate(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Response, VaultError> {
        let body = Body::of(self.request)?;
        if body.get("policy").is_some() {
            return Err(VaultError::not_implemented("a policy in UpdateCertificate"));
        }
        let changes = body.changes()?;
        let mut vault = self.vault.lock();
        let id = vault.certificates.get(name, version)?.1.id.clone();
        let change = |attributes: &mut Attributes| {
            attributes.enabled = changes.enabled.unwrap_or(attributes.enabled);
            attributes.updated = clock::unix(self.now);
        };
        change(&mut vault.secrets.get_mut(name, Some(&id))?.attributes);
        let certificate = vault.certificates.get_mut(name, Some(&id))?;
        change(&mut certificate.attributes);
        if let Some(tags) = changes.tags {
            certificate.tags = tags;
        }
        let (item, version) = vault.certificates.get(name, Some(&id))?;
        Ok(Response::json(200, &self.certificate(item, version)))
    }

    pub(super) fn delete_certificate(&self, name: &str) -> Result<Response, VaultError> {
        let mut vault = self.vault.lock();
        vault.certificates.item(name)?;
        vault.secrets.delete(name, self.now)?;
        let deleted = vault.certificates.delete(name, self.now)?;
        Ok(Response::json(200, &self.deleted_certificate(deleted)))
    }

    pub(super) fn get_deleted_certificate(&self, name: &str) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        Ok(Response::json(200, &self.deleted_certificate(vault.certificates.deleted(name)?)))
    }

    pub(super) fn list_deleted_certificates(&self) -> Result<Response, VaultError> {
        let vault = self.vault.lock();
        let rows = vault.certificates.deleted_items().map(|(key, deleted)| {
            let row = self.certificate_row(&deleted.item, deleted.item.current(), false);
            (key, self.deletion(Kind::Certificate, deleted, row))
        });
        self.page(rows)
    }

    pub(super) fn recover_deleted_certificate(&self, name: &str) -> Result<Response, VaultError> {
        let mut vault = self.vault.lock();
        vault.certificates.deleted(name)?;
        vault.secrets.recover(name)?;
        let item = vault.certificates.recover(name)?;
        Ok(Response::json(200, &self.certificate(item, item.current())))
    }

    pub(super) fn purge_deleted_certificate(&self, name: &str) -> Result<Response, VaultError> {
        let mut vault = self.vault.lock();
        vault.certificates.purge(name)?;
        vault.secrets.purge(name)?;
        Ok(Response::new(204, ""))
    }

    /// `CertificateBundle`.
    fn certificate(&self, item: &Item<Certificate>, version: &Version<Certificate>) -> Value {
        let mut bundle = self.certificate_row(item, version, true);
        let of = |collection: &str| format!("{}/{collection}/{}/{}", self.base(), item.name, version.id);
        bundle["kid"] = json!(of("keys"));
        bundle["sid"] = json!(of("secrets"));
        bundle["cer"] = json!(STANDARD.encode(&version.content.leaf));
        bundle["policy"] = self.policy(item);
        bundle
    }

    /// `CertificateItem`.
    fn certificate_row(
        &self,
        item: &Item<Certificate>,
        version: &Version<Certificate>,
        versioned: bool,
    ) -> Value {
        let mut row = json!({
            "id": self.id(Kind::Certificate, &item.name, versioned.then_some(version.id.as_str())),
            "x5t": URL_SAFE_NO_PAD.encode(version.content.thumbprint),
            "attributes": version.attributes.json(),
        });
        if !version.tags.is_empty() {
            row["tags"] = json!(version.tags);
        }
        row
    }

    /// `CertificatePolicy`: that of the current version, which is what an import without more of a policy gets.
    fn policy(&self, item: &Item<Certificate>) -> Value {
        let current = item.current();
        let (content, facts) = (&current.content, &current.content.facts);
        let mut key = json!({
            "exportable": true,
            "kty": facts.key_type,
            "key_size": facts.key_size,
            "reuse_key": false,
        });
        if facts.key_type == "EC" {
            key["crv"] = json!(format!("P-{}", facts.key_size));
        }
        let mut x509 = json!({
            "subject": facts.subject,
            "ekus": facts.extended_key_usages,
            "key_usage": facts.key_usages,
            "validity_months": facts.not_after.saturating_sub(facts.not_before).div_ceil(MONTH),
        });
        if !facts.dns_names.is_empty() {
            x509["sans"] = json!({ "dns_names": facts.dns_names });
        }
        let Attributes { enabled, created, updated, .. } = current.attributes;
        json!({
            "id": format!("{}/policy", self.id(Kind::Certificate, &item.name, None)),
            "key_props": key,
            "secret_props": { "contentType": content.content_type },
            "x509_props": x509,
            "lifetime_actions": [
                { "trigger": { "lifetime_percentage": 80 }, "action": { "action_type": "EmailContacts" } },
            ],
            "issuer": { "name": content.issuer },
            "attributes": { "enabled": enabled, "created": created, "updated": updated },
        })
    }

    /// `DeletedCertificateBundle`.
    fn deleted_certificate(&self, deleted: &Deleted<Certificate>) -> Value {
        let bundle = self.certificate(&deleted.item, deleted.item.current());
        self.deletion(Kind::Certificate, deleted, bundle)
    }
}

/// The secret that goes with a certificate.
pub(super) fn secret(
    material: &Material,
    name: &str,
    content_type: &'static str,
) -> crate::error::Result<SecretValue> {
    let pem = material.pem();
    let (value, pem) = if content_type == PEM { (pem, None) } else { (material.pkcs12(name)?, Some(pem)) };
    Ok(SecretValue { value, content_type: Some(content_type.to_owned()), managed: true, pem })
}

/// PEM as it is, or out of base64; the vault takes both.
fn pem_text(value: &str) -> String {
    let decoded = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| value.to_owned())
}
