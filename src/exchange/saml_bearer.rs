//! SAML bearer assertion (RFC 7522): a SAML assertion for an access token, at any authorization server.

use super::{
    AccessToken, Exchange,
    oauth::{
        Server,
        form::Form,
        granted::{Expected, Granted},
    },
    proof::{Fitting, prove, unfit},
};
use crate::{
    config,
    error::Result,
    http::Client,
    identity::{IdentitySource, Proof, Want},
    secret::Secret,
};
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::sync::Arc;

const SAML_2: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
/// Not of the RFC: Entra takes AD FS's SAML 1.1 assertions by it, as Microsoft's own libraries send them.
const SAML_1_1: &str = "urn:ietf:params:oauth:grant-type:saml1_1-bearer";
/// The namespace of SAML 1.0 and 1.1.
const SAML_1_NAMESPACE: &str = "urn:oasis:names:tc:SAML:1.0:assertion";

/// Whether an assertion is one of SAML 2: by the namespace in its first element, which is all of the XML that is looked at.
pub(super) fn is_saml_2(assertion: &Secret) -> bool {
    let is_element = |tag: &&str| !tag.starts_with(['?', '!']);
    let element = assertion.expose().split('<').skip(1).find(is_element);
    let start = element.and_then(|element| element.split('>').next()).unwrap_or_default();
    !start.contains(SAML_1_NAMESPACE)
}

/// The grant type for an assertion.
pub(super) fn grant_type(assertion: &Secret) -> &'static str {
    if is_saml_2(assertion) { SAML_2 } else { SAML_1_1 }
}

/// The assertion as it is sent: base64url without padding and line breaks (RFC 7522, 2.1).
pub(super) fn encode(assertion: &Secret) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(assertion.expose()))
}

/// An authorization server as the exchange.
pub struct SamlBearer {
    server: Server,
    identity: Arc<dyn IdentitySource>,
}

impl SamlBearer {
    /// The exchange at `config.endpoint`, with assertions from `identity`. Connects nowhere yet.
    pub fn new(config: &config::SamlBearer, identity: Arc<dyn IdentitySource>, http: &Client) -> Self {
        Self { server: Server::new(&config.endpoint, &config.client, http), identity }
    }
}

#[async_trait]
impl Exchange for SamlBearer {
    /// One assertion, one POST. The assertion is asked for with the token endpoint as its audience, which RFC 7522 (3)
    /// has servers accept.
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        self.server.warm().await;
        let want = Want { audience: self.server.endpoint().as_str(), scope: None };
        let (subject, proof) = prove(&*self.identity, &want).await?;
        let Proof::Saml(assertion) = proof else {
            return Err(unfit("the exchange saml-bearer", Fitting::Saml, subject.source, &proof));
        };
        let encoded = encode(&assertion);
        let form =
            Form::grant(grant_type(&assertion)).secret("assertion", encoded.expose()).maybe("scope", scope);
        let expected = Expected { unsaid_life: true, ..Expected::default() };
        let granted = self.server.token(form, expected, &subject.claims).await?;
        let Granted { token, bearer, expires_at, refresh_at, .. } = granted;
        Ok(AccessToken { token, bearer, expires_at, refresh_at, subject })
    }
}

#[cfg(test)]
mod tests;
