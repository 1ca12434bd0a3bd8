//! Client assertion at Entra: the workspace's id token for an access token (RFC 7523, 2.2), by federated credential.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use super::{
    AccessToken, Exchange,
    aadsts::{Flow, Presented, explain},
    directory,
    oauth::{form::Form, granted::Granted},
    proof::prove,
    saml_bearer,
};
use crate::{
    clock, config,
    error::{Class, Error, Result},
    http::{Client, answer, transport},
    identity::{IdentitySource, Proof, Subject, Want},
    secret::Secret,
};
use async_trait::async_trait;
use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::TokenCredential,
    http::{AsyncRawResponse, ClientMethodOptions, ClientOptions, HttpClient, Request, Transport},
};
use azure_identity::{ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions};
use bytes::Bytes;
use http::{Response, StatusCode};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use url::Url;

/// Entra as the exchange.
pub struct Entra {
    tenant_id: String,
    client_id: String,
    authority: Url,
    audience: String,
    identity: Arc<dyn IdentitySource>,
    http: Client,
}

impl Entra {
    /// The exchange at `config.authority`, with assertions from `identity`.
    ///
    /// Error: the authority is not https (`Config`).
    pub fn new(config: &config::Entra, identity: Arc<dyn IdentitySource>, http: &Client) -> Result<Self> {
        if config.authority.scheme() != "https" {
            return Err(Error::new(
                Class::Config,
                format!("entra.authority {} is not https", config.authority),
            )
            .fix("for example: authority = \"https://login.microsoftonline.com\""));
        }
        Ok(Self {
            tenant_id: config.tenant_id.clone(),
            client_id: config.client_id.clone(),
            authority: config.authority.clone(),
            audience: config.audience.clone(),
            identity,
            http: http.clone(),
        })
    }

    fn presented(&self, flow: Flow, scope: &str, subject: &Subject) -> Presented {
        Presented {
            flow,
            tenant_id: self.tenant_id.clone(),
            client_id: self.client_id.clone(),
            audience: self.audience.clone(),
            scope: scope.to_owned(),
            claims: subject.claims.clone(),
        }
    }

    /// The SAML bearer grant (RFC 7522), as a public client: nothing but the assertion proves anything. Entra takes only
    /// those of an AD FS that the tenant is federated with.
    /// <https://learn.microsoft.com/entra/identity-platform/v2-saml-bearer-assertion>
    async fn saml_bearer(&self, scope: &str, subject: Subject, assertion: &Secret) -> Result<AccessToken> {
        let encoded = saml_bearer::encode(assertion);
        let form = Form::grant(saml_bearer::grant_type(assertion))
            .with("client_id", &self.client_id)
            .secret("assertion", encoded.expose())
            .with("scope", scope);
        let presented = self.presented(Flow::SamlBearer, scope, &subject);
        let granted = directory::token(&self.http, &self.authority, &presented, &form).await?;
        let Granted { token, bearer, expires_at, refresh_at, .. } = granted;
        Ok(AccessToken { token, bearer, expires_at, refresh_at, subject })
    }

    /// The SDK's options: this authority, and `reader` without retries.
    fn options(&self, reader: Arc<Reader>) -> ClientAssertionCredentialOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.authority.to_string();
        let client_options = ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::from(cloud))),
            ..transport::options(Transport::new(reader))
        };
        ClientAssertionCredentialOptions { client_options }
    }
}

#[async_trait]
impl Exchange for Entra {
    /// One assertion, one POST. The deadlines are the identity source's and the HTTP client's own.
    ///
    /// The SDK's copies of the assertion and the token, and the HTTP buffers, are freed but not wiped.
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        let scope = scope.ok_or_else(|| {
            Error::new(Class::Config, "Entra issues no token without a scope")
                .fix("set the credential's scope, such as api://orders/.default")
        })?;
        self.http.warm(&self.authority).await;
        let want = Want { audience: &self.audience, scope: Some(scope) };
        let (subject, proof) = prove(&*self.identity, &want).await?;
        let assertion = match proof {
            Proof::IdToken(token) => token,
            Proof::Session { token, expires_at, refresh_at } => {
                return Ok(AccessToken { token, bearer: true, expires_at, refresh_at, subject });
            }
            Proof::Saml(assertion) => return self.saml_bearer(scope, subject, &assertion).await,
        };
        let presented = self.presented(Flow::ClientAssertion, scope, &subject);
        let reader = Arc::new(Reader { http: self.http.clone(), presented, granted: Mutex::default() });

        // The SDK's credential keeps a token until 300 s before its end and has no way to be told otherwise, so each
        // call makes one of its own. That costs a few allocations.
        let credential = ClientAssertionCredential::new(
            self.tenant_id.clone(),
            self.client_id.clone(),
            Assertion(assertion),
            Some(self.options(Arc::clone(&reader))),
        )
        .map_err(|error| refused_by_the_sdk(&error))?;
        let token = credential.get_token(&[scope], None).await;
        let token = token
            .map_err(|error| transport::from_azure(&error).unwrap_or_else(|| refused_by_the_sdk(&error)))?;
        let granted =
            reader.take().ok_or_else(|| Error::new(Class::Internal, "a token came without an answer"))?;
        // The SDK's token is the one of the answer: the reader has checked and kept that.
        drop(token);
        let Granted { token, bearer, expires_at, refresh_at, .. } = granted;
        Ok(AccessToken { token, bearer, expires_at, refresh_at, subject })
    }
}

/// The SDK's own checks, before anything is sent: they are of the tenant and the authority.
fn refused_by_the_sdk(error: &azure_core::Error) -> Error {
    Error::new(Class::Config, "the exchange at Entra cannot be tried")
        .why(answer::printable(&error.to_string(), 300))
        .fix("check entra.tenant_id, entra.client_id and entra.authority")
}

/// The assertion for one exchange.
struct Assertion(Secret);

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion")
    }
}

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}

/// The transport of one exchange: it reads the answer before the SDK does.
///
/// An error goes back as ours, with all that the body said. A success is checked, since the SDK takes `{}` for a
/// token and overflows on an absurd `expires_in`, and `refresh_in`, which the SDK drops, is kept.
struct Reader {
    http: Client,
    presented: Presented,
    granted: Mutex<Option<Granted>>,
}

impl Reader {
    fn take(&self) -> Option<Granted> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(&self, request: &Request) -> Result<Response<Bytes>> {
        // A token's life counts from before it was issued, so that ours never ends later.
        let asked_at = clock::now();
        let answer = self.http.send(transport::outgoing(request)?).await.map_err(|mut error| {
            error.what = format!("no access token for {}: {}", self.presented.scope, error.what);
            error
        })?;
        if answer.status() != StatusCode::OK {
            return Err(explain(&answer, &self.presented, clock::now()));
        }
        let granted = directory::read(&answer, asked_at)?;
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
        Ok(answer)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

#[async_trait]
impl HttpClient for Reader {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.send(request).await.map(transport::incoming).map_err(transport::to_azure)
    }
}

#[cfg(test)]
mod tests;
