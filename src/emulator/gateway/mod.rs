//! The API Management gateway: the API "echo", which a subscription key or an Entra token opens; the API "partner",
//! which a client certificate opens; and the broker, which trades a workspace's identity for a key of "echo".
//!
//! A real gateway behaves like this one when it has the following policy at "echo"; `gitpod/policies/echo.xml`
//! is that policy, ready to be applied. A call that carries both a key and a token is judged by its key alone.
//!
//! ```xml
#![doc = include_str!("../../../gitpod/policies/echo.xml")]
//! ```
//!
//! and this fragment, which that policy includes:
//!
//! ```xml
#![doc = include_str!("../../../gitpod/policies/expire-workspace-keys.xml")]
//! ```
//!
//! The same goes for "partner" and `gitpod/policies/partner.xml`.
//!
//! Two things differ, and a careful client depends on neither: the reason phrase (APIM says `401 Access Denied`), and
//! that the nodes of a real gateway each count calls for themselves, so that its limits are less exact.

mod answers;
pub mod broker;
mod caller;
mod certificate;
mod echo;
mod key;
mod rate;
mod token;

use crate::{
    clock,
    emulator::{
        jwt::{self, Invalid, SigningKey, Verified},
        store::{Holder, Store},
        wire::{Request, Response, Service},
        world::World,
    },
};
use async_trait::async_trait;
use broker::Broker;
use caller::{Caller, Subject};
pub use certificate::{Thumbprint, Thumbprints, thumbprint};
use http::Method;
use rate::Limiter;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Where APIM says without credentials that the gateway is up.
pub const STATUS_PATH: &str = "/status-0123456789abcdef";

/// Where the API is mounted: this path and all below it.
pub const API_PATH: &str = "/echo";

/// The API's id, as scopes name it.
pub const API_ID: &str = "echo";

/// Where the API is mounted that a client certificate opens: this path and all below it.
pub const PARTNER_PATH: &str = "/partner";

/// Where the API that takes workspaces' own id tokens is mounted.
pub const WORKSPACE_PATH: &str = "/workspace";

const STATUS: &str = "Gateway_Status";
const ECHO: &str = "Echo_Call";
const PARTNER: &str = "Partner_Call";
const WORKSPACE: &str = "Workspace_Call";
const NOT_FOUND: &str = "Gateway_OperationNotFound";

type KeyLookup = dyn Fn(&str, SystemTime) -> Option<Holder> + Send + Sync;
type SignatureCheck = dyn Fn(&str) -> Result<Verified, Invalid> + Send + Sync;

/// The emulated gateway.
pub struct Gateway {
    world: Arc<World>,
    holder_of: Box<KeyLookup>,
    verify: Box<SignatureCheck>,
    thumbprints: Thumbprints,
    broker: Option<Broker>,
    limiter: Mutex<Limiter>,
}

impl Gateway {
    /// A gateway that looks keys up in `store`, trusts the tokens that `entra_keys` signed and the certificates that
    /// `world` names, and has no broker.
    pub fn new(world: Arc<World>, store: Arc<Store>, entra_keys: Arc<SigningKey>) -> Self {
        Self::with(
            world,
            Box::new(move |key, now| store.holder_of(key, now)),
            Box::new(move |token| jwt::verify(token, entra_keys.jwks())),
        )
    }

    fn with(world: Arc<World>, holder_of: Box<KeyLookup>, verify: Box<SignatureCheck>) -> Self {
        let limiter = Mutex::new(Limiter::new(world.rate_limit));
        let thumbprints: Thumbprints = {
            let world = world.clone();
            Arc::new(move || world.partner_certificates.clone())
        };
        Self { world, holder_of, verify, thumbprints, broker: None, limiter }
    }

    /// Trusts the certificates that `thumbprints` names at the time of each call, instead of the world's.
    #[must_use]
    pub fn trusting(mut self, thumbprints: Thumbprints) -> Self {
        self.thumbprints = thumbprints;
        self
    }

    /// Has this broker, whose keys it refuses after their end.
    #[must_use]
    pub fn brokering(mut self, broker: Broker) -> Self {
        self.broker = Some(broker);
        self
    }

    /// What the gateway and the API's policy make of a call at `now`.
    fn call(&self, request: &Request, now: SystemTime) -> Response {
        match self.admit(request, now) {
            Ok(caller) => self.serve(request, &caller, now),
            Err(refusal) => refusal,
        }
    }

    /// Finds out who calls. A key that is there decides, good or not; only without one the token is looked at.
    fn admit(&self, request: &Request, now: SystemTime) -> Result<Caller, Response> {
        if let Some(key) = key::presented(request) {
            return self.admit_by_key(key, request, now);
        }
        if !request.headers.contains_key(http::header::AUTHORIZATION) {
            return Err(answers::key_missing(&request.host));
        }
        match token::check(request, &self.verify, &self.world, now) {
            Ok(subject) => Ok(Caller::Token(subject)),
            Err(refusal) => {
                tracing::info!(reason = refusal.reason(), "the gateway refused a token");
                Err(answers::credential_refused(refusal.message()))
            }
        }
    }

