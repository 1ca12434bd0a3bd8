//! Key Vault: secrets and certificates of one vault.
//!
//! A request goes through the same gates, in the same order: token, api-version, role assignment, and only then the
//! operation. Facts come from the official description (7.5) and from recordings of Microsoft's own SDK tests; where a
//! status or wording is not known, the place says so. Keys, creation by the vault, issuers, contacts, backups and
//! storage accounts are not there.

mod api_version;
mod auth;
mod body;
mod certificate;
mod certificates;
mod error;
pub(super) mod operator;
mod paging;
mod route;
mod secrets;
mod shelf;
pub(super) mod starter;
pub mod store;
#[cfg(test)]
mod tests;
mod x509;

use crate::{
    clock,
    emulator::{
        jwt,
        wire::{Request, Response, Service},
        world::World,
    },
};
pub(super) use auth::AUDIENCE;

use api_version::ApiVersion;
use async_trait::async_trait;
use auth::Caller;
use error::{Kind, VaultError};
use paging::Window;
use serde_json::{Value, json};
use shelf::Deleted;
use std::{sync::Arc, time::SystemTime};
use store::Vault;

/// The emulated Key Vault.
pub struct KeyVault {
    world: Arc<World>,
    vault: Arc<Vault>,
    entra_keys: Arc<jwt::SigningKey>,
    /// Where those get a token who came without the proxy; no slash at the end.
    authority: String,
}

impl KeyVault {
    /// Key Vault over `vault`, for tokens signed with `entra_keys` and had at `authority`.
    pub fn new(
        world: Arc<World>,
        vault: Arc<Vault>,
        entra_keys: Arc<jwt::SigningKey>,
        authority: String,
    ) -> Self {
        Self { world, vault, entra_keys, authority }
    }

    /// Answers `request` as of `now`: all that [`Service::answer`] does, with the time as an input.
    pub fn answer_at(&self, request: &Request, now: SystemTime) -> Response {
        let mut caller = None;
        let answer = self.gates(request, now, &mut caller).unwrap_or_else(|error| error.response());
        let mut answer = stamp(answer, request);
        if answer.status == 401 {
            let challenge = auth::challenge(&request.host, &self.authority, &self.world.tenant_id);
            answer = answer.header("WWW-Authenticate", challenge);
        }
        answer.caller = caller.map(|caller| format!("app {}", caller.client));
        answer
    }

    fn gates(
        &self,
        request: &Request,
        now: SystemTime,
        seen: &mut Option<Caller>,
    ) -> Result<Response, VaultError> {
        let place = || format!("{} {}", request.method, request.path);
        let call = route::find(&request.method, &request.path)
            .ok_or_else(|| VaultError::not_implemented(&place()))?;
        let id = call.operation.id;
        let action = call.operation.action.ok_or_else(|| VaultError::not_implemented(id))?;
        let caller = auth::authenticate(request, &self.world, now, |token| {
            jwt::verify(token, self.entra_keys.jwks())
        })?;
        let caller = seen.insert(caller);
        let version = ApiVersion::read(request.query("api-version"))?;
        let path = request.path.trim_end_matches('/');
        auth::authorize(caller, &self.world, action, path)?;

        self.vault.lock().expire(now);
        let context = Context { vault: &self.vault, request, version, now };
        let names: Vec<&str> = call.names.iter().map(String::as_str).collect();
        match (id, &names[..]) {
            ("GetSecrets", []) => context.list_secrets(),
            ("GetSecretVersions", [name]) => context.list_secret_versions(name),
            ("GetSecret", [name, rest @ ..]) => context.get_secret(name, rest.first().copied()),
            ("SetSecret", [name]) => context.set_secret(name),
            ("UpdateSecret", [name, rest @ ..]) => context.update_secret(name, rest.first().copied()),
            ("DeleteSecret", [name]) => context.delete_secret(name),
            ("GetDeletedSecrets", []) => context.list_deleted_secrets(),
            ("GetDeletedSecret", [name]) => context.get_deleted_secret(name),
            ("PurgeDeletedSecret", [name]) => context.purge_deleted_secret(name),
            ("RecoverDeletedSecret", [name]) => context.recover_deleted_secret(name),
            ("GetCertificates", []) => context.list_certificates(),
            ("GetCertificatePolicy", [name]) => context.get_certificate_policy(name),
            ("GetCertificateVersions", [name]) => context.list_certificate_versions(name),
            ("GetCertificate", [name, rest @ ..]) => context.get_certificate(name, rest.first().copied()),
            ("ImportCertificate", [name]) => context.import_certificate(name),
            ("UpdateCertificate", [name, rest @ ..]) => {
                context.update_certificate(name, rest.first().copied())
            }
            ("DeleteCertificate", [name]) => context.delete_certificate(name),
            ("GetDeletedCertificates", []) => context.list_deleted_certificates(),
            ("GetDeletedCertificate", [name]) => context.get_deleted_certificate(name),
            ("PurgeDeletedCertificate", [name]) => context.purge_deleted_certificate(name),
            ("RecoverDeletedCertificate", [name]) => context.recover_deleted_certificate(name),
            (other, _) => Err(VaultError::not_implemented(other)),
        }
    }
}

