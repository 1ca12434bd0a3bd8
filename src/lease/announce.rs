//! A lessor says what it is about to mint before it does, so that somebody else can release it if this process dies.

use crate::error::Result;
use async_trait::async_trait;
use std::{sync::Arc, time::SystemTime};

/// What one credential has out at its service, or is about to have. Never a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mint<'a> {
    /// An APIM subscription, by its id.
    Subscription(&'a str),
    /// Tokens that their issuer could revoke. Only whoever holds a token can have it revoked, so that all that another
    /// process can know of them is when the last one ends; `None` while one is under way.
    Tokens {
        /// The end of the last one.
        until: Option<SystemTime>,
    },
}

/// Where it is said. Both methods are about one credential, and may be repeated.
#[async_trait]
pub trait Announce: Send + Sync {
    /// It may exist from now on. Waits while what a predecessor left under the same name is being released.
    ///
    /// Errors: it could not be written down, so it must not be minted.
    async fn minting(&self, what: Mint<'_>) -> Result<()>;

    /// It does not exist any more, and no request is under way that could change that.
    fn ended(&self, what: Mint<'_>);
}

/// Says it to nobody.
pub struct Unannounced;

#[async_trait]
impl Announce for Unannounced {
    async fn minting(&self, _: Mint<'_>) -> Result<()> {
        Ok(())
    }

    fn ended(&self, _: Mint<'_>) {}
}

/// [`Unannounced`], shared.
pub fn unannounced() -> Arc<dyn Announce> {
    Arc::new(Unannounced)
}