    /// What the gateway makes of a call of the API "partner" at `now`.
    fn call_partner(&self, request: &Request, now: SystemTime) -> Response {
        let allowed = (self.thumbprints)();
        match certificate::check(request.client_certificate.as_deref(), &allowed, now) {
            Ok(thumbprint) => self.serve(request, &Caller::Certificate(certificate::shown(&thumbprint)), now),
            Err(refusal) => {
                tracing::info!(reason = refusal.reason(), "the gateway refused a client certificate");
                answers::credential_refused(refusal.message())
            }
        }
    }

    /// What the gateway makes of a call of the API "workspace" at `now`: whoever is trusted by the broker opens it with an
    /// id token, as the policy `validate-jwt` has it. Its words are those of
    /// <https://learn.microsoft.com/azure/api-management/validate-jwt-policy>.
    async fn call_workspace(&self, request: &Request, broker: &Broker, now: SystemTime) -> Response {
        let token = request.bearer().filter(|token| !token.is_empty());
        let Some(token) = token else { return answers::credential_refused("JWT not present.") };
        match broker.workspace(token, now).await {
            Ok(sub) => {
                let subject = Subject { app_id: String::new(), sub, user: None };
                self.serve(request, &Caller::Token(subject), now)
            }
            Err(why) => {
                tracing::info!("the gateway refused an id token, which {why}");
                answers::credential_refused("Invalid JWT.")
            }
        }
    }

    fn admit_by_key(&self, key: &str, request: &Request, now: SystemTime) -> Result<Caller, Response> {
        let Some(holder) = (self.holder_of)(key, now) else {
            return Err(answers::key_invalid(&request.host));
        };
        let opens = key::opens(&holder, &self.world.product) && !self.has_ended(&holder, now);
        let product = key::product_of(&holder.scope).map(str::to_owned);
        let whose = caller::marks(&holder.display_name).map(str::to_owned);
        let caller = Caller::Subscription { sid: holder.sid, product, whose };
        if opens {
            return Ok(caller);
        }
        // The caller is not told, but the log is: this is somebody's key, in a state or of a scope that does not do.
        Err(Response { caller: Some(caller.log_name()), ..answers::key_invalid(&request.host) })
    }

    /// API Management enforces no end of a subscription by itself: the policy's fragment does for the agent's, and the
    /// broker for its own.
    fn has_ended(&self, holder: &Holder, now: SystemTime) -> bool {
        let by_policy = self.world.expire_workspace_keys && key::is_past_its_end(holder, now);
        by_policy || self.broker.as_ref().is_some_and(|broker| broker.has_ended(&holder.sid, now))
    }

    /// Counts the call and hands it to the backend.
    fn serve(&self, request: &Request, caller: &Caller, now: SystemTime) -> Response {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = limiter.count(&caller.counter(), now);
        drop(limiter);
        let (response, remaining) = match counted {
            Ok(remaining) => (Response::json(200, &echo::report(request, caller)), remaining),
            Err(wait) => (answers::rate_limited(rate::whole_seconds(wait)), 0),
        };
        let response = response
            .header("X-RateLimit-Limit", self.world.rate_limit.to_string())
            .header("X-RateLimit-Remaining", remaining.to_string());
        Response { caller: Some(caller.log_name()), ..response }
    }
}

#[async_trait]
impl Service for Gateway {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        let is_status = request.path == STATUS_PATH && matches!(request.method, Method::GET | Method::HEAD);
        let is_below = |mount: &str| {
            request.path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Some(match request.path.as_str() {
            _ if is_status => STATUS,
            broker::TOKEN_PATH if self.broker.is_some() => broker::TOKEN,
            broker::REVOKE_PATH if self.broker.is_some() => broker::REVOKE,
            _ if is_below(API_PATH) => ECHO,
            _ if is_below(PARTNER_PATH) => PARTNER,
            _ if is_below(WORKSPACE_PATH) && self.broker.is_some() => WORKSPACE,
            // A gateway knows what to say to these, so they are not "not implemented".
            _ => NOT_FOUND,
        })
    }

    fn operations(&self) -> Vec<&'static str> {
        vec![STATUS, ECHO, PARTNER, WORKSPACE, broker::TOKEN, broker::REVOKE, NOT_FOUND]
    }

    async fn answer(&self, operation: &'static str, request: &Request) -> Response {
        let now = clock::now();
        match (operation, &self.broker) {
            (STATUS, _) => Response::new(200, ""),
            (ECHO, _) => self.call(request, now),
            (PARTNER, _) => self.call_partner(request, now),
            (WORKSPACE, Some(broker)) => self.call_workspace(request, broker, now).await,
            (broker::TOKEN, Some(broker)) => broker.exchange(request, now).await,
            (broker::REVOKE, Some(broker)) => broker.revoke(request, now),
            _ => answers::not_found(),
        }
    }
}

#[cfg(test)]
mod tests;
