//! The token endpoint: the checks in Entra's order, then the access token.
//!
//! The order is known in part: a missing credential is complained about even for tenants that do not exist, and of a
//! federated credential the issuer comes first. The subject stands before the audience because issuer and subject
//! together name one credential, which then has its audience.

use super::errors::{Refusal, guid};
use crate::{
    clock,
    emulator::{
        issuer::ENTRA_AUDIENCE,
        jwt::{self, SigningKey, Verified},
        key_vault,
        server::pairs,
        trust::{Distrust, Trust},
        wire::Request,
        world::World,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{collections::HashSet, time::SystemTime};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The resource that Azure Resource Manager's tokens are for, and an older name of it.
const ARM: &str = "https://management.azure.com";
const ARM_CLASSIC: &str = "https://management.core.windows.net";

/// How far back Entra dates its tokens, for services whose clock is behind.
const BACKDATED: u64 = 300;

/// A token that was asked for and may be had.
pub(super) struct Grant {
    /// The resource, as `aud`.
    audience: String,
    /// The application's roles there.
    roles: &'static [&'static str],
    /// The federated subject, for the journal.
    pub(super) subject: String,
}

/// The fields of the form that are read; all others are tolerated, as Entra does with `client_info`, `claims` and
/// `x-client-…`.
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key == name)?.1.as_str();
        (!value.is_empty()).then_some(value)
    }

    /// The first parameter, known or not, that is there a second time.
    fn duplicated(&self) -> Option<&str> {
        let mut names = HashSet::new();
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !names.insert(*name))
    }

    fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }
}

/// Checks a request for a token.
pub(super) async fn check(
    world: &World,
    trust: &Trust,
    tenant: &str,
    request: &Request,
    now: SystemTime,
) -> Result<Grant, Refusal> {
    // A body of another type is not read, so that everything is missing in it.
    let is_form = request
        .header("content-type")
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    let form = Form(if is_form { pairs(&request.body) } else { Vec::new() });

    // Before all else: which of two values would the other checks be about?
    if let Some(name) = form.duplicated() {
        return Err(Refusal::duplicated(name));
    }
    let grant = form.need("grant_type")?;
    if grant != "client_credentials" {
        return Err(Refusal::grant(grant));
    }
    let assertion =
        form.get("client_assertion").filter(|_| form.get("client_assertion_type") == Some(JWT_BEARER));
    if assertion.is_none() && form.get("client_secret").is_none() {
        return Err(Refusal::no_credential());
    }
    if !tenant.eq_ignore_ascii_case(&world.tenant_id) {
        return Err(Refusal::tenant(tenant));
    }
    let client = form.need("client_id")?;
    if !client.eq_ignore_ascii_case(&world.client_id) {
        return Err(Refusal::client(client, tenant));
    }
    let (audience, roles) = resource(world, form.need("scope")?)?;
    // The application has no secret, so that every one is wrong.
    let assertion = assertion.ok_or_else(|| Refusal::wrong_secret(client))?;
    let subject = federated(trust, assertion, now).await?;
    Ok(Grant { audience, roles, subject })
}

/// The audience and roles behind a scope.
fn resource(world: &World, scope: &str) -> Result<(String, &'static [&'static str]), Refusal> {
    if scope.split_whitespace().count() > 1 {
        return Err(Refusal::several_scopes(scope));
    }
    let resource = scope.strip_suffix("/.default").ok_or_else(|| Refusal::scope(scope))?;
    // `az` asks for `https://management.azure.com//.default`: what is left has a slash of its own.
    let plain = resource.strip_suffix('/').unwrap_or(resource);
    if plain == ARM || plain == ARM_CLASSIC {
        Ok((ARM.to_owned(), &[]))
    } else if plain == key_vault::AUDIENCE {
        // With a slash left it is another name, and Key Vault refuses it.
        Ok((resource.to_owned(), &[]))
    } else if plain == world.api_audience {
        Ok((world.api_audience.clone(), &["Echo.Call"]))
    } else if plain.is_empty() {
        Err(Refusal::scope(scope))
    } else {
        Err(Refusal::resource(resource, &world.tenant_id))
    }
}

