//! Kind `brokered`: what a token exchange hands out (RFC 8693) and takes back (RFC 7009). Access tokens of an exchange that
//! can revoke are the same thing, and come from here too.
//!
//! Every token that was handed out is remembered until it has been revoked. What cannot be known is a token whose answer
//! was lost on the way: it merely expires.

mod ledger;

use super::{
    Lease, Lessor, Released, Value,
    announce::{Announce, Mint, unannounced},
    probe::{Presented, Probe},
};
use crate::{
    clock,
    error::{Class, Error, Result},
    exchange::Exchange,
    secret::Secret,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use ledger::{Ledger, MOST};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Issues what one exchange gives for one scope.
pub struct Brokered {
    exchange: Arc<dyn Exchange>,
    scope: Option<String>,
    probe: Option<Probe>,
    /// Whether the exchange takes back what it has issued.
    revokes: bool,
    /// Where it is written down until when tokens are out, if they can be revoked.
    announce: Arc<dyn Announce>,
    /// Never held across an await, so a call that is cut short leaves it whole.
    ledger: Mutex<Ledger>,
}

impl Brokered {
    /// For `scope`, where the exchange wants one. `revokes`: whether [`Exchange::revoke`] does anything. Without a `probe`
    /// a value counts as accepted once it is issued.
    pub fn new(
        exchange: Arc<dyn Exchange>,
        scope: Option<&str>,
        revokes: bool,
        probe: Option<Probe>,
    ) -> Self {
        let scope = scope.map(str::to_owned);
        Self { exchange, scope, probe, revokes, announce: unannounced(), ledger: Mutex::default() }
    }

    /// The same, with the tokens that can be revoked announced at `announce`.
    #[must_use]
    pub fn announced(mut self, announce: Arc<dyn Announce>) -> Self {
        self.announce = announce;
        self
    }

    /// Writes down until when tokens are out.
    async fn announce(&self) {
        if !self.revokes {
            return;
        }
        let until = self.ledger().latest_end();
        if until.is_none() {
            self.announce.ended(Mint::Tokens { until });
        } else if let Err(error) = self.announce.minting(Mint::Tokens { until }).await {
            // That some are out is written down already; their end is a courtesy to whoever reads it.
            tracing::warn!("the journal does not say until when a token is good: {error}");
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No code that holds it panics, and it is whole between any two of its methods anyway.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Revokes all of `tokens` at the same time, each of which is forgotten as soon as that is done; the others are left
    /// for the next call. Error: the first one.
    async fn revoke(&self, tokens: Vec<Arc<Secret>>) -> Result<()> {
        let revoke = async |token: Arc<Secret>| {
            if self.exchange.revoke(&token).await? {
                self.ledger().revoked(&token);
                return Ok(());
            }
            Err(Error::new(Class::Internal, "an exchange that was said to revoke does not"))
        };
        join_all(tokens.into_iter().map(revoke)).await.into_iter().collect()
    }
}

#[async_trait]
impl Lessor for Brokered {
    async fn issue(&self) -> Result<Lease> {
        if let Some(probe) = &self.probe {
            probe.warm().await;
        }
        // Taken before the request: a token must not pass for younger than it is.
        let issued_at = clock::now();
        if !self.ledger().has_room(issued_at) {
            // Whoever cannot take back must not hand out without end.
            return Err(Error::new(
                Class::TryAgain,
                format!("{MOST} tokens are out already, and none is asked for"),
            )
            .why("the gateway accepted none of them, or they could not be revoked")
            .fix("see the errors before this one"));
        }
        if self.revokes {
            self.announce.minting(Mint::Tokens { until: None }).await?;
        }
        let issued = match self.exchange.exchange(self.scope.as_deref()).await {
            Ok(issued) => issued,
            Err(error) => {
                self.announce().await;
                return Err(error);
            }
        };
        // From here on it can be revoked, whatever becomes of this call.
        let lease = Value::Text(issued.token.duplicate());
        self.ledger().issued(issued.token, issued.bearer, issued.expires_at, self.revokes);
        self.announce().await;
        Ok(Lease { value: lease, issued_at, expires_at: issued.expires_at, refresh_at: issued.refresh_at })
    }

    async fn probe(&self, lease: &Lease) -> Result<()> {
        let Some(token) = lease.text() else { return Ok(()) };
        if let Some(probe) = &self.probe {
            let presented = if self.ledger().is_bearer(token) { Presented::Token } else { Presented::Key };
            probe.check(presented, token).await?;
        }
        self.ledger().accepted(token);
        Ok(())
    }

    /// Besides the value before the current one, those end that were never accepted.
    async fn retire(&self) -> Result<()> {
        if !self.revokes {
            return Ok(());
        }
        let tokens = self.ledger().all_but_accepted();
        self.revoke(tokens).await
    }

    fn retires(&self) -> bool {
        self.revokes
    }

    async fn release(&self) -> Result<Released> {
        if !self.ledger().has_issued() {
            return Ok(Released::Nothing);
        }
        if !self.revokes {
            self.ledger().forget();
            return Ok(Released::Expires);
        }
        let tokens = self.ledger().all();
        self.revoke(tokens).await?;
        self.announce().await;
        Ok(Released::Revoked)
    }
}

#[cfg(test)]
mod tests;
