//! Writes the tokens: an application's, and a person's.
//!
//! Access tokens have version 1.0, as ARM's and Key Vault's do, and those of an application registration whose
//! `requestedAccessTokenVersion` was never set. Id tokens of the v2.0 endpoints have version 2.0.

use super::{
    errors::guid,
    scope::{Resource, UserScope},
};
use crate::{
    clock,
    emulator::{jwt::SigningKey, world::World},
    error::Result,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::time::SystemTime;

/// How far back Entra dates its tokens, for services whose clock is behind.
const BACKDATED: u64 = 300;

/// How the client proved itself: the claim `appidacr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not at all: a public client.
    None,
    /// By an assertion.
    Assertion,
}

/// What a person agreed to; codes and refresh tokens stand for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) scope: UserScope,
    /// Given back in the id token.
    pub(super) nonce: Option<String>,
    pub(super) proof: Proof,
}

/// The body of a success for an application.
pub(super) fn for_app(
    world: &World,
    keys: &SigningKey,
    resource: &Resource,
    now: SystemTime,
) -> Result<Value> {
    let life = Life::of(world);
    let mut claims = common(world, &resource.audience, &life, Proof::Assertion, now);
    claims["idtyp"] = json!("app");
    claims["oid"] = json!(world.principal_id);
    claims["sub"] = json!(world.principal_id);
    if !resource.roles.is_empty() {
        claims["roles"] = json!(resource.roles);
    }
    Ok(body(&life, &keys.sign(&claims)?))
}

/// The same for a person: with an id token where `openid` was asked for, without a refresh token. `host` names the
/// issuer of the id token, as discovery does.
pub(super) fn for_user(
    world: &World,
    keys: &SigningKey,
    session: &Session,
    host: &str,
    now: SystemTime,
) -> Result<Value> {
    let (life, user, scope) = (Life::of(world), &world.sign_in.user, &session.scope);
    let mut claims = common(world, &scope.audience, &life, session.proof, now);
    claims["idtyp"] = json!("user");
    claims["oid"] = json!(user.object_id);
    claims["sub"] = json!(pairwise(&user.object_id, &scope.audience));
    claims["name"] = json!(user.name);
    claims["upn"] = json!(user.upn);
    claims["unique_name"] = json!(user.upn);
    claims["acr"] = json!("1");
    claims["amr"] = json!(["pwd", "mfa"]);
    claims["scp"] = json!(scope.permissions.join(" "));
    let mut body = body(&life, &keys.sign(&claims)?);
    body["scope"] = json!(scope.told);
    if scope.openid {
        body["id_token"] = json!(keys.sign(&id_token(world, session, host, now))?);
    }
    Ok(body)
}

/// What MSAL tells accounts apart by, where it asks for it with `client_info=1`.
pub(super) fn client_info(world: &World) -> String {
    let info = json!({"uid": world.sign_in.user.object_id, "utid": world.tenant_id});
    URL_SAFE_NO_PAD.encode(info.to_string())
}

/// The claims that all access tokens have.
fn common(world: &World, audience: &str, life: &Life, proof: Proof, now: SystemTime) -> Value {
    let at = clock::unix(now);
    let issuer = format!("https://sts.windows.net/{}/", world.tenant_id);
    json!({
        "aud": audience,
        "iss": issuer,
        "iat": at.saturating_sub(BACKDATED),
        "nbf": at.saturating_sub(BACKDATED),
        "exp": at.saturating_add(life.real),
        "aio": format!("k2Bg{}", opaque()),
        "appid": world.client_id,
        "appidacr": match proof { Proof::None => "0", Proof::Assertion => "2" },
        "idp": issuer,
        "rh": format!("1.A{}.", opaque()),
        "tid": world.tenant_id,
        "uti": opaque(),
        "ver": "1.0",
    })
}

fn id_token(world: &World, session: &Session, host: &str, now: SystemTime) -> Value {
    let (at, user) = (clock::unix(now), &world.sign_in.user);
    let mut claims = json!({
        "aud": world.client_id,
        "iss": format!("https://{host}/{}/v2.0", world.tenant_id),
        "iat": at.saturating_sub(BACKDATED),
        "nbf": at.saturating_sub(BACKDATED),
        // Id tokens live an hour, whatever access tokens do.
        "exp": at.saturating_add(3600),
        "name": user.name,
        "oid": user.object_id,
        "preferred_username": user.upn,
        "rh": format!("1.A{}.", opaque()),
        "sub": pairwise(&user.object_id, &world.client_id),
        "tid": world.tenant_id,
        "uti": opaque(),
        "ver": "2.0",
    });
    if let Some(nonce) = &session.nonce {
        claims["nonce"] = json!(nonce);
    }
    claims
}

fn body(life: &Life, access_token: &str) -> Value {
    json!({
        "token_type": "Bearer",
        "expires_in": life.told,
        "ext_expires_in": life.told,
        "access_token": access_token,
    })
}

/// How long a token lives, in seconds, and how long Entra says it does.
struct Life {
    real: u64,
    told: u64,
}

impl Life {
    /// 60 to 90 minutes, as Entra spreads it, of which it tells a second less; a fixed life is told as it is, since
    /// one of one second could not be.
    fn of(world: &World) -> Self {
        if let Some(life) = world.access_token_life {
            let life = life.as_secs().max(1);
            return Self { real: life, told: life };
        }
        let random = u64::from_str_radix(&guid()[..8], 16).unwrap_or(0);
        let real = 3600 + random % 1801;
        Self { real, told: real - 1 }
    }
}

/// A person's `sub`: another one for each audience, so that two services cannot compare theirs.
fn pairwise(object_id: &str, audience: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("{object_id} {audience}").as_bytes()))
}

/// Text for the claims in which Entra keeps what only it can read.
fn opaque() -> String {
    URL_SAFE_NO_PAD.encode(&guid().as_bytes()[..16])
}