/// Checks an assertion against the federated credentials; gives its subject.
async fn federated(trust: &Trust, assertion: &str, now: SystemTime) -> Result<String, Refusal> {
    let Verified { header, claims } = jwt::peek(assertion).map_err(|_| Refusal::malformed())?;
    let text = |name: &str| claims[name].as_str().ok_or_else(Refusal::malformed);
    let (issuer, subject) = (text("iss")?, text("sub")?);
    let (from, made_at) = (time(&claims["nbf"])?, time(&claims["iat"])?);
    let until = time(&claims["exp"])?.ok_or_else(Refusal::malformed)?;

    let of_issuer: Vec<_> = trust.credentials.iter().filter(|credential| credential.url == issuer).collect();
    if of_issuer.is_empty() {
        return Err(Refusal::issuer(issuer));
    }
    let matches = |same: fn(&str, &str) -> bool| {
        of_issuer
            .iter()
            .any(|credential| credential.subject.as_ref().is_none_or(|wanted| same(wanted, subject)))
    };
    if !matches(|wanted, subject| wanted == subject) {
        let case = matches(str::eq_ignore_ascii_case);
        return Err(if case { Refusal::subject_case(subject) } else { Refusal::subject(subject) });
    }
    let audiences = audiences(&claims["aud"]);
    if !audiences.contains(&ENTRA_AUDIENCE) {
        return Err(Refusal::audience(&audiences.join(",")));
    }
    trust.verify(assertion, issuer).await.map_err(|distrust| match distrust {
        Distrust::Unreachable => Refusal::issuer_unreachable(),
        Distrust::UnknownKey => Refusal::key_unknown(header["kid"].as_str().unwrap_or_default(), issuer),
        Distrust::Malformed => Refusal::malformed(),
        Distrust::Signature => Refusal::signature(),
    })?;
    let at = clock::unix(now);
    let early = [from, made_at].into_iter().flatten().any(|start| start > at);
    if early || until <= at {
        return Err(Refusal::time(now, from, until));
    }
    Ok(subject.to_owned())
}

/// A time in seconds (RFC 7519, 2), where the claim is there. One behind the year 9999 is refused as .NET, in which
/// Entra is written, cannot hold it.
fn time(claim: &Value) -> Result<Option<u64>, Refusal> {
    match claim {
        Value::Null => Ok(None),
        claim => {
            claim.as_u64().filter(|time| *time <= clock::LATEST).map(Some).ok_or_else(Refusal::malformed)
        }
    }
}

/// `aud` is one text or a list of them (RFC 7519, 4.1.3).
fn audiences(aud: &Value) -> Vec<&str> {
    match aud {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

/// The body of a success. All resources have version 1.0 tokens, as ARM does and as an application registration
/// does whose `requestedAccessTokenVersion` was never set.
pub(super) fn issue(
    world: &World,
    keys: &SigningKey,
    grant: &Grant,
    now: SystemTime,
) -> Result<Value, crate::error::Error> {
    let at = clock::unix(now);
    let life = world.access_token_life.map_or_else(entras_life, |life| life.as_secs().max(1));
    let issuer = format!("https://sts.windows.net/{}/", world.tenant_id);
    let mut claims = json!({
        "aud": grant.audience,
        "iss": issuer,
        "iat": at.saturating_sub(BACKDATED),
        "nbf": at.saturating_sub(BACKDATED),
        "exp": at.saturating_add(life),
        "aio": format!("k2Bg{}", opaque()),
        "appid": world.client_id,
        // How the application proved itself: 2 is a certificate or an assertion.
        "appidacr": "2",
        "idp": issuer,
        "idtyp": "app",
        "oid": world.principal_id,
        "rh": format!("1.A{}.", opaque()),
        "sub": world.principal_id,
        "tid": world.tenant_id,
        "uti": opaque(),
        "ver": "1.0",
    });
    if !grant.roles.is_empty() {
        claims["roles"] = json!(grant.roles);
    }
    // Entra tells a second less than there is; a life of one second is told as it is.
    let told = if world.access_token_life.is_some() { life } else { life - 1 };
    Ok(json!({
        "token_type": "Bearer",
        "expires_in": told,
        "ext_expires_in": told,
        "access_token": keys.sign(&claims)?,
    }))
}

/// 60 to 90 minutes, as Entra spreads it.
fn entras_life() -> u64 {
    let random = u64::from_str_radix(&guid()[..8], 16).unwrap_or(0);
    3600 + random % 1801
}

/// Text for the claims in which Entra keeps what only it can read.
fn opaque() -> String {
    URL_SAFE_NO_PAD.encode(&guid().as_bytes()[..16])
}
