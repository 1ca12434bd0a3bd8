//! Identities and exchanges that tell of what passes through them.

use super::Watch;
use crate::{
    clock,
    error::Result,
    exchange::{AccessToken, Exchange},
    identity::{IdentitySource, Miss, Proof, Subject, Want},
    lifecycle::status::Seen,
    secret::Secret,
};
use async_trait::async_trait;
use std::sync::Arc;

/// Notes as whom an identity was proved.
///
/// The lease does not carry it: all that an identity's proof leads to is its subject's, and one that was cached on the way
/// is as well.
pub(super) struct Known {
    pub(super) inner: Arc<dyn IdentitySource>,
    pub(super) seen: Seen,
}

#[async_trait]
impl IdentitySource for Known {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let proved = self.inner.prove(want).await?;
        self.seen.set((&proved.0).into());
        Ok(proved)
    }
}

/// Tells of every exchange.
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Exchange>,
    pub(super) watch: Arc<dyn Watch>,
}

#[async_trait]
impl Exchange for Watched {
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        let start = clock::now();
        let token = self.inner.exchange(scope).await?;
        let took = clock::now().duration_since(start).unwrap_or_default();
        self.watch.exchanged(scope, &token, took);
        Ok(token)
    }

    async fn revoke(&self, token: &Secret) -> Result<bool> {
        self.inner.revoke(token).await
    }
}
