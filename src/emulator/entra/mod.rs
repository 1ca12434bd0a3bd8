//! Microsoft Entra ID for one tenant, one application and one person.
//!
//! | file | what it answers |
//! |---|---|
//! | `token` | the token endpoint, which leads to one grant each in `app`, `code`, `refresh`, `device`, `obo`, `saml` |
//! | `device` | the device authorization endpoint, and the page for its codes |
//! | `authorize` | the authorization endpoint, and the page that asks the person |
//! | `discovery` | endpoints, keys, and which hosts are Entra's |
//! | `client`, `scope` | who asks, and for what |
//! | `issue` | the tokens |

mod app;
mod authorize;
mod caller;
mod client;
mod code;
mod device;
mod discovery;
mod errors;
mod form;
mod issue;
mod ledger;
mod obo;
mod page;
mod refresh;
mod saml;
mod scope;
mod sign_in;
#[cfg(test)]
mod tests;
mod token;

pub(super) use caller::Caller;
pub(super) use saml::{AUDIENCE as SAML_AUDIENCE, RECIPIENT as SAML_RECIPIENT};
pub use sign_in::{SignIn, User};

use super::{
    jwt::SigningKey,
    saml::Federation,
    trust::Trust,
    wire::{Request, Response, Service},
    world::World,
};
use crate::clock;
use async_trait::async_trait;
use errors::Refusal;
use http::Method;
use ledger::Ledger;
use std::{sync::Arc, time::SystemTime};

/// The service "entra".
pub(super) struct Entra {
    world: Arc<World>,
    keys: Arc<SigningKey>,
    trust: Trust,
    /// The AD FS servers whose SAML assertions count.
    federations: Vec<Federation>,
    device_codes: Ledger<device::Device>,
    tickets: Ledger<authorize::Ticket>,
    codes: Ledger<code::Code>,
    refresh_tokens: Ledger<refresh::Refresh>,
}

impl Entra {
    pub(super) fn new(
        world: Arc<World>,
        keys: Arc<SigningKey>,
        trust: Trust,
        federations: Vec<Federation>,
    ) -> Self {
        Self {
            world,
            keys,
            trust,
            federations,
            device_codes: Ledger::default(),
            tickets: Ledger::default(),
            codes: Ledger::default(),
            refresh_tokens: Ledger::default(),
        }
    }

    async fn token(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
        match token::answer(self, tenant, request, now).await {
            Ok((body, caller)) => {
                let mut response = Response::json(200, &body).header("x-ms-request-id", errors::guid());
                if let Some(id) = correlation(request) {
                    response = response.header("client-request-id", id);
                }
                response.caller = Some(caller.to_string());
                response
            }
            Err(refusal) => refuse(&refusal, request, now),
        }
    }

    fn device_code(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
        match device::authorize(self, tenant, request, now) {
            Ok(body) => Response::json(200, &body),
            Err(refusal) => refuse(&refusal, request, now),
        }
    }
}

/// Every operation, with its method and its path below the tenant.
const OPERATIONS: [(&str, Method, &str); 9] = [
    ("Entra_Token", Method::POST, "oauth2/v2.0/token"),
    ("Entra_DeviceCode", Method::POST, "oauth2/v2.0/devicecode"),
    ("Entra_DevicePage", Method::GET, "oauth2/deviceauth"),
    ("Entra_DeviceDecision", Method::POST, "oauth2/deviceauth"),
    ("Entra_Authorize", Method::GET, "oauth2/v2.0/authorize"),
    ("Entra_Consent", Method::POST, "Consent/Set"),
    ("Entra_Discovery", Method::GET, "v2.0/.well-known/openid-configuration"),
    ("Entra_Keys", Method::GET, "discovery/v2.0/keys"),
    ("Entra_InstanceDiscovery", Method::GET, "discovery/instance"),
];

#[async_trait]
impl Service for Entra {
    fn name(&self) -> &'static str {
        "entra"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        let (_, rest) = split(&request.path)?;
        let known = OPERATIONS.iter().find(|(_, method, path)| request.method == *method && rest == *path);
        known.map(|(operation, ..)| *operation)
    }

    fn operations(&self) -> Vec<&'static str> {
        OPERATIONS.iter().map(|(operation, ..)| *operation).collect()
    }

    async fn answer(&self, operation: &'static str, request: &Request) -> Response {
        let now = clock::now();
        let tenant = split(&request.path).map_or("", |(tenant, _)| tenant);
        let response = match operation {
            "Entra_Token" => self.token(tenant, request, now).await,
            "Entra_DeviceCode" => self.device_code(tenant, request, now),
            "Entra_DevicePage" => device::form(tenant),
            "Entra_DeviceDecision" => device::decide(self, request, now),
            "Entra_Authorize" => authorize::answer(self, tenant, request, now),
            "Entra_Consent" => authorize::decide(self, request, now),
            "Entra_Discovery" => self.discovery(tenant, request, now),
            "Entra_Keys" => self.keys(tenant, request, now),
            _ => Self::instances(request, now),
        };
        response
            .header("Cache-Control", "no-store, no-cache")
            .header("Pragma", "no-cache")
            .header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            .header("X-Content-Type-Options", "nosniff")
    }
}

fn refuse(refusal: &Refusal, request: &Request, now: SystemTime) -> Response {
    refusal.response(now, correlation(request), &request.host)
}

/// `/{tenant}/{rest}`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// The id by which the client wants to find its request again.
fn correlation(request: &Request) -> Option<&str> {
    let id = request.header("client-request-id").or_else(|| request.query("client-request-id"))?;
    // It goes into a header and a body; what is no id is left out.
    (!id.is_empty() && id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        .then_some(id)
}
