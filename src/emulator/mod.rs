//! The Azure parts, on loopback: strict, journalled, in memory only.

pub mod arm;
pub mod entra;
pub mod gateway;
pub mod issuer;
pub mod jwt;
mod rsa;
pub mod store;
pub mod wire;
pub mod world;

use std::path::PathBuf;

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
    /// The gateway.
    pub gateway: String,
    /// The HTTP CONNECT proxy that maps the public Azure names to the emulator (plain http).
    pub proxy: String,
    /// File with a currently valid assertion (an id token); kept fresh while the emulator runs.
    pub assertion_file: PathBuf,
    /// Faults and the journal of requests.
    pub control: String,
    /// Product whose keys open the echo API.
    pub product: String,
    /// A product whose keys do not.
    pub foreign_product: String,
    /// Scope of access tokens for the echo API, such as `api://echo/.default`.
    pub api_scope: String,
}
