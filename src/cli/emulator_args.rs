//! How the emulator behaves, as flags of `run --emulator` and `emulator`.

use crate::config::duration;
use std::time::Duration;
use url::Url;

/// Options of the emulator. What is not given is the emulator's own default.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Emulator options")]
pub struct EmulatorOptions {
    /// Access tokens and keys live 20s, id tokens 60s, and the grace is 4s
    #[arg(long)]
    pub short_lives: bool,
    /// How long access tokens live [default: 60 to 90 minutes, as at Entra]
    #[arg(long, value_name = "DURATION", value_parser = life)]
    pub access_token_life: Option<Duration>,
    /// How long the workspace's id tokens live [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = life)]
    pub id_token_life: Option<Duration>,
    /// Lifetime of the configured key, and of the broker's keys [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = life)]
    pub key_life: Option<Duration>,
    /// How long an old key works on [default: 60s or a quarter of its life]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub grace: Option<Duration>,
    /// How long the gateway does not know a new key [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub key_delay: Option<Duration>,
    /// Wait before each answer [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub latency: Option<Duration>,
    /// Calls a minute for each key at the gateway [default: 600]
    #[arg(long, value_name = "CALLS")]
    pub rate_limit: Option<u32>,
    /// Role action that the identity holds, instead of all; repeatable
    #[arg(long, value_name = "ACTION")]
    pub role_action: Vec<String>,
    /// Its data action at Key Vault, instead of all; repeatable
    #[arg(long, value_name = "ACTION")]
    pub data_action: Vec<String>,
    /// Another issuer that Entra trusts, for one subject or for all; repeatable
    #[arg(long, value_name = "URL[,SUBJECT]", value_parser = issuer)]
    pub trust_issuer: Vec<TrustedIssuer>,
    /// Port of the workspace's identity API [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_identity: Option<u16>,
    /// Port of Entra [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_entra: Option<u16>,
    /// Port of Azure Resource Manager [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_arm: Option<u16>,
    /// Port of Key Vault [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_key_vault: Option<u16>,
    /// Port of the gateway [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_gateway: Option<u16>,
    /// Port of the CONNECT proxy for the public names [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_proxy: Option<u16>,
    /// Port for faults and the journal [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_control: Option<u16>,
    /// Port of the Instance Metadata Service [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_imds: Option<u16>,
    /// Port of Gitpod Classic's supervisor [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port_supervisor: Option<u16>,
}

/// An issuer besides the workspace's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Its URL as given: it is compared with the tokens' `iss` letter by letter.
    pub url: String,
    /// The only subject to trust; any if `None`.
    pub subject: Option<String>,
}

/// The four lives that `--short-lives` and the flags beside it set. `None` leaves the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    /// Of access tokens.
    pub access_token: Option<Duration>,
    /// Of the workspace's id tokens.
    pub id_token: Option<Duration>,
    /// Of the default configuration's subscription key: its `lifetime`.
    pub key: Option<Duration>,
    /// The `grace` of that key.
    pub grace: Option<Duration>,
}

impl EmulatorOptions {
    /// The lives asked for; a flag of its own beats `--short-lives`.
    pub fn lives(&self) -> Lives {
        let short = |given: Option<Duration>, seconds| {
            given.or(self.short_lives.then_some(Duration::from_secs(seconds)))
        };
        Lives {
            access_token: short(self.access_token_life, 20),
            id_token: short(self.id_token_life, 60),
            key: short(self.key_life, 20),
            grace: short(self.grace, 4),
        }
    }

    /// The name of the first flag that was given, in the order of the help.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.short_lives, "--short-lives"),
            (self.access_token_life.is_some(), "--access-token-life"),
            (self.id_token_life.is_some(), "--id-token-life"),
            (self.key_life.is_some(), "--key-life"),
            (self.grace.is_some(), "--grace"),
            (self.key_delay.is_some(), "--key-delay"),
            (self.latency.is_some(), "--latency"),
            (self.rate_limit.is_some(), "--rate-limit"),
            (!self.role_action.is_empty(), "--role-action"),
            (!self.data_action.is_empty(), "--data-action"),
            (!self.trust_issuer.is_empty(), "--trust-issuer"),
            (self.port_identity.is_some(), "--port-identity"),
            (self.port_entra.is_some(), "--port-entra"),
            (self.port_arm.is_some(), "--port-arm"),
            (self.port_key_vault.is_some(), "--port-key-vault"),
            (self.port_gateway.is_some(), "--port-gateway"),
            (self.port_proxy.is_some(), "--port-proxy"),
            (self.port_control.is_some(), "--port-control"),
            (self.port_imds.is_some(), "--port-imds"),
            (self.port_supervisor.is_some(), "--port-supervisor"),
        ];
        given.into_iter().find_map(|(given, name)| given.then_some(name))
    }
}

/// A span of time, also none.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|allowed| format!("{allowed}, such as 500ms or 20s"))
}

/// A life: a token that is born expired helps nobody.
fn life(text: &str) -> Result<Duration, String> {
    let least = Duration::from_secs(2);
    match span(text)? {
        life if life >= least => Ok(life),
        _ => Err(format!("allowed is {} or more", duration::show(least))),
    }
}

fn issuer(text: &str) -> Result<TrustedIssuer, String> {
    let (url, subject) = match text.split_once(',') {
        Some((url, subject)) => (url, Some(subject)),
        None => (text, None),
    };
    let is_fine = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    if !is_fine {
        return Err(
            "wanted is an http or https URL, then a comma and a subject if only one is trusted".to_owned()
        );
    }
    match subject {
        Some("") => Err("after the comma a subject is missing".to_owned()),
        _ => Ok(TrustedIssuer { url: url.to_owned(), subject: subject.map(str::to_owned) }),
    }
}
