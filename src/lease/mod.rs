//! One issued value of a credential: the secret, its expiry, and how to release it.

pub mod access_token;
pub mod arm;
pub mod probe;
pub mod subscription_key;

use crate::{error::Result, secret::Secret};
use async_trait::async_trait;
use std::time::SystemTime;

/// One issued value.
pub struct Lease {
    /// What the workspace gets.
    pub secret: Secret,
    /// When it was issued.
    pub issued_at: SystemTime,
    /// After this it must not be published.
    pub expires_at: SystemTime,
    /// When the issuer wants it renewed, where it says so.
    pub refresh_at: Option<SystemTime>,
}

/// How a credential ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The service has forgotten it: the value is refused from now on.
    Revoked,
    /// It cannot be revoked and merely expires.
    Expires,
    /// There was nothing to release.
    Nothing,
}

/// What issues the leases of one credential. The lifecycle calls one method at a time for each credential.
///
/// Methods take `&self`, so that a call that is cut short (a signal during a renewal) leaves the record of what was
/// minted with the lessor, and [`Lessor::release`] still finds it.
#[async_trait]
pub trait Lessor: Send + Sync {
    /// Issues the next value. The one before it stays good.
    async fn issue(&self) -> Result<Lease>;

    /// Asks the gateway whether it accepts `lease`. `Class::TryAgain` means: not yet.
    async fn probe(&self, lease: &Lease) -> Result<()>;

    /// Ends the value before the current one, the grace period being over. Does nothing where that is impossible.
    async fn retire(&self) -> Result<()>;

    /// Whether [`Lessor::retire`] does anything.
    fn retires(&self) -> bool;

    /// Ends everything this lessor has minted. Repeatable: a second call continues where the first one failed.
    async fn release(&self) -> Result<Released>;
}
