//! On-behalf-of at Entra: a person's token for our application, for one for another API. The application proves itself by
//! the workspace's id token, as it does without a person.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow>

use super::{
    AccessToken, Exchange,
    aadsts::{Flow, Presented},
    directory,
    oauth::{assertion::JWT_BEARER, form::Form, granted::Granted},
    proof::{Fitting, prove, unfit},
};
use crate::{
    config,
    error::{Class, Error, Result},
    http::Client,
    identity::{Actor, IdentitySource, Proof, Want},
};
use async_trait::async_trait;
use std::sync::Arc;

/// The grant type, whose assertion is the person's token (RFC 7523, 2.1, with Entra's `requested_token_use`).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const WHO: &str = "the exchange on-behalf-of";

/// Entra as the exchange, for a person.
pub struct OnBehalfOf {
    config: config::OnBehalfOf,
    person: Arc<dyn IdentitySource>,
    actor: Arc<dyn IdentitySource>,
    http: Client,
}

impl OnBehalfOf {
    /// The exchange of `person`'s sessions, by the application that `actor` proves. Connects nowhere yet.
    pub fn new(
        config: &config::OnBehalfOf,
        person: Arc<dyn IdentitySource>,
        actor: Arc<dyn IdentitySource>,
        http: &Client,
    ) -> Self {
        Self { config: config.clone(), person, actor, http: http.clone() }
    }
}

#[async_trait]
impl Exchange for OnBehalfOf {
    /// The person's token, a fresh assertion of the workspace, and one POST. The access token is the person's, and so is
    /// the subject.
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        let entra = &self.config.entra;
        let scope = scope.ok_or_else(|| {
            Error::new(Class::Config, "Entra issues no token without a scope")
                .fix("set the credential's scope, such as api://orders/.default")
        })?;
        self.http.warm(&entra.authority).await;
        let want = Want { audience: &entra.audience, scope: Some(&self.config.assertion_scope) };
        let (subject, proof) = prove(&*self.person, &want).await?;
        let Proof::Session { token: person, .. } = proof else {
            return Err(unfit(WHO, Fitting::Session, subject.source, &proof));
        };
        // Entra would say something about the assertion, and nothing of what it is.
        if subject.actor != Actor::User {
            return Err(Error::new(Class::Config, format!("{WHO} is for a person"))
                .why(format!(
                    "{} has signed in as a workload, which nobody can act on behalf of",
                    subject.source
                ))
                .fix("sign in as a person, or use an exchange of kind entra"));
        }
        let (actor, proof) = prove(&*self.actor, &Want { audience: &entra.audience, scope: None }).await?;
        let Proof::IdToken(assertion) = proof else {
            return Err(unfit(
                "the actor of an exchange on-behalf-of",
                Fitting::IdToken,
                actor.source,
                &proof,
            ));
        };
        let presented = Presented {
            flow: Flow::OnBehalfOf,
            tenant_id: entra.tenant_id.clone(),
            client_id: entra.client_id.clone(),
            audience: entra.audience.clone(),
            scope: scope.to_owned(),
            claims: actor.claims,
        };
        let form = Form::grant(GRANT)
            .with("client_id", &entra.client_id)
            .with("client_assertion_type", JWT_BEARER)
            .secret("client_assertion", assertion.expose())
            .secret("assertion", person.expose())
            .with("scope", scope)
            .with("requested_token_use", "on_behalf_of");
        let granted = directory::token(&self.http, &entra.authority, &presented, &form).await?;
        let Granted { token, bearer, expires_at, refresh_at, .. } = granted;
        Ok(AccessToken { token, bearer, expires_at, refresh_at, subject })
    }
}

#[cfg(test)]
mod tests;
