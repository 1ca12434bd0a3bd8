//! Subject token in, access token out.
//!
//! A new kind is one file with an [`Exchange`] and one line in [`exchanges`].

pub mod aadsts;
mod advice;
pub mod entra;

use crate::{
    config::{self, Config, Method},
    error::Result,
    http::Client,
    identity::{IdentitySource, Subject},
    secret::Secret,
};
use async_trait::async_trait;
use entra::Entra;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

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
        let identity = Arc::clone(&identities[&exchange.identity]);
        let made: Arc<dyn Exchange> = match &exchange.method {
            Method::Entra(entra) => Arc::new(Entra::new(entra, identity, http)?),
            Method::SamlBearer(_) | Method::TokenExchange(_) | Method::OnBehalfOf(_) => todo!("being built"),
        };
        Ok((name.clone(), made))
    };
    config.exchanges.iter().map(exchange).collect()
}
