//! A person's session: somebody signs in once, and a refresh token then serves all credentials until it is refused.
//!
//! The refresh token is kept in memory and nowhere else, so a new agent asks again. A new way to sign in is one file with a
//! `SignIn`.

use super::{
    Actor, IdentitySource, Miss, Proof, Subject, Want,
    oauth::{Application, Missing, Tokens},
    prompt::{Person, Prompt},
};
use crate::{
    config::{Entra, Identity},
    error::{Class, Error, Result},
    http::{Client, answer::printable},
    secret::Secret,
};
use async_trait::async_trait;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What makes a sign-in a session: an id token that says who it is, and a refresh token.
const ALWAYS: &str = "openid profile offline_access";

/// A way to have somebody sign in.
#[async_trait]
pub(super) trait SignIn: Send + Sync {
    /// The source's name in the configuration, such as `device-code`.
    fn name(&self) -> &'static str;

    /// Has `person` sign in for `scope`.
    async fn sign_in(&self, application: &Application, scope: &str, person: &Person) -> Result<Tokens>;
}

/// The session of whoever has signed in by `S`.
pub(super) struct Session<S> {
    way: S,
    /// What people sign in to; the error says what is missing for that.
    application: Result<Application>,
    person: Person,
    held: Mutex<Held>,
    /// Whoever needs the person while somebody is being asked waits for the same answer. What is renewed silently does not
    /// wait.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    refresh: Option<Secret>,
    /// How often somebody has signed in.
    sign_ins: usize,
    /// Issuer and subject of whoever signed in first: a later sign-in must not turn us into somebody else.
    who: Option<(String, String)>,
}

impl<S: SignIn> Session<S> {
    /// Nobody has signed in yet. What `config` leaves out is that of `entra`.
    pub(super) fn new(
        way: S,
        config: &Identity,
        entra: Option<&Entra>,
        person: Person,
        http: Client,
    ) -> Self {
        let client_id = config.client_id.as_ref().or(entra.map(|entra| &entra.client_id));
        let tenant = config.tenant_id.as_ref().or(entra.map(|entra| &entra.tenant_id));
        let application = match (client_id, tenant) {
            (Some(client_id), Some(tenant)) => {
                Ok(Application::new(client_id.clone(), tenant.clone(), config.authority.clone(), http))
            }
            _ => Err(Error::new(
                Class::Config,
                format!("the identity source {} has nothing to sign in to", way.name()),
            )
            .fix("set identity.client_id and identity.tenant_id")),
        };
        Self { way, application, person, held: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    async fn tokens(&self, application: &Application, scope: &str) -> Result<Tokens> {
        let before = self.held().sign_ins;
        if let Some(tokens) = self.renewed(application, scope).await? {
            return Ok(tokens);
        }
        let _turn = self.turn.lock().await;
        let meanwhile = self.held().sign_ins > before;
        if meanwhile && let Some(tokens) = self.renewed(application, scope).await? {
            return Ok(tokens);
        }
        let tokens = self.way.sign_in(application, scope, &self.person).await?;
        let user = tokens.id.claims.user.as_deref().map(|user| printable(user, 100));
        let tokens = self.held().keep(tokens)?;
        self.held().sign_ins += 1;
        self.person.tell(&Prompt::Done { user });
        Ok(tokens)
    }

    /// Tokens by the refresh token. `None`: there is none, or it does not serve, and only the person can mend that.
    async fn renewed(&self, application: &Application, scope: &str) -> Result<Option<Tokens>> {
        let Some(refresh) = self.held().refresh.as_ref().map(Secret::duplicate) else { return Ok(None) };
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose()), ("scope", scope)];
        match application.token(&form, None).await {
            Ok(tokens) => self.held().keep(tokens).map(Some),
            // Kept all the same: it may be good for other scopes.
            Err(Missing::Refused(refusal)) if refusal.wants_a_person() => {
                tracing::debug!("the session does not serve: {}", refusal.error);
                Ok(None)
            }
            Err(missing) => Err(missing.into_error(application)),
        }
    }

    /// Never held while anything is waited for.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Keeps what makes the session go on.
    fn keep(&mut self, mut tokens: Tokens) -> Result<Tokens> {
        let claims = &tokens.id.claims;
        let who = (claims.iss.clone(), claims.sub.clone());
        if self.who.as_ref().is_some_and(|before| *before != who) {
            return Err(Error::new(Class::Denied, "somebody else has signed in than before")
                .why("what the agent holds belongs to the one who signed in first")
                .fix("sign in as the same person, or end the agent and start it anew"));
        }
        self.who = Some(who);
        if let Some(refresh) = tokens.refresh.take() {
            self.refresh = Some(refresh);
        }
        Ok(tokens)
    }
}

#[async_trait]
impl<S: SignIn> IdentitySource for Session<S> {
    fn name(&self) -> &'static str {
        self.way.name()
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let application = self.application.as_ref().map_err(|error| Miss::Broken(error.clone()))?;
        if want.scope.is_none() && want.audience != application.client_id {
            return Err(Miss::Broken(no_id_token(self.name(), &application.client_id, want.audience)));
        }
        let scope = want.scope.map_or_else(|| ALWAYS.to_owned(), |scope| format!("{scope} {ALWAYS}"));
        let tokens = tokio::select! {
            biased;
            () = self.person.ended() => Err(Error::new(Class::TryAgain, "nobody has signed in before the end")),
            tokens = self.tokens(application, &scope) => tokens,
        };
        let Tokens { access, expires_at, refresh_at, id, .. } = tokens.map_err(Miss::Broken)?;
        let subject = Subject { source: self.name(), actor: Actor::User, claims: id.claims };
        Ok(match want.scope {
            Some(_) => (subject, Proof::Session { token: access, expires_at, refresh_at }),
            None => (subject, Proof::IdToken(id.token)),
        })
    }
}

/// A sign-in's id token is always for the application that was signed in to.
fn no_id_token(source: &str, client_id: &str, audience: &str) -> Error {
    Error::new(Class::Config, format!("the identity source {source} has no id token for {audience}"))
        .why(format!("a sign-in gives an id token for the application {client_id} only"))
        .fix(format!("set the audience to {client_id}, or use kind = \"access-token\" with a scope"))
}

#[cfg(test)]
mod tests;
