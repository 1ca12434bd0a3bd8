//! The broker: the gateway's own token exchange (RFC 8693), for workspaces that hold no right at ARM.
//!
//! A workspace brings a token that says who it is, and gets a subscription key of the echo API. The subscription is its
//! own and fresh, minted by the gateway's identity, and ends by revocation (RFC 7009) or with its life, whichever is
//! first. A real gateway does this in a policy: `validate-jwt`, then `send-request` to ARM with
//! `authentication-managed-identity`.
//!
//! The key is no bearer token, so the answer's `token_type` is `N_A` (RFC 8693, 2.2.1), and its type is one of our own,
//! [`SUBSCRIPTION_KEY`]: the caller sends it as `Ocp-Apim-Subscription-Key`. A subject or actor token that does not
//! convince is an `invalid_request`, as section 2.2.2 demands, and not an `invalid_grant`.

mod client;
mod form;
mod ledger;
mod refusal;
mod signature;
mod subject;
mod target;
#[cfg(test)]
mod tests;

use super::SignatureCheck;
use crate::{
    emulator::{
        issuer::ENTRA_AUDIENCE,
        jwt::{self, SigningKey},
        saml::Federation,
        store::{Expect, State, Store, Subscription},
        trust::Trust,
        wire::{Request, Response},
        world::World,
    },
    lease::{random, subscription_key::naming},
};
use client::Replays;
pub use client::{BrokerClient, ClientAuthentication};
use form::Form;
use http::Method;
use ledger::Ledger;
use refusal::Refusal;
use serde_json::json;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use subject::{Check, Proof};

/// Where all of the broker is mounted.
pub const PATH: &str = "/broker";

/// Its token endpoint.
pub const TOKEN_PATH: &str = "/broker/token";

/// Its revocation endpoint.
pub const REVOKE_PATH: &str = "/broker/revoke";

/// The type of what it issues: a subscription key, for the header `Ocp-Apim-Subscription-Key`.
pub const SUBSCRIPTION_KEY: &str = "urn:apim-agent:token-type:subscription-key";

pub(super) const TOKEN: &str = "Broker_Token";
pub(super) const REVOKE: &str = "Broker_Revoke";

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The broker.
pub struct Broker {
    world: Arc<World>,
    store: Arc<Store>,
    trust: Trust,
    verify: Box<SignatureCheck>,
    federations: Vec<Federation>,
    replays: Mutex<Replays>,
    ledger: Mutex<Ledger>,
}

impl Broker {
    /// A broker that takes id tokens of the issuers in `trust` and access tokens that `entra_keys` signed, and mints
    /// into `store`.
    pub(in crate::emulator) fn new(
        world: Arc<World>,
        store: Arc<Store>,
        entra_keys: Arc<SigningKey>,
        trust: Trust,
    ) -> Self {
        Self::with(world, store, Box::new(move |token| jwt::verify(token, entra_keys.jwks())), trust)
    }

    pub(super) fn with(
        world: Arc<World>,
        store: Arc<Store>,
        verify: Box<SignatureCheck>,
        trust: Trust,
    ) -> Self {
        Self {
            world,
            store,
            trust,
            verify,
            federations: Vec::new(),
            replays: Mutex::default(),
            ledger: Mutex::default(),
        }
    }

    /// Takes the assertions of these identity providers too.
    #[must_use]
    pub(in crate::emulator) fn federated(mut self, federations: Vec<Federation>) -> Self {
        self.federations = federations;
        self
    }

    /// What the API "workspace" makes of a call: its policy `validate-jwt` takes the id tokens of the issuers that are
    /// trusted here, for the API's audience or for Entra's. The token's subject, or why it is refused, for the log.
    pub(super) async fn workspace(&self, token: &str, now: SystemTime) -> Result<String, String> {
        let audiences = [self.world.api_audience.as_str(), ENTRA_AUDIENCE];
        self.check().id_token(token, &audiences, now).await.map(|proof| proof.subject)
    }

