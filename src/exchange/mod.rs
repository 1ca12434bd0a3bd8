//! Subject token in, access token out.
//!
//! What an identity proves and what an exchange makes of it:
//!
//! | exchange | id token | SAML assertion | session (access token) |
//! |---|---|---|---|
//! | `entra` | client assertion (RFC 7523, 2.2) | `saml2-bearer` or `saml1_1-bearer`, of a federated AD FS only | handed on as it is |
//! | `saml-bearer` | refused | `saml2-bearer` (RFC 7522) | refused |
//! | `token-exchange` | `…:id_token` (RFC 8693) | `…:saml2` or `…:saml1`, base64url | `…:access_token` |
//! | `on-behalf-of` | refused | refused | `jwt-bearer` with `on_behalf_of`, if it is a person's |
//!
//! The actor of an `on-behalf-of` proves the application and gives an id token; that of a `token-exchange` is free. Who is
//! refused is told which identity sources would fit (`proof`).
//!
//! A new kind is one file with an [`Exchange`] and one line in [`exchanges`].

pub mod aadsts;
mod advice;
mod directory;
pub mod entra;
mod oauth;
pub mod on_behalf_of;
pub(crate) mod proof;
pub mod saml_bearer;
#[cfg(test)]
pub(crate) mod testing;
pub mod token_exchange;

use crate::{
    config::{self, Config, Method},
    error::Result,
    http::Client,
    identity::{IdentitySource, Subject},
    secret::Secret,
};
use async_trait::async_trait;
use entra::Entra;
use on_behalf_of::OnBehalfOf;
use saml_bearer::SamlBearer;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};
use token_exchange::TokenExchange;

/// An access token for one resource.
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// Whether it is presented as `Authorization: Bearer …`. One that is not (`token_type` `N_A`, RFC 8693, 2.2.1) is a
    /// key of the gateway's.
    pub bearer: bool,
    /// When the issuer's promise ends.
    pub expires_at: SystemTime,
    /// When the issuer wants it renewed, where it says so (`refresh_in`).
    pub refresh_at: Option<SystemTime>,
    /// Whom it was issued to: the claims of the subject token that it was exchanged for.
    pub subject: Subject,
}

/// A way from the workspace's identity to an access token. Each call uses a fresh subject token.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// A token for `scope`, such as `api://orders/.default`; some exchanges need none.
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken>;

    /// Ends a token that it has issued. Whether it can: without a way to do so, tokens expire.
    async fn revoke(&self, _token: &Secret) -> Result<bool> {
        Ok(false)
    }
}

/// The identities, by name.
pub type Identities = BTreeMap<String, Arc<dyn IdentitySource>>;

/// The exchanges of `config`, by name.
pub fn exchanges(
    config: &Config,
    identities: &Identities,
    http: &Client,
) -> Result<BTreeMap<String, Arc<dyn Exchange>>> {
    let exchange = |(name, exchange): (&String, &config::Exchange)| {
        // `validate` accepts no name that is not there.
        let identity = |name: &String| Arc::clone(&identities[name]);
        let subject = identity(&exchange.identity);
        let made: Arc<dyn Exchange> = match &exchange.method {
            Method::Entra(entra) => Arc::new(Entra::new(entra, subject, http)?),
            Method::SamlBearer(config) => Arc::new(SamlBearer::new(config, subject, http)),
            Method::TokenExchange(config) => {
                let actor = config.actor.as_ref().map(identity);
                Arc::new(TokenExchange::new(config, subject, actor, http))
            }
            Method::OnBehalfOf(config) => {
                Arc::new(OnBehalfOf::new(config, subject, identity(&config.actor), http))
            }
        };
        Ok((name.clone(), made))
    };
    config.exchanges.iter().map(exchange).collect()
}
