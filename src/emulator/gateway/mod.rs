//! The API Management gateway: one API, "echo", which a subscription key or an Entra token opens.
//!
//! A real gateway behaves like this one when it has the following policy at the API; `gitpod/policies/echo.xml`
//! is that policy, ready to be applied. A call that carries both a key and a token is judged by its key alone.
//!
//! ```xml
#![doc = include_str!("../../../gitpod/policies/echo.xml")]
//! ```
//!
//! Two things differ, and a careful client depends on neither: the reason phrase (APIM says `401 Access Denied`), and
//! that the nodes of a real gateway each count calls for themselves, so that its limits are less exact.

mod answers;
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
use http::Method;
use rate::Limiter;
use serde_json::{Value, json};
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

const STATUS: &str = "Gateway_Status";
const ECHO: &str = "Echo_Call";
const NOT_FOUND: &str = "Gateway_OperationNotFound";

type KeyLookup = dyn Fn(&str, SystemTime) -> Option<Holder> + Send + Sync;
type SignatureCheck = dyn Fn(&str) -> Result<Verified, Invalid> + Send + Sync;

/// The emulated gateway.
pub struct Gateway {
    world: Arc<World>,
    holder_of: Box<KeyLookup>,
    verify: Box<SignatureCheck>,
    limiter: Mutex<Limiter>,
}

impl Gateway {
    /// A gateway that looks keys up in `store` and trusts the tokens that `entra_keys` signed.
    pub fn new(world: Arc<World>, store: Arc<Store>, entra_keys: Arc<SigningKey>) -> Self {
        Self::with(
            world,
            Box::new(move |key, now| store.holder_of(key, now)),
            Box::new(move |token| jwt::verify(token, entra_keys.jwks())),
        )
    }

    fn with(world: Arc<World>, holder_of: Box<KeyLookup>, verify: Box<SignatureCheck>) -> Self {
        let limiter = Mutex::new(Limiter::new(world.rate_limit));
        Self { world, holder_of, verify, limiter }
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
            Ok(subject) => Ok(Caller::App(subject)),
            Err(refusal) => {
                tracing::info!(reason = refusal.reason(), "the gateway refused a token");
                Err(answers::token_refused(refusal.message()))
            }
        }
    }

    fn admit_by_key(&self, key: &str, request: &Request, now: SystemTime) -> Result<Caller, Response> {
        let Some(holder) = (self.holder_of)(key, now) else {
            return Err(answers::key_invalid(&request.host));
        };
        let opens = key::opens(&holder, &self.world.product);
        let product = key::product_of(&holder.scope).map(str::to_owned);
        let caller = Caller::Subscription { sid: holder.sid, product };
        if opens {
            return Ok(caller);
        }
        // The caller is not told, but the log is: this is somebody's key, in a state or of a scope that does not do.
        Err(Response { caller: Some(caller.log_name()), ..answers::key_invalid(&request.host) })
    }

    /// Counts the call and hands it to the backend.
    fn serve(&self, request: &Request, caller: &Caller, now: SystemTime) -> Response {
        let name = caller.log_name();
        let counted = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).count(&name, now);
        let (response, remaining) = match counted {
            Ok(remaining) => (Response::json(200, &echo::report(request, caller)), remaining),
            Err(wait) => (answers::rate_limited(rate::whole_seconds(wait)), 0),
        };
        let response = response
            .header("X-RateLimit-Limit", self.world.rate_limit.to_string())
            .header("X-RateLimit-Remaining", remaining.to_string());
        Response { caller: Some(name), ..response }
    }
}

#[async_trait]
impl Service for Gateway {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        let is_status = request.path == STATUS_PATH && matches!(request.method, Method::GET | Method::HEAD);
        let is_echo =
            request.path.strip_prefix(API_PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        Some(match (is_status, is_echo) {
            (true, _) => STATUS,
            (_, true) => ECHO,
            // A gateway knows what to say to these, so they are not "not implemented".
            _ => NOT_FOUND,
        })
    }

    fn operations(&self) -> Vec<&'static str> {
        vec![STATUS, ECHO, NOT_FOUND]
    }

    async fn answer(&self, operation: &'static str, request: &Request) -> Response {
        match operation {
            STATUS => Response::new(200, ""),
            ECHO => self.call(request, clock::now()),
            _ => answers::not_found(),
        }
    }
}

/// Who makes a call: ids only.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Caller {
    /// The holder of a subscription key.
    Subscription {
        /// The subscription.
        sid: String,
        /// The product that the call is made in, where the subscription's scope is one.
        product: Option<String>,
    },
    /// The application that an access token was issued to.
    App(token::Subject),
}

impl Caller {
    /// As the log names it; also what calls are counted by.
    fn log_name(&self) -> String {
        match self {
            Self::Subscription { sid, .. } => format!("subscription {sid}"),
            Self::App(token::Subject { app_id, subject }) => format!("app {app_id} sub {subject}"),
        }
    }

    /// As the backend is told.
    fn to_json(&self) -> Value {
        match self {
            Self::Subscription { sid, product: None } => json!({"kind": "subscription", "name": sid}),
            Self::Subscription { sid, product } => {
                json!({"kind": "subscription", "name": sid, "product": product})
            }
            Self::App(token::Subject { app_id, subject }) => {
                json!({"kind": "token", "name": app_id, "subject": subject})
            }
        }
    }
}

#[cfg(test)]
mod tests;
