//! Subject and actor tokens: who a caller says it is, and why the broker believes it.

use super::Refusal;
use crate::{
    clock,
    emulator::{
        entra,
        gateway::{SignatureCheck, token},
        jwt::{self, Verified},
        saml::{self, Expected, Federation},
        trust::{Distrust, Trust},
        world::World,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use std::time::SystemTime;

/// Whom a token speaks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// Its `sub`.
    pub(super) subject: String,
    /// The workspace, where the token names one, else the subject.
    pub(super) workspace: String,
    /// The person, where the token names one.
    pub(super) user: Option<String>,
    /// Whether it is a person's own token.
    is_user: bool,
}

impl Proof {
    /// As the log names it.
    pub(super) fn log_name(&self) -> String {
        match &self.user {
            Some(user) if self.is_user => format!("user {user}"),
            _ => format!("workspace {}", self.subject),
        }
    }
}

/// What a token is checked against.
pub(super) struct Check<'a> {
    pub(super) world: &'a World,
    pub(super) trust: &'a Trust,
    pub(super) verify: &'a SignatureCheck,
    pub(super) federations: &'a [Federation],
}

impl Check<'_> {
    /// Checks a token of the type `uri` (RFC 8693, 3), which came in the parameter `name`.
    pub(super) async fn token(
        &self,
        name: &str,
        token: &str,
        uri: &str,
        now: SystemTime,
    ) -> Result<Proof, Refusal> {
        match uri.strip_prefix("urn:ietf:params:oauth:token-type:") {
            Some("jwt" | "id_token") => self.id_token(token, &[&self.world.broker_audience], now).await,
            Some("access_token") => self.access_token(token, now),
            Some("saml2") => self.assertion(token, now),
            Some("saml1") => return Err(Refusal::not_implemented("SAML 1.1 assertions at the broker")),
            _ => Err(format!("of type {uri} is not taken here")),
        }
        .map_err(|why| Refusal::invalid_request(format!("the {name} {why}")))
    }

    /// A workspace's id token for one of these audiences, of an issuer that Entra trusts too. Error: a predicate.
    pub(super) async fn id_token(
        &self,
        token: &str,
        audiences: &[&str],
        now: SystemTime,
    ) -> Result<Proof, String> {
        let malformed = || "is no JWT".to_owned();
        let unverified = jwt::peek(token).map_err(|_| malformed())?.claims;
        let text = |name: &str| unverified[name].as_str().ok_or_else(malformed);
        let (issuer, subject) = (text("iss")?, text("sub")?);
        let is_trusted = self.trust.credentials.iter().any(|credential| {
            credential.url == issuer && credential.subject.as_deref().is_none_or(|wanted| wanted == subject)
        });
        if !is_trusted {
            return Err(format!("is of {subject} at {issuer}, who is not trusted here"));
        }
        let Verified { claims, .. } =
            self.trust.verify(token, issuer).await.map_err(|distrust| match distrust {
                Distrust::Unreachable => format!("cannot be checked: the keys of {issuer} cannot be had"),
                Distrust::UnknownKey => format!("is signed with a key that {issuer} does not publish"),
                Distrust::Malformed => malformed(),
                Distrust::Signature => "has a wrong signature".to_owned(),
            })?;
        check_claims(&claims, audiences, now)?;
        let first = |names: &[&str]| names.iter().find_map(|name| claims[*name].as_str());
        Ok(Proof {
            subject: subject.to_owned(),
            workspace: first(&["environment_id", "workspace_id"]).unwrap_or(subject).to_owned(),
            user: first(&["creator_email", "email"]).map(str::to_owned),
            is_user: false,
        })
    }

    /// A SAML 2.0 assertion in base64url (RFC 8693, 3) of the identity provider that Entra is federated with; the broker is
    /// another of its relying parties, but takes those for Entra too. Error: a predicate.
    fn assertion(&self, token: &str, now: SystemTime) -> Result<Proof, String> {
        let xml = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok();
        let xml = xml.and_then(|bytes| String::from_utf8(bytes).ok());
        let xml = xml.ok_or_else(|| "is not base64url of a text".to_owned())?;
        let expected = Expected {
            audiences: &[&self.world.broker_audience, entra::SAML_AUDIENCE],
            recipients: &[entra::SAML_RECIPIENT],
        };
        let assertion = saml::verify(&xml, self.federations, &expected, now)
            .map_err(|invalid| format!("is refused: {invalid:?}"))?;
        let user = assertion.attribute(saml::UPN).unwrap_or(&assertion.name_id).to_owned();
        Ok(Proof { subject: user.clone(), workspace: user.clone(), user: Some(user), is_user: true })
    }

    /// An Entra token for the API, as the API itself would take it. Error: a predicate.
    fn access_token(&self, token: &str, now: SystemTime) -> Result<Proof, String> {
        let subject = token::check_token(token, self.verify, self.world, now)
            .map_err(|refusal| format!("is refused: {}", refusal.reason()))?;
        Ok(Proof {
            workspace: subject.sub.clone(),
            subject: subject.sub,
            is_user: subject.user.is_some(),
            user: subject.user,
        })
    }
}

/// Audience and time of a token whose signature holds. Error: a predicate.
fn check_claims(claims: &Value, audiences: &[&str], now: SystemTime) -> Result<(), String> {
    let is_ours = |entry: &Value| audiences.iter().any(|audience| entry == audience);
    let is_for_us = match &claims["aud"] {
        Value::Array(list) => list.iter().any(is_ours),
        one => is_ours(one),
    };
    if !is_for_us {
        return Err(format!("is not for {}", audiences.join(" or ")));
    }
    let now = clock::unix(now);
    if claims["exp"].as_u64().is_none_or(|end| end <= now) {
        return Err("has expired".to_owned());
    }
    let is_early =
        |name: &str| !claims[name].is_null() && claims[name].as_u64().is_none_or(|start| start > now);
    if is_early("nbf") || is_early("iat") {
        return Err("is not yet valid".to_owned());
    }
    Ok(())
}
