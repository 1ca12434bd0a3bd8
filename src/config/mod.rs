//! File, environment and flags become one validated [`Config`] before the first side effect.

//!
//! ```text
//! file ── document ─┐
//! environment ──────┼─ layers ── validate ──► Config, or one error that says all that is wrong
//! flags ────────────┘            (forms, endpoint, env_name)
//! ```
//!
//! Only [`mod@file`] reads anything from outside; the environment and the current folder come in through [`Inputs`].

pub mod cloud;
pub mod document;
pub mod duration;
pub mod endpoint;
pub mod env;
pub mod env_name;
pub mod file;
pub mod forms;
pub mod keys;
pub mod layers;
pub mod problem;
pub mod source;
pub mod unknown;
pub mod validate;

pub use env::Env;
pub use layers::Entry;
pub use source::Source;

use crate::error::{Error, Result};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// The file's name, searched from the current folder up to the repository's root.
pub const FILE_NAME: &str = "apim-agent.toml";

/// Source `env`: the variable with the id token unless `identity.variable` names another one.
pub const ID_TOKEN_VARIABLE: &str = "APIM_AGENT_ID_TOKEN";

/// Source `gitlab`: the same. GitLab itself leaves the name to the job; this is the one that its documentation uses for
/// Azure.
pub const GITLAB_VARIABLE: &str = "GITLAB_OIDC_TOKEN";

/// All that a configuration is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Which file to read.
    pub file: Choice<'a>,
    /// The environment.
    pub env: &'a Env,
    /// What beats both, later ones beating earlier ones: flags, `--set`, and what `run --emulator` sets.
    pub flags: &'a [Entry],
    /// The current folder, absolute.
    pub folder: &'a Path,
    /// The machine's name: the workspace's, when nothing else names it.
    pub host_name: &'a str,
}

/// Which file to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The one that `--config` names, else `APIM_AGENT_CONFIG`, else the one that a search finds, else none.
    Usual(Option<&'a Path>),
    /// None, whatever lies around.
    Nothing,
}

/// The whole configuration, checked.
///
/// # Errors
/// `Class::Config` with everything that is wrong in it.
pub fn load(inputs: &Inputs<'_>) -> Result<Config> {
    let file = file::read(inputs)?;
    let folders = folders(file.as_ref(), inputs);
    validate::config(resolve(file.as_ref(), inputs), folders)
}

/// Where the agent of this workspace is to be found, even if the rest of the configuration is missing or wrong: for
/// commands that only talk to an agent that runs.
///
/// # Errors
/// `Class::Config` when the workspace's name or the runtime directory itself is unusable.
pub fn place(inputs: &Inputs<'_>) -> Result<Place> {
    // A file that went away or broke does not hide an agent that was started with it.
    let (file, unread) = match file::read(inputs) {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let folders = folders(file.as_ref(), inputs);
    let place = validate::place(resolve(file.as_ref(), inputs), folders)?;
    Ok(Place { doubt: unread.or(place.doubt), ..place })
}

fn folders<'a>(file: Option<&'a file::Text>, inputs: &Inputs<'a>) -> validate::Folders<'a> {
    validate::Folders { file: file.map_or(inputs.folder, |file| &file.folder), current: inputs.folder }
}

fn resolve(file: Option<&file::Text>, inputs: &Inputs<'_>) -> layers::Layers {
    let document = file.map(|file| document::parse(&file.name, &file.text)).unwrap_or_default();
    layers::Layers::resolve(document, inputs.env, inputs.flags, inputs.host_name)
}

/// Where a running agent is to be found.
#[derive(Clone, Debug)]
pub struct Place {
    /// See [`Config::workspace`].
    pub workspace: String,
    /// See [`Config::runtime_dir`].
    pub runtime_dir: Option<PathBuf>,
    /// Why the file could not be read, or not wholly. Worth telling when no agent is found there.
    pub doubt: Option<Error>,
}

/// All that the agent needs to know. Holds no secret. Base URLs are in the form of [`endpoint::read`], so take
/// [`endpoint::under`] to go below them; paths are absolute.
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
    /// What the token is asked for; Entra wants `api://AzureADTokenExchange`, national clouds their own.
    pub audience: String,
    /// Base URL of the Ona API, such as `https://app.gitpod.io`.
    pub url: Url,
    /// `ona`: the file with the bearer for the API. Default `/usr/local/gitpod/secrets/token`.
    pub bearer_file: PathBuf,
    /// `file`: the file with the id token (also `AZURE_FEDERATED_TOKEN_FILE`).
    pub token_file: Option<PathBuf>,
    /// `env` and `gitlab`: the variable with the id token, if not [`ID_TOKEN_VARIABLE`] and [`GITLAB_VARIABLE`].
    pub variable: Option<String>,
    /// `command`: the program and its arguments; never empty.
    pub command: Option<Vec<String>>,
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
    /// `subscription-key`: how long the key before stays good after its successor was published. Shorter than
    /// `lifetime`; unless set, a minute or a quarter of it, whichever is less.
    pub grace: Duration,
    /// Path it is probed at before it is published: its own, else the gateway's.
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessToken => "access-token",
            Self::SubscriptionKey => "subscription-key",
        })
    }
}
