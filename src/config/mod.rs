//! File, environment and flags become one validated [`Config`] before the first side effect.

pub mod cloud;
pub mod layers;
pub mod validate;

use std::{path::PathBuf, time::Duration};
use url::Url;

/// All that the agent needs to know. Holds no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names this workspace: one agent for each, and part of the names of what it mints.
    pub workspace: String,
    /// Where the subject token comes from.
    pub identity: Identity,
    /// Who exchanges it.
    pub entra: Entra,
    /// Azure Resource Manager.
    pub arm: Arm,
    /// The APIM gateway.
    pub gateway: Gateway,
    /// What the workspace wants, in the order of the file.
    pub credentials: Vec<Credential>,
    /// A PEM bundle trusted besides the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Where the runtime directory goes, when the default order is not wanted.
    pub runtime_dir: Option<PathBuf>,
    /// Deadline of one request.
    pub request_timeout: Duration,
    /// Deadline of all revocations at the end.
    pub revoke_timeout: Duration,
}

/// The identity source and its settings.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Which source.
    pub source: Source,
    /// What the token is asked for; Entra wants `api://AzureADTokenExchange`.
    pub audience: String,
    /// Base URL of the Ona API, such as `https://app.gitpod.io`.
    pub url: Url,
    /// `ona`: the file with the bearer for the API. Default `/usr/local/gitpod/secrets/token`.
    pub bearer_file: PathBuf,
    /// `file`: the file with the id token (also `AZURE_FEDERATED_TOKEN_FILE`).
    pub token_file: Option<PathBuf>,
    /// `env`: the variable with the id token. Default `APIM_AGENT_ID_TOKEN`.
    pub variable: String,
}

/// The identity sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The first of the others that is there, in the documented order.
    Auto,
    /// Ona's HTTP API.
    Ona,
    /// A file, such as a projected Kubernetes token.
    File,
    /// An environment variable.
    Env,
}

/// Entra ID: tenant, client and authority.
#[derive(Clone, Debug)]
pub struct Entra {
    /// Tenant id or verified domain.
    pub tenant_id: String,
    /// The application's (client) id.
    pub client_id: String,
    /// Base URL, such as `https://login.microsoftonline.com`.
    pub authority: Url,
}

/// Azure Resource Manager: endpoint and token scope.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Base URL, such as `https://management.azure.com`.
    pub url: Url,
    /// Scope of its access token, such as `https://management.azure.com/.default`.
    pub scope: String,
}

/// The APIM gateway and the service behind it.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Base URL, such as `https://contoso.azure-api.net`.
    pub url: Url,
    /// ARM resource id of the APIM service; needed for `subscription-key`.
    pub service: Option<String>,
    /// Path that every credential is probed at unless it names its own.
    pub probe: Option<String>,
}

/// One entry under `[credentials]`.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The entry's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// `access-token`: a scope ending in `/.default`; `subscription-key`: `/products/ID`, `/apis/ID` or `/apis`.
    pub scope: String,
    /// The environment variable it is published as.
    pub env: String,
    /// `subscription-key`: how long a published key is good for.
    pub lifetime: Duration,
    /// How long the value before stays good after its successor was published.
    pub grace: Duration,
    /// Path it is probed at before it is published.
    pub probe: Option<String>,
}

/// Credential kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An Entra access token.
    AccessToken,
    /// An APIM subscription of its own.
    SubscriptionKey,
}