    fn check(&self) -> Check<'_> {
        Check { world: &self.world, trust: &self.trust, verify: &self.verify, federations: &self.federations }
    }

    /// Answers at the token endpoint.
    pub(super) async fn exchange(&self, request: &Request, now: SystemTime) -> Response {
        if request.method != Method::POST {
            return not_allowed();
        }
        self.issue(request, now).await.unwrap_or_else(|refusal| refusal.response())
    }

    async fn issue(&self, request: &Request, now: SystemTime) -> Result<Response, Refusal> {
        let form = Form::read(request)?;
        let grant = form.need("grant_type")?;
        let client = self.client(&form, request, now)?;
        if grant != TOKEN_EXCHANGE {
            return Err(Refusal::unsupported_grant_type(grant));
        }
        if let Some(client) = client.filter(|client| !client.may_exchange) {
            return Err(Refusal::unauthorized_client(&client.id));
        }
        let proof = self.proof(&form, "subject_token", "subject_token_type", now).await?;
        let proof = proof.ok_or_else(|| Refusal::missing("subject_token"))?;
        let actor = self.proof(&form, "actor_token", "actor_token_type", now).await?;
        if let Some(wanted) = form.get("requested_token_type")
            && ![SUBSCRIPTION_KEY, ACCESS_TOKEN].contains(&wanted)
        {
            return Err(Refusal::invalid_request(format!("no token of type {wanted} is issued here")));
        }
        target::check(&form, &self.world, &request.host)?;
        let scope = target::scope(form.get("scope"), &self.world)?;
        let key = self.mint(&proof, client.map(|client| client.id.as_str()), now)?;

        let mut body = json!({
            "access_token": key.expose(),
            "issued_token_type": SUBSCRIPTION_KEY,
            "token_type": "N_A",
            "expires_in": self.life().as_secs(),
        });
        if let Some(scope) = scope {
            body["scope"] = json!(scope);
        }
        let by = actor.map_or_else(String::new, |actor| format!(" by {}", actor.log_name()));
        Ok(Response { caller: Some(format!("{}{by}", proof.log_name())), ..refusal::not_stored(200, &body) })
    }

    /// Answers at the revocation endpoint. An unknown token is as good as revoked (RFC 7009, 2.2).
    pub(super) fn revoke(&self, request: &Request, now: SystemTime) -> Response {
        if request.method != Method::POST {
            return not_allowed();
        }
        self.end(request, now).unwrap_or_else(|refusal| refusal.response())
    }

    fn end(&self, request: &Request, now: SystemTime) -> Result<Response, Refusal> {
        let form = Form::read(request)?;
        let client = self.client(&form, request, now)?;
        // The hint only speeds a search up, and is not needed for this one.
        let token = form.need("token")?;
        let done = refusal::uncached(Response::new(200, ""));
        let mut ledger = lock(&self.ledger);
        let Some((sid, owner)) = ledger.find(token) else { return Ok(done) };
        if owner != client.map(|client| client.id.as_str()) {
            return Err(Refusal::invalid_grant("the token was issued to another client"));
        }
        let sid = sid.to_owned();
        ledger.remove(&sid);
        self.delete(&sid);
        Ok(Response { caller: Some(format!("subscription {sid}")), ..done })
    }

    /// Whether the broker has minted that subscription, and its life is over. API Management enforces no end of its own.
    pub(super) fn has_ended(&self, sid: &str, now: SystemTime) -> bool {
        lock(&self.ledger).has_ended(sid, now)
    }

    /// Who asks; none where everybody may.
    fn client(
        &self,
        form: &Form,
        request: &Request,
        now: SystemTime,
    ) -> Result<Option<&BrokerClient>, Refusal> {
        if self.world.broker_clients.is_empty() {
            return Ok(None);
        }
        let endpoints = [TOKEN_PATH, REVOKE_PATH].map(|path| format!("https://{}{path}", request.host));
        let attempt = client::Attempt { form, certificate: request.client_certificate.as_deref(), endpoints };
        client::authenticate(&self.world.broker_clients, &attempt, &mut lock(&self.replays), now).map(Some)
    }

    /// The token in the parameter `name`, checked as the type in the parameter `kind` says. `None`: neither is there.
    async fn proof(
        &self,
        form: &Form,
        name: &str,
        kind: &str,
        now: SystemTime,
    ) -> Result<Option<Proof>, Refusal> {
        match (form.get(name), form.get(kind)) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Refusal::missing(name)),
            (Some(_), None) => Err(Refusal::missing(kind)),
            (Some(token), Some(uri)) => self.check().token(name, token, uri, now).await.map(Some),
        }
    }

    /// A fresh subscription of the workspace; gives its key.
    fn mint(
        &self,
        proof: &Proof,
        client: Option<&str>,
        now: SystemTime,
    ) -> Result<crate::secret::Secret, Refusal> {
        self.sweep(now);
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the broker cannot mint");
            Refusal::server_error()
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| failed(&error))?;
        let sid = format!("br-{}", random::hex(&random));
        let (key, spare) =
            (random::key().map_err(|error| failed(&error))?, random::key().map_err(|error| failed(&error))?);
        let end = now + self.life();
        let new = Subscription {
            sid: sid.clone(),
            scope: format!("/products/{}", self.world.product),
            display_name: naming::display_name(&proof.workspace, proof.user.as_deref(), end),
            state: State::Active,
            owner_id: None,
            allow_tracing: Some(false),
            primary_key: key.expose().to_owned(),
            // Every subscription has two; nobody ever learns this one.
            secondary_key: spare.expose().to_owned(),
            created_at: now,
            expiration_date: Some(end),
            state_comment: None,
            etag: String::new(),
        };
        let minted = self.store.change(&sid, Expect::Nothing, now, Some(new), |_| ());
        minted.map_err(|refused| failed(&format!("{refused:?}")))?;
        lock(&self.ledger).note(sid, key.expose(), client, end);
        Ok(key)
    }

    /// Deletes what has ended.
    fn sweep(&self, now: SystemTime) {
        let ended = lock(&self.ledger).take_ended(now);
        for sid in ended {
            self.delete(&sid);
        }
    }

    fn delete(&self, sid: &str) {
        if self.store.delete(sid, Expect::Nothing).is_err() {
            tracing::debug!(sid, "somebody has deleted it before");
        }
    }

    fn life(&self) -> Duration {
        self.world.broker_life.max(Duration::from_secs(1))
    }
}

fn not_allowed() -> Response {
    refusal::uncached(Response::new(405, "")).header("Allow", "POST")
}

/// A panic of another holder leaves the tables readable.
fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
