//! Which application asks, and how it proves itself: by an assertion of a federated issuer, or not at all.

use super::{errors::Refusal, form::Form, issue::Proof, token::Call};
use crate::{
    clock,
    emulator::{
        issuer::ENTRA_AUDIENCE,
        jwt::{self, Verified},
        trust::{Distrust, Trust},
        world::World,
    },
};
use serde_json::Value;
use std::time::SystemTime;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A proof that was sent with the request; it is not checked yet.
#[derive(Clone, Copy)]
pub(super) enum Credential<'a> {
    /// A signed assertion (RFC 7523, 2.2).
    Assertion(&'a str),
    /// A secret. The application has none, so that every one is wrong.
    Secret,
}

impl<'a> Credential<'a> {
    /// The one in the form, if there is one.
    pub(super) fn of(form: &'a Form) -> Option<Self> {
        let assertion =
            form.get("client_assertion").filter(|_| form.get("client_assertion_type") == Some(JWT_BEARER));
        match assertion {
            Some(assertion) => Some(Self::Assertion(assertion)),
            None => form.get("client_secret").map(|_| Self::Secret),
        }
    }

    /// Checks it; gives the federated subject.
    pub(super) async fn check(
        self,
        world: &World,
        trust: &Trust,
        now: SystemTime,
    ) -> Result<String, Refusal> {
        match self {
            Self::Assertion(assertion) => federated(trust, assertion, now).await,
            Self::Secret => Err(Refusal::wrong_secret(&world.client_id)),
        }
    }
}

/// Checks that the application is the one of this directory.
pub(super) fn known<'a>(world: &World, tenant: &str, form: &'a Form) -> Result<&'a str, Refusal> {
    let client = form.need("client_id")?;
    if client.eq_ignore_ascii_case(&world.client_id) {
        Ok(client)
    } else {
        Err(Refusal::client(client, tenant))
    }
}

/// Checks the tenant in the path, where a person signs in: it may be one of the names for "any that the person is in".
pub(super) fn persons_tenant(world: &World, tenant: &str) -> Result<(), Refusal> {
    let any = ["common", "organizations"].iter().any(|name| tenant.eq_ignore_ascii_case(name));
    if any || tenant.eq_ignore_ascii_case(&world.tenant_id) { Ok(()) } else { Err(Refusal::tenant(tenant)) }
}

/// The proof where the registration allows public clients; who brings a credential all the same has it checked.
pub(super) async fn any_client(call: &Call<'_>) -> Result<Proof, Refusal> {
    let Some(credential) = Credential::of(call.form) else { return Ok(Proof::None) };
    credential.check(&call.entra.world, &call.entra.trust, call.now).await?;
    Ok(Proof::Assertion)
}

/// Checks that a client is public, or proves itself, as it did when it was given what it now brings.
pub(super) async fn same_client(call: &Call<'_>, proof: Proof) -> Result<(), Refusal> {
    match (proof, Credential::of(call.form)) {
        (Proof::None, None) => Ok(()),
        (Proof::None, Some(_)) => Err(Refusal::client_is_public()),
        (Proof::Assertion, None) => Err(Refusal::no_client_credential()),
        (Proof::Assertion, Some(credential)) => {
            credential.check(&call.entra.world, &call.entra.trust, call.now).await.map(drop)
        }
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
