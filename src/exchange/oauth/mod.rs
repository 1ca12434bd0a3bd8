//! What all token endpoints share: one POST of a form, client authentication, and answers read with suspicion.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | one request for a token, or for a token's end |
//! | `form.rs` | its parameters, in a buffer that is wiped |
//! | `client.rs` | client authentication: none, `private_key_jwt`, mutual TLS |
//! | `assertion.rs` | the signed assertion of `private_key_jwt` |
//! | `file.rs` | keys and certificates, read again at each use |
//! | `granted.rs` | a good answer |
//! | `refusal.rs` | any other answer |
//!
//! Nothing is kept between two requests but connections. Deadlines are the HTTP client's.

pub(super) mod assertion;
mod client;
mod file;
pub(super) mod form;
pub(super) mod granted;
mod refusal;

use crate::{
    clock, config,
    error::{Class, Error, Result},
    http::{Client, answer},
    identity::claims::Claims,
    secret::Secret,
};
use bytes::Bytes;
use client::Identified;
use form::Form;
use granted::{Expected, Flaw, Granted};
use http::{Request, Response, header};
use refusal::{Asked, Purpose};
use url::Url;

/// An authorization server as one client sees it.
pub(super) struct Server {
    endpoint: Url,
    client: Identified,
}

impl Server {
    /// The one with this token endpoint. Connects nowhere yet, and reads no file.
    pub(super) fn new(endpoint: &Url, client: &config::Client, http: &Client) -> Self {
        Self { endpoint: endpoint.clone(), client: Identified::new(client, http) }
    }

    /// Its token endpoint.
    pub(super) fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Lets the connection be opened while others still work on the subject token.
    pub(super) async fn warm(&self) {
        self.client.warm(&self.endpoint).await;
    }

    /// Asks for a token, once. `claims` are those of the subject token, for errors.
    ///
    /// Errors: those of the connection, the server's refusal, or that its answer holds no token that is `expected`.
    pub(super) async fn token(
        &self,
        form: Form<'_>,
        expected: Expected<'_>,
        claims: &Claims,
    ) -> Result<Granted> {
        let asked_at = clock::now();
        let answer = self.post(&self.endpoint, form, Purpose::Token(claims), &[200]).await?;
        Granted::read(&answer, expected, asked_at).map_err(|Flaw { why, class }| {
            let host = &self.endpoint[..url::Position::AfterPath];
            Error::new(class, format!("the answer of {host} holds no token"))
                .why(format!("{why}; {}", answer::outline(&answer)))
                .fix("check token_endpoint and requested_token_type, and whether a proxy or a portal stands between")
        })
    }

    /// Has `token` ended at `endpoint` (RFC 7009), once. A token that the server does not know counts as ended, as the
    /// server says so too.
    pub(super) async fn revoke(&self, endpoint: &Url, token: &Secret, hint: Option<&str>) -> Result<()> {
        let form = Form::default().secret("token", token.expose()).maybe("token_type_hint", hint);
        // Its content is to be ignored, so none is as good.
        self.post(endpoint, form, Purpose::Revocation, &[200, 204]).await.map(drop)
    }

    /// One POST. The answer's status is one of `good`.
    async fn post(
        &self,
        url: &Url,
        form: Form<'_>,
        purpose: Purpose<'_>,
        good: &[u16],
    ) -> Result<Response<Bytes>> {
        let request = self.client.request(&self.endpoint).await?;
        let form = self.client.identify(form, &request);
        let asked = Asked { endpoint: url, purpose, client_id: self.client.id(), form: &form };
        let answer = request.http.send(post(url, &form)?).await.map_err(|mut error| {
            error.what = format!("{}: {}", asked.failed(), error.what);
            error
        })?;
        if good.contains(&answer.status().as_u16()) {
            return Ok(answer);
        }
        Err(refusal::explain(&answer, &asked, clock::now()))
    }
}

/// The request that posts `form`.
pub(super) fn post(url: &Url, form: &Form<'_>) -> Result<Request<Bytes>> {
    Request::post(url.as_str())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(form.encode())
        .map_err(|error| Error::new(Class::Config, format!("{url} cannot be asked")).why(error.to_string()))
}

#[cfg(test)]
mod tests;
