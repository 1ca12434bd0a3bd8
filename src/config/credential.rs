//! What the workspace wants: `[credentials.NAME]`.

use std::{fmt, time::Duration};
use url::Url;

/// One entry under `[credentials]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The entry's name.
    pub name: String,
    /// What it is, and what for.
    pub target: Target,
    /// The environment variable it is published as; files are named by `ENV_FILE`, `ENV_CRT_FILE` and `ENV_KEY_FILE`.
    pub env: String,
    /// Whether the agent is ready only with it, and ends with an error without it.
    pub required: bool,
    /// The gateway it is for, by name.
    pub gateway: String,
    /// Path it is probed at before it is published: its own, else the gateway's.
    pub probe: Option<String>,
    /// `subscription-key`: how long a published key is good for. `vault-…`: for how long a value is published after the
    /// vault has last confirmed it.
    pub lifetime: Duration,
    /// `subscription-key` and `brokered`: how long the value before stays good after its successor was published. Of a key
    /// it is shorter than `lifetime`; unless set, a minute or a quarter of that, whichever is less.
    pub grace: Duration,
}

/// What a credential is, and what it opens. Exchanges and identities are given by their names in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An access token.
    AccessToken {
        /// Who issues it.
        exchange: String,
        /// At Entra a scope ending in `/.default`.
        scope: String,
    },
    /// The workspace's own id token.
    IdToken {
        /// Whose.
        identity: String,
        /// For whom.
        audience: String,
    },
    /// An APIM subscription of its own.
    SubscriptionKey {
        /// Who issues the token for Azure Resource Manager.
        exchange: String,
        /// `/products/ID`, `/apis/ID` or `/apis`.
        scope: String,
    },
    /// A Key Vault secret.
    VaultSecret(InVault),
    /// A Key Vault certificate with its private key.
    VaultCertificate(InVault),
    /// What a token exchange hands out and takes back.
    Brokered {
        /// The exchange, of kind `token-exchange`.
        exchange: String,
        /// What for.
        scope: Option<String>,
    },
}

/// An object in a Key Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InVault {
    /// Who issues the token for the vault.
    pub exchange: String,
    /// The vault's base URL, such as `https://contoso.vault.azure.net`.
    pub vault: Url,
    /// The secret's or certificate's name.
    pub name: String,
    /// A version of it; else the current one, whichever that is.
    pub version: Option<String>,
}

impl Target {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::AccessToken { .. } => Kind::AccessToken,
            Self::IdToken { .. } => Kind::IdToken,
            Self::SubscriptionKey { .. } => Kind::SubscriptionKey,
            Self::VaultSecret(_) => Kind::VaultSecret,
            Self::VaultCertificate(_) => Kind::VaultCertificate,
            Self::Brokered { .. } => Kind::Brokered,
        }
    }

    /// The exchange that it needs, by name.
    pub fn exchange(&self) -> Option<&str> {
        match self {
            Self::AccessToken { exchange, .. }
            | Self::SubscriptionKey { exchange, .. }
            | Self::Brokered { exchange, .. } => Some(exchange),
            Self::VaultSecret(place) | Self::VaultCertificate(place) => Some(&place.exchange),
            Self::IdToken { .. } => None,
        }
    }
}

/// What it opens, for people.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessToken { scope, .. }
            | Self::SubscriptionKey { scope, .. }
            | Self::Brokered { scope: Some(scope), .. } => f.write_str(scope),
            Self::IdToken { audience, .. } => f.write_str(audience),
            Self::VaultSecret(place) => write!(f, "{}secrets/{}", place.vault, place.name),
            Self::VaultCertificate(place) => write!(f, "{}certificates/{}", place.vault, place.name),
            Self::Brokered { exchange, scope: None } => f.write_str(exchange),
        }
    }
}

/// Credential kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An access token.
    AccessToken,
    /// An id token.
    IdToken,
    /// An APIM subscription of its own.
    SubscriptionKey,
    /// A Key Vault secret.
    VaultSecret,
    /// A Key Vault certificate.
    VaultCertificate,
    /// What a token exchange hands out and takes back.
    Brokered,
}

impl Kind {
    /// All of them with their names in the configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("access-token", Self::AccessToken),
        ("id-token", Self::IdToken),
        ("subscription-key", Self::SubscriptionKey),
        ("vault-secret", Self::VaultSecret),
        ("vault-certificate", Self::VaultCertificate),
        ("brokered", Self::Brokered),
    ];

    /// The settings that it takes besides `kind`, `env` and `required`.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::AccessToken => &["scope", "exchange", "gateway", "probe"],
            Self::IdToken => &["audience", "identity", "gateway", "probe"],
            Self::SubscriptionKey => &["scope", "exchange", "gateway", "probe", "lifetime", "grace"],
            Self::VaultSecret => &["vault", "secret", "version", "exchange", "lifetime"],
            Self::VaultCertificate => {
                &["vault", "certificate", "version", "exchange", "lifetime", "gateway", "probe"]
            }
            Self::Brokered => &["exchange", "scope", "gateway", "probe", "grace"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name))
    }
}

/// The variable that names a file: `ENV_FILE`, or `ENV_CRT_FILE` for the part `crt`.
pub fn file_variable(env: &str, part: Option<&str>) -> String {
    match part {
        Some(part) => format!("{env}_{}_FILE", part.to_ascii_uppercase()),
        None => format!("{env}_FILE"),
    }
}
