//! The person who rotates what is in the vault: a second principal, who holds every data action.
//!
//! The workspace's own rights can so be as narrow as a test wants, and what it reads changes all the same, by ordinary
//! `SetSecret` and `ImportCertificate` requests. The token is had at the control port: whoever reaches that could spoil
//! everything anyway.

use super::auth::AUDIENCE;
use crate::{
    clock,
    emulator::{jwt::SigningKey, world::World},
    error::Result,
};
use serde_json::json;
use std::time::SystemTime;

/// How long the operator's token lives, in seconds.
const LIFE: u64 = 3600;

/// An access token for Key Vault of the operator.
pub(in crate::emulator) fn token(world: &World, keys: &SigningKey, now: SystemTime) -> Result<String> {
    let at = clock::unix(now);
    let issuer = format!("https://sts.windows.net/{}/", world.tenant_id);
    keys.sign(&json!({
        "aud": AUDIENCE, "iss": issuer, "idp": issuer, "iat": at, "nbf": at, "exp": at + LIFE,
        "appid": world.operator_id, "oid": world.operator_id, "sub": world.operator_id, "tid": world.tenant_id,
        "idtyp": "app", "ver": "1.0",
    }))
}
