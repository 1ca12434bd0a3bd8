//! Subject token in, access token out.

pub mod aadsts;
mod advice;
pub mod entra;

use crate::{error::Result, identity::claims::Claims, secret::Secret};
use async_trait::async_trait;
use std::time::SystemTime;

/// An access token for one resource.
pub struct AccessToken {
    /// The bearer token.
    pub token: Secret,
    /// When the issuer's promise ends.
    pub expires_at: SystemTime,
    /// When the issuer wants it renewed, where it says so (`refresh_in`).
    pub refresh_at: Option<SystemTime>,
    /// Whom it was issued to: the claims of the assertion that it was exchanged for.
    pub subject: Claims,
}

/// A way from the workspace's identity to an access token. Each call uses a fresh assertion.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// A token for `scope`, such as `api://orders/.default`.
    async fn exchange(&self, scope: &str) -> Result<AccessToken>;
}