#[async_trait]
impl Service for KeyVault {
    fn name(&self) -> &'static str {
        "key_vault"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        route::find(&request.method, &request.path).map(|call| call.operation.id)
    }

    fn operations(&self) -> Vec<&'static str> {
        route::ids()
    }

    async fn answer(&self, _operation: &'static str, request: &Request) -> Response {
        self.answer_at(request, clock::now())
    }
}

/// What an operation works with.
struct Context<'a> {
    vault: &'a Vault,
    request: &'a Request,
    version: ApiVersion,
    now: SystemTime,
}

impl Context<'_> {
    /// The vault's address, by the name under which it was called.
    fn base(&self) -> String {
        format!("https://{}", self.request.host)
    }

    /// An object's address, or one of its versions'.
    fn id(&self, kind: Kind, name: &str, version: Option<&str>) -> String {
        let object = format!("{}/{}/{name}", self.base(), kind.collection());
        version.map_or_else(|| object.clone(), |version| format!("{object}/{version}"))
    }

    /// The page of a list that was asked for.
    fn page<'r>(&self, rows: impl Iterator<Item = (&'r str, Value)>) -> Result<Response, VaultError> {
        Ok(Response::json(200, &Window::of(self.request)?.page(self.request, self.version, rows)))
    }

    /// Adds what is known of a deletion.
    fn deletion<T>(&self, kind: Kind, deleted: &Deleted<T>, mut json: Value) -> Value {
        let recovery = format!("{}/deleted{}/{}", self.base(), kind.collection(), deleted.item.name);
        json["recoveryId"] = json!(recovery);
        json["deletedDate"] = json!(clock::unix(deleted.since));
        json["scheduledPurgeDate"] = json!(clock::unix(deleted.purged_at()));
        json
    }
}

/// Adds the headers that every answer of Key Vault carries.
fn stamp(answer: Response, request: &Request) -> Response {
    let id = store::new_id();
    let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let answer = answer
        .header("Cache-Control", "no-cache")
        .header("Pragma", "no-cache")
        .header("Expires", "-1")
        .header("x-ms-keyvault-region", "westeurope")
        .header("x-ms-request-id", id)
        .header("x-ms-keyvault-service-version", "1.9.0.0")
        .header("x-ms-keyvault-network-info", "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;")
        .header("Strict-Transport-Security", "max-age=31536000;includeSubDomains")
        .header("X-Content-Type-Options", "nosniff");
    // It goes back into a header: what is no id is left out.
    let is_id = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match request.header("x-ms-client-request-id").filter(is_id) {
        Some(id) => answer.header("x-ms-client-request-id", id),
        None => answer,
    }
}
