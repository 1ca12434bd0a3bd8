//! Source `browser`: somebody signs in in this machine's browser, which then brings an authorization code back over loopback
//! (RFC 8252), of use to nobody but us (PKCE, RFC 7636).
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow>
//!
//! The application has to know the redirect URI `http://localhost` (platform "Mobile and desktop applications"); the port is
//! then ours to choose.

mod open;
mod redirect;

use super::{
    oauth::{Application, Refusal, Tokens, random},
    prompt::{Person, Prompt},
    select::Lookup,
    session::SignIn,
};
use crate::{
    clock,
    error::{Class, Error, Result},
    secret::Secret,
};
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redirect::{Came, Redirect};
use ring::digest::{SHA256, digest};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::timeout;
use url::Url;

/// How long one sign-in is waited for. It may need a password, a second device and a colleague.
const PATIENCE: Duration = Duration::from_mins(15);

/// The way by this machine's browser.
pub(super) struct Browser {
    lookup: Lookup,
    patience: Duration,
    /// Whether the last attempt found nobody: then no window is opened by itself any more.
    unanswered: AtomicBool,
}

impl Browser {
    /// `lookup` knows which browser.
    pub(super) fn new(lookup: Lookup) -> Self {
        Self { lookup, patience: PATIENCE, unanswered: AtomicBool::new(false) }
    }
}

#[async_trait]
impl SignIn for Browser {
    fn name(&self) -> &'static str {
        "browser"
    }

    async fn sign_in(&self, application: &Application, scope: &str, person: &Person) -> Result<Tokens> {
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let redirect = Redirect::listen().await?;
        let uri = redirect.uri();
        let url = authorization(application, scope, &uri, [&state, &nonce, &verifier]);
        let opened = !self.unanswered.load(Ordering::Relaxed) && open::open(&url, &self.lookup);
        person.tell(&Prompt::Browser { url, opened });
        let coming = timeout(self.patience, redirect.wait(&state));
        let came = person.waited_for(clock::now() + self.patience, coming).await;
        self.unanswered.store(came.is_err(), Ordering::Relaxed);
        let code = match came.map_err(|_| too_late())?? {
            Came::Code(code) => code,
            Came::Refusal { error, description } => {
                return Err(Refusal::of(&error, &description, None, 400).into_error(application));
            }
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", &uri),
            ("code_verifier", verifier.expose()),
            ("scope", scope),
        ];
        let tokens = application.token(&form, Some(nonce.expose())).await;
        tokens.map_err(|missing| missing.into_error(application))
    }
}

/// Where the person goes (RFC 6749, 4.1.1; RFC 7636, 4.3). The secrets are `state`, `nonce` and the code verifier, of which
/// the last does not leave us.
fn authorization(
    application: &Application,
    scope: &str,
    uri: &str,
    [state, nonce, verifier]: [&Secret; 3],
) -> Url {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes()));
    let mut url = application.endpoint("authorize");
    url.query_pairs_mut()
        .append_pair("client_id", &application.client_id)
        .append_pair("response_type", "code")
        .append_pair("response_mode", "query")
        .append_pair("redirect_uri", uri)
        .append_pair("scope", scope)
        .append_pair("state", state.expose())
        .append_pair("nonce", nonce.expose())
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    url
}

/// The lifecycle tries again.
fn too_late() -> Error {
    Error::new(Class::TryAgain, "nobody has signed in in the browser")
        .fix("open the next link, which comes soon")
}

#[cfg(test)]
mod tests;
