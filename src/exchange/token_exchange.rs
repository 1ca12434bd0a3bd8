//! Token exchange (RFC 8693) at any security token service, with revocation (RFC 7009) where it has that too.

use super::{
    AccessToken, Exchange,
    oauth::{
        Server,
        form::Form,
        granted::{Expected, Granted},
    },
    proof::prove,
    saml_bearer,
};
use crate::{
    config,
    error::Result,
    http::{Client, answer::printable},
    identity::{IdentitySource, Proof, Subject, Want},
    secret::Secret,
};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Token types (RFC 8693, 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const SAML_1_1: &str = "urn:ietf:params:oauth:token-type:saml1";
const SAML_2: &str = "urn:ietf:params:oauth:token-type:saml2";

/// A security token service as the exchange.
pub struct TokenExchange {
    config: config::TokenExchange,
    server: Server,
    identity: Arc<dyn IdentitySource>,
    actor: Option<Arc<dyn IdentitySource>>,
    /// What the service last said that it issued, for the hint of a revocation.
    issued: Mutex<Option<String>>,
}

impl TokenExchange {
    /// The exchange at `config.endpoint` of tokens from `identity`, with those of `actor` as `actor_token`. Connects
    /// nowhere yet.
    pub fn new(
        config: &config::TokenExchange,
        identity: Arc<dyn IdentitySource>,
        actor: Option<Arc<dyn IdentitySource>>,
        http: &Client,
    ) -> Self {
        let server = Server::new(&config.endpoint, &config.client, http);
        Self { config: config.clone(), server, identity, actor, issued: Mutex::default() }
    }

    async fn presented(&self, identity: &dyn IdentitySource) -> Result<(Subject, Presented)> {
        let audience = &self.config.subject_audience;
        let scope = session_scope(audience);
        let (subject, proof) = prove(identity, &Want { audience, scope: Some(&scope) }).await?;
        Ok((subject, Presented::from(proof)))
    }

    fn note(&self, granted: &Granted, wanted: Option<&str>) {
        if let (Some(wanted), Some(got)) = (wanted, &granted.scope)
            && wanted != got
        {
            // Less, or the same in other words: what it is good for shows at the probe.
            let got = printable(got, 200);
            tracing::info!("asked for the scope {wanted}, the token service granted {got}");
        }
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&granted.issued_token_type);
    }

    /// `token_type_hint` (RFC 7009, 2.1); servers look further if it is wrong.
    fn hint(&self) -> Option<&'static str> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match issued.as_deref().or(self.config.requested_token_type.as_deref()) {
            None | Some(ACCESS_TOKEN) => Some("access_token"),
            Some(REFRESH_TOKEN) => Some("refresh_token"),
            Some(_) => None,
        }
    }
}

/// A session has access tokens rather than tokens for an audience: the scope that names that audience at Entra.
fn session_scope(audience: &str) -> String {
    if audience.ends_with("/.default") {
        return audience.to_owned();
    }
    format!("{audience}/.default")
}

/// A proof as a parameter: the token as it is sent, and its type.
struct Presented {
    token: Secret,
    token_type: &'static str,
}

impl From<Proof> for Presented {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::IdToken(token) => Self { token, token_type: ID_TOKEN },
            Proof::Session { token, .. } => Self { token, token_type: ACCESS_TOKEN },
            Proof::Saml(assertion) => Self {
                token_type: if saml_bearer::is_saml_2(&assertion) { SAML_2 } else { SAML_1_1 },
                token: saml_bearer::encode(&assertion),
            },
        }
    }
}

#[async_trait]
impl Exchange for TokenExchange {
    /// A fresh subject token, an actor's where one is configured, and one POST.
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        let config = &self.config;
        self.server.warm().await;
        let (subject, token) = self.presented(&*self.identity).await?;
        let actor = match &self.actor {
            Some(actor) => Some(self.presented(&**actor).await?.1),
            None => None,
        };
        let subject_token_type = config.subject_token_type.as_deref().unwrap_or(token.token_type);
        let requested_token_type = config.requested_token_type.as_deref();
        let mut form = Form::grant(GRANT)
            .each("resource", &config.resource)
            .each("audience", &config.audience)
            .maybe("scope", scope)
            .maybe("requested_token_type", requested_token_type)
            .secret("subject_token", token.token.expose())
            .with("subject_token_type", subject_token_type);
        if let Some(actor) = &actor {
            form =
                form.secret("actor_token", actor.token.expose()).with("actor_token_type", actor.token_type);
        }
        let expected =
            Expected { other_than_bearer: true, unsaid_life: true, issued_token_type: requested_token_type };
        let granted = self.server.token(form, expected, &subject.claims).await?;
        self.note(&granted, scope);
        let Granted { token, bearer, expires_at, refresh_at, .. } = granted;
        Ok(AccessToken { token, bearer, expires_at, refresh_at, subject })
    }

    async fn revoke(&self, token: &Secret) -> Result<bool> {
        let Some(endpoint) = &self.config.revocation_endpoint else { return Ok(false) };
        self.server.revoke(endpoint, token, self.hint()).await.map(|()| true)
    }
}

#[cfg(test)]
mod tests;
