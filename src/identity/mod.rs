//! Who am I: where the workspace's subject token comes from.
//!
//! A new source is one file with a [`TokenSource`] (or, where it gives something else than an id token, an
//! [`IdentitySource`]), one line in [`select`], and its name in [`crate::config::Source`].

pub mod azd;
pub mod azure_cli;
pub mod browser;
pub mod buildkite;
mod checks;
pub mod circleci;
pub mod claims;
pub mod cli;
pub mod command;
pub mod developer_cli;
pub mod device_code;
pub mod env;
pub mod file;
pub mod github_actions;
pub mod gitlab;
pub mod gitpod;
pub mod managed_identity;
mod oauth;
pub mod ona;
pub mod prebuild;
mod process;
pub mod prompt;
mod read;
mod refusal;
pub mod saml;
pub mod select;
pub mod session;
#[cfg(test)]
pub(crate) mod testing;

use crate::{
    error::{Class, Error},
    secret::Secret,
};
use async_trait::async_trait;
use claims::Claims;
use std::time::SystemTime;

/// The workspace's OIDC token, parsed but not verified: its verification is the business of whom we present it to.
pub struct IdToken {
    /// The compact JWT.
    pub token: Secret,
    /// What it says of us.
    pub claims: Claims,
}

/// Why a source gave no token. The two are told apart so that a broken source never silently becomes another one.
#[derive(Debug)]
pub enum Miss {
    /// This workspace does not have that source: what was looked for.
    NotHere(String),
    /// It has it, and it failed.
    Broken(Error),
}

impl Miss {
    /// The failure, for whoever needs a token and has no other `source` to turn to.
    pub fn into_error(self, source: &str) -> Error {
        match self {
            Self::Broken(error) => error,
            Self::NotHere(what) => Error::new(Class::Config, match source {
                "auto" => "no id token: none of the identity sources is here".to_owned(),
                _ => format!("no id token: the identity source {source} is not here"),
            })
                .why(what)
                .fix("run where one of them is, or set identity.command, identity.token_file or identity.source to where the token is"),
        }
    }
}

/// One place that id tokens come from. Each call fetches anew; nothing is cached.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The name in the configuration, such as `ona`.
    fn name(&self) -> &'static str;

    /// Fetches a fresh token for `audience`.
    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss>;
}

/// Whose identity it is. A person's ends with the person's session and can do what the person can; a workspace's is its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The workspace, the job or the machine.
    Workspace,
    /// A person who has signed in.
    User,
}

/// Who we are, as far as the source says.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The source's name, such as `ona`.
    pub source: &'static str,
    /// Whose identity it is.
    pub actor: Actor,
    /// What the token says.
    pub claims: Claims,
}

/// What is wanted of a source.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// For whom an id token or an assertion has to be.
    pub audience: &'a str,
    /// What an access token would be for. `None` where only an id token will do.
    pub scope: Option<&'a str>,
}

/// How a source proves it. An exchange makes an access token of it, or finds that it has one already.
pub enum Proof {
    /// An OIDC id token for the audience (a compact JWT, RFC 7519).
    IdToken(Secret),
    /// A SAML 2.0 assertion: its XML.
    Saml(Secret),
    /// An access token for the scope: a session that somebody has signed in to.
    Session {
        /// The bearer token.
        token: Secret,
        /// When it expires.
        expires_at: SystemTime,
        /// When its issuer wants it renewed, where it says so.
        refresh_at: Option<SystemTime>,
    },
}

/// Where the workspace's identity comes from. Each call proves it anew.
#[async_trait]
pub trait IdentitySource: Send + Sync {
    /// The name in the configuration, such as `ona`.
    fn name(&self) -> &'static str;

    /// Who we are, and the proof.
    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss>;
}

/// A chosen source is one as well.
#[async_trait]
impl IdentitySource for Box<dyn IdentitySource> {
    fn name(&self) -> &'static str {
        self.as_ref().name()
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        self.as_ref().prove(want).await
    }
}
