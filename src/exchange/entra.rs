//! Client assertion at Entra: the workspace's id token for an access token (RFC 7523, 2.2), by federated credential.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use super::{
    AccessToken, Exchange,
    aadsts::{Presented, explain},
};
use crate::{
    clock, config,
    error::{Class, Error, Result},
    http::{Client, answer, transport},
    identity::{IdentitySource, Proof, Want},
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
use serde::Deserialize;
use serde_json::Value;
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
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
        let proven = self.identity.prove(&want).await;
        let (subject, proof) = proven.map_err(|miss| miss.into_error(self.identity.name()))?;
        let assertion = match proof {
            Proof::IdToken(token) => token,
            Proof::Session { token, expires_at, refresh_at } => {
                return Ok(AccessToken { token, bearer: true, expires_at, refresh_at, subject });
            }
            Proof::Saml(_) => todo!("being built"),
        };
        let presented = Presented {
            tenant_id: self.tenant_id.clone(),
            client_id: self.client_id.clone(),
            audience: self.audience.clone(),
            scope: scope.to_owned(),
            claims: subject.claims.clone(),
        };
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
        Ok(AccessToken {
            token: Secret::new(token.token.secret().to_owned()),
            bearer: true,
            expires_at: granted.expires_at,
            refresh_at: granted.refresh_at,
            subject,
        })
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
        let granted = Granted::read(&answer, asked_at).map_err(|why| {
            Error::new(Class::Unavailable, "Entra's answer holds no access token")
                .why(format!("{why}; {}", answer::outline(&answer)))
                .fix("check entra.authority, and whether a proxy or a portal stands between")
        })?;
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

/// What a good answer says besides the token.
struct Granted {
    expires_at: SystemTime,
    refresh_at: Option<SystemTime>,
}

/// A life of more than ten years is not one.
const LONGEST: u64 = 10 * 366 * 24 * 3600;

impl Granted {
    /// Checks the body of a 200 (RFC 6749, 5.1). Error: what is wrong with it.
    fn read(answer: &Response<Bytes>, asked_at: SystemTime) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            token_type: Cow<'a, str>,
            #[serde(borrow)]
            access_token: Cow<'a, str>,
            expires_in: u64,
            refresh_in: Option<Value>,
        }
        let body: Body = serde_json::from_slice(answer.body()).map_err(|_| "it is not a token answer")?;
        if body.access_token.is_empty() {
            return Err("its access_token is empty");
        }
        if !body.token_type.eq_ignore_ascii_case("Bearer") {
            return Err("its token_type is not Bearer");
        }
        if !(1..=LONGEST).contains(&body.expires_in) {
            return Err("its expires_in is not a life");
        }
        // A hint only: one that makes no sense is no reason to refuse the token.
        let refresh_in =
            body.refresh_in.as_ref().and_then(Value::as_u64).filter(|wait| *wait < body.expires_in);
        Ok(Self {
            expires_at: asked_at + Duration::from_secs(body.expires_in),
            refresh_at: refresh_in.map(|wait| asked_at + Duration::from_secs(wait)),
        })
    }
}

#[cfg(test)]
mod tests;
