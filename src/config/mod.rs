//! File, environment and flags become one validated [`Config`] before the first side effect.

//!
//! ```text
//! file ── document ─┐
//! environment ──────┼─ layers ── validate ──► Config, or one error that says all that is wrong
//! flags ────────────┘            (forms, endpoint, env_name)
//! ```
//!
//! A file that was merely found is followed only as far as it is harmless or was allowed: [`trust`].
//!
//! Only [`mod@file`] and [`trust`]'s records and policies read anything from outside; the environment and the current
//! folder come in through [`Inputs`].

pub mod cloud;
pub mod credential;
pub mod document;
pub mod duration;
pub mod endpoint;
pub mod env;
pub mod env_name;
pub mod exchange;
pub mod file;
pub mod forms;
pub mod keys;
pub mod layers;
pub mod problem;
pub mod source;
pub mod trust;
pub mod unknown;
pub mod validate;

pub use credential::{Credential, Kind, Target};
pub use env::Env;
pub use exchange::{Arm, Client, ClientAuth, Entra, Exchange, Method, OnBehalfOf, SamlBearer, TokenExchange};
pub use keys::DEFAULT;
pub use layers::Entry;
pub use source::Source;

use crate::error::{Error, Result};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use trust::{Doubts, Places};
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

/// What a configuration is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make credentials: all of it counts.
    Credentials,
    /// To manage an APIM service as the application of `[entra]`: only who we are counts. What it says of gateways and
    /// credentials is not looked at, and the [`Config`] has none.
    Management,
}

/// The whole configuration, checked. Of a file that was found nothing is trusted that is not harmless by itself.
///
/// # Errors
/// `Class::Config` with everything that is wrong in it; `Class::Denied` for a found file that needs trust.
pub fn load(inputs: &Inputs<'_>) -> Result<Config> {
    load_for(inputs, Purpose::Credentials, &Places::default())
}

/// The configuration, checked as far as the purpose needs it, with what the records and policies at `places` allow.
///
/// # Errors
/// As those of [`load`].
pub fn load_for(inputs: &Inputs<'_>, purpose: Purpose, places: &Places) -> Result<Config> {
    let file = file::read(inputs)?;
    let folders = folders(file.as_ref(), inputs);
    let layers = resolve(file.as_ref(), inputs);
    let found = file.as_ref().filter(|file| file.found).map(|file| (file, Doubts::about(&layers)));
    let checked = validate::config_for(layers, folders, purpose);
    // Without a file much is missing at once, and only because of that.
    let unfound = file.is_none() && matches!(inputs.file, Choice::Usual(_));
    let config =
        checked.map_err(|error| if unfound { file::not_found(error, inputs.folder) } else { error })?;
    if let Some((file, doubts)) = found {
        doubts.settle(file, places)?;
    }
    Ok(config)
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
    let env = match inputs.file {
        Choice::Usual(_) => inputs.env,
        Choice::Nothing => &inputs.env.without_entries_but(inputs.flags),
    };
    layers::Layers::resolve(document, env, inputs.flags, inputs.host_name)
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
    /// Where subject tokens come from, by name; [`DEFAULT`] is `[identity]`.
    pub identities: BTreeMap<String, Identity>,
    /// Who exchanges them, by name; [`DEFAULT`] is `[entra]`, and only there when something uses it.
    pub exchanges: BTreeMap<String, Exchange>,
    /// The APIM gateways, by name; [`DEFAULT`] is `[gateway]`.
    pub gateways: BTreeMap<String, Gateway>,
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

impl Config {
    /// `[gateway]`: the one whose URL is published.
    pub fn gateway(&self) -> &Gateway {
        // `validate` makes no configuration for credentials without it, and none of the other commands asks for it.
        &self.gateways[DEFAULT]
    }

    /// `[identity]`.
    pub fn identity(&self) -> &Identity {
        // As above.
        &self.identities[DEFAULT]
    }
}

/// The identity source and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which source.
    pub source: Source,
    /// What the token is asked for, where that is set; else the audience that the exchange's cloud wants.
    pub audience: Option<String>,
    /// `ona`, `gitpod`: base URL of the platform's API, where it is not the usual one.
    pub url: Option<Url>,
    /// `ona`: the file with the bearer for the API. Default `/usr/local/gitpod/secrets/token`.
    pub bearer_file: PathBuf,
    /// `file`: the file with the id token (also `AZURE_FEDERATED_TOKEN_FILE`).
    pub token_file: Option<PathBuf>,
    /// `env` and `gitlab`: the variable with the id token, if not [`ID_TOKEN_VARIABLE`] and [`GITLAB_VARIABLE`].
    pub variable: Option<String>,
    /// `command`, `saml`: the program and its arguments; never empty.
    pub command: Option<Vec<String>>,
    /// `saml`: the file with the assertion.
    pub assertion_file: Option<PathBuf>,
    /// `device-code`, `browser`, `azure-cli`, `azd`: the tenant to sign in at, if not that of `[entra]`.
    pub tenant_id: Option<String>,
    /// `device-code`, `browser`: the application to sign in to, if not that of `[entra]`. `managed-identity`: which
    /// user-assigned identity.
    pub client_id: Option<String>,
    /// `device-code`, `browser`: where to sign in, such as `https://login.microsoftonline.com`; that of `[entra]` unless it is
    /// set.
    pub authority: Url,
    /// `managed-identity`: base URL of the instance metadata service, if that was said; plain http by its nature. Usually it
    /// is `http://169.254.169.254`.
    pub imds_url: Option<Url>,
}

/// An APIM gateway and the service behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Base URL, such as `https://contoso.azure-api.net`.
    pub url: Url,
    /// ARM resource id of the APIM service; needed for `subscription-key`.
    pub service: Option<String>,
    /// Path that every credential is probed at unless it names its own.
    pub probe: Option<String>,
}
