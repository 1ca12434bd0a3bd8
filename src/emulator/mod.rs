//! The Azure parts, on loopback: strict, journalled, in memory only.

mod answer;
pub mod arm;
pub mod classic;
mod client_certificate;
mod connect_proto;
mod control;
mod entra;
pub mod faults;
mod files;
pub mod gateway;
mod imds;
pub mod issuer;
pub mod journal;
pub mod jwt;
pub mod key_vault;
mod proxy;
mod random;
mod rsa;
mod saml;
mod server;
mod start;
pub mod store;
mod template;
#[cfg(test)]
mod testing;
mod tls;
mod trust;
pub mod wire;
pub mod world;

pub use entra::{SignIn, User};
pub use start::Emulator;
pub use trust::TrustedIssuer;

use crate::error::Result;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use world::World;

/// How to start it. The default is one tenant with one workspace, on free ports, without delay.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the emulated Azure consists of.
    pub world: World,
    /// Fixed ports.
    pub ports: Ports,
    /// Issuers that Entra trusts besides the emulator's own.
    pub trust: Vec<TrustedIssuer>,
    /// Added before each answer; the control port is not slowed.
    pub latency: Duration,
    /// Where the emulator makes the folder for its files; `None`: in RAM where there is some.
    pub folder: Option<PathBuf>,
}

/// Ports on 127.0.0.1; 0 takes a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The workspace's identity service.
    pub identity: u16,
    /// Entra.
    pub entra: u16,
    /// Azure Resource Manager.
    pub arm: u16,
    /// Key Vault.
    pub key_vault: u16,
    /// The gateway.
    pub gateway: u16,
    /// The CONNECT proxy.
    pub proxy: u16,
    /// Faults and journal.
    pub control: u16,
    /// The Instance Metadata Service.
    pub imds: u16,
    /// Gitpod Classic's supervisor.
    pub supervisor: u16,
}

/// What the emulator tells when every port listens. URLs have no trailing slash. Holds no secret.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Ready {
    /// PEM file of the CA that signed all the certificates.
    pub ca_file: PathBuf,
    /// Directory id.
    pub tenant_id: String,
    /// The workspace application's id.
    pub client_id: String,
    /// Azure subscription id.
    pub subscription_id: String,
    /// Resource group of the APIM service.
    pub resource_group: String,
    /// Name of the APIM service.
    pub service_name: String,
    /// The workspace's issuer, also the Ona API's base.
    pub identity: String,
    /// File with the bearer for the Ona API.
    pub identity_token_file: PathBuf,
    /// Entra's authority.
    pub authority: String,
    /// Azure Resource Manager.
    pub arm: String,
    /// Key Vault.
    pub key_vault: String,
    /// A secret that is in it from the start.
    pub secret_name: String,
    /// A client certificate that is in it from the start, as PEM; its private key is the secret of the same name.
    pub certificate_name: String,
    /// The gateway.
    pub gateway: String,
    /// The gateway's token exchange: `/token` and `/revoke` below it.
    pub broker: String,
    /// What the broker's subject tokens must be for.
    pub broker_audience: String,
    /// The Instance Metadata Service (plain http).
    pub imds: String,
    /// The managed identity's client id.
    pub managed_identity: String,
    /// Gitpod Classic's supervisor (plain http); its API is at `identity`, its issuer `/idp` below that.
    pub supervisor: String,
    /// Gitpod Classic's id of the workspace.
    pub workspace_id: String,
    /// The HTTP CONNECT proxy that maps the public Azure names to the emulator (plain http).
    pub proxy: String,
    /// File with a currently valid assertion (an id token); kept fresh while the emulator runs.
    pub assertion_file: PathBuf,
    /// File with a currently valid SAML 2.0 assertion of the federated AD FS (XML); kept fresh in the same way.
    pub saml_assertion_file: PathBuf,
    /// Faults and the journal of requests.
    pub control: String,
    /// Product whose keys open the echo API.
    pub product: String,
    /// A product whose keys do not.
    pub foreign_product: String,
    /// Scope of access tokens for the echo API, such as `api://echo/.default`.
    pub api_scope: String,
    /// With `run --emulator`: what the agent publishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_file: Option<PathBuf>,
    /// With `run --emulator`: the agent's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

impl Ready {
    /// Writes it as JSON, in one step: whoever sees the file can read all of it.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::replace(path, &format!("{}\n", serde_json::json!(self)))
    }
}
