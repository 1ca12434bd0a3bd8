//! For tests: an exchange that counts, and an ARM that holds at most one subscription, behind `azure_core`'s own
//! transport trait.

use super::arm::Arm;
use crate::{
    clock, config,
    error::{Class, Error, Result},
    exchange::{AccessToken, Exchange},
    identity::{Actor, Subject, claims::Claims},
    secret::Secret,
};
use async_trait::async_trait;
use azure_core::http::{
    AsyncRawResponse, Body, HttpClient, Request, StatusCode, Transport,
    headers::{AUTHORIZATION, HeaderName, Headers, IF_MATCH},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

pub(super) const SERVICE: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ApiManagement/service/contoso";

/// Hands out `token-1`, `token-2`, …, each good for an hour.
#[derive(Default)]
pub(super) struct FakeExchange {
    scopes: Mutex<Vec<String>>,
    pub(super) fails: Mutex<Option<Error>>,
}

impl FakeExchange {
    pub(super) fn scopes(&self) -> Vec<String> {
        self.scopes.lock().expect("no panic").clone()
    }

    pub(super) fn count(&self) -> usize {
        self.scopes().len()
    }
}

fn subject(claims: Claims) -> Subject {
    Subject { source: "ona", actor: Actor::Workspace, claims }
}

#[async_trait]
impl Exchange for FakeExchange {
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        if let Some(error) = self.fails.lock().expect("no panic").clone() {
            return Err(error);
        }
        let number = {
            let mut scopes = self.scopes.lock().expect("no panic");
            scopes.push(scope.unwrap_or_default().to_owned());
            scopes.len()
        };
        // Somebody else gets to run, as with a real network.
        tokio::task::yield_now().await;
        let expires_at = clock::now() + Duration::from_hours(1);
        Ok(AccessToken {
            token: Secret::new(format!("token-{number}")),
            expires_at,
            bearer: true,
            refresh_at: None,
            subject: subject(Claims {
                iss: "https://app.gitpod.io".to_owned(),
                sub: "org:1/project:2".to_owned(),
                aud: vec!["api://AzureADTokenExchange".to_owned()],
                exp: expires_at,
                workspace: None,
                user: Some("ada@example.com".to_owned()),
            }),
        })
    }
}

/// How the next request is met.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    /// As ARM does.
    Fine,
    /// With this status, code and headers, and without effect.
    Refuse(u16, &'static str, Vec<(&'static str, &'static str)>),
    /// It takes effect, and the connection breaks before the answer.
    Lost,
    /// It takes effect, and the answer never comes.
    Hang,
    /// Somebody deletes the subscription just before.
    DeletedBefore,
}

/// A request as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) bearer: String,
    pub(super) if_match: Option<String>,
    pub(super) body: Value,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) script: VecDeque<Turn>,
    pub(super) seen: Vec<Seen>,
    /// `properties` of the subscription, and its version.
    pub(super) subscription: Option<(Value, u64)>,
    versions: u64,
}

impl World {
    /// The keys that open the gateway.
    pub(super) fn keys(&self) -> Vec<String> {
        let Some((properties, _)) = &self.subscription else { return Vec::new() };
        let key = |name: &str| properties[name].as_str().map(str::to_owned);
        [key("primaryKey"), key("secondaryKey")].into_iter().flatten().collect()
    }

    pub(super) fn knows(&self, secret: &Secret) -> bool {
        self.keys().iter().any(|key| key == secret.expose())
    }

    pub(super) fn methods(&self) -> Vec<&str> {
        self.seen.iter().map(|seen| seen.method.as_str()).collect()
    }

    fn apply(&mut self, seen: &Seen) -> (u16, Value) {
        let refuse = |status: u16, code: &str| (status, json!({"error": {"code": code, "message": "words"}}));
        let known = self.subscription.as_ref().map(|(_, version)| format!("\"{version}\""));
        let matches =
            seen.if_match.as_deref().is_some_and(|etag| etag == "*" || Some(etag) == known.as_deref());
        match (seen.method.as_str(), known.is_some()) {
            ("PUT", existed) => {
                self.versions += 1;
                let mut properties = self.subscription.take().map_or_else(|| json!({}), |(old, _)| old);
                merge(&mut properties, &seen.body["properties"]);
                self.subscription = Some((properties, self.versions));
                (if existed { 200 } else { 201 }, json!({"properties": {"state": "active"}}))
            }
            ("DELETE", false) => (204, json!({})),
            (_, false) => refuse(404, "ResourceNotFound"),
            ("GET", true) => (200, json!({})),
            (_, true) if !matches => refuse(412, "PreconditionFailed"),
            ("PATCH", true) => {
                self.versions += 1;
                let (mut properties, _) = self.subscription.take().expect("it exists");
                merge(&mut properties, &seen.body["properties"]);
                self.subscription = Some((properties, self.versions));
                (200, json!({}))
            }
            ("DELETE", true) => {
                self.subscription = None;
                (200, json!({}))
            }
            (other, _) => panic!("ARM has no {other}"),
        }
    }
}

fn merge(old: &mut Value, new: &Value) {
    for (key, value) in new.as_object().expect("properties") {
        old[key] = value.clone();
    }
}

/// A handle on one emulated ARM; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeArm(Arc<Mutex<World>>);

impl FakeArm {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic")
    }

    pub(super) fn script(&self, turns: impl IntoIterator<Item = Turn>) {
        self.world().script.extend(turns);
    }

    pub(super) fn client(&self, exchange: &Arc<FakeExchange>) -> Arc<Arm> {
        let config = config::Arm {
            url: "https://arm.example/".parse().expect("a URL"),
            scope: "https://arm.example/.default".to_owned(),
        };
        let exchange = Arc::clone(exchange) as Arc<dyn Exchange>;
        Arc::new(Arm::over(Transport::new(Arc::new(self.clone())), &config, SERVICE, exchange))
    }
}

#[async_trait]
impl HttpClient for FakeArm {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body() else { panic!("a streaming body") };
        let seen = Seen {
            method: request.method().as_ref().to_owned(),
            url: request.url().to_string(),
            bearer: request.headers().get_optional_string(&AUTHORIZATION).unwrap_or_default(),
            if_match: request.headers().get_optional_string(&IF_MATCH),
            body: serde_json::from_slice(body).unwrap_or_default(),
        };
        // As on a real network, a call that is given up now has been sent already.
        let (status, body, etag, headers, turn) = {
            let mut world = self.world();
            let turn = world.script.pop_front().unwrap_or(Turn::Fine);
            world.seen.push(seen.clone());
            if matches!(turn, Turn::DeletedBefore) {
                world.subscription = None;
            }
            let (status, body, headers) = if let Turn::Refuse(status, code, headers) = &turn {
                // Success without effect, where the status says success.
                let body =
                    json!({"error": {"code": code, "message": "words"}, "properties": {"state": "active"}});
                (*status, body, headers.clone())
            } else {
                let (status, body) = world.apply(&seen);
                (status, body, vec![])
            };
            let etag = world.subscription.as_ref().map(|(_, version)| format!("\"{version}\""));
            (status, body, etag, headers, turn)
        };
        if matches!(turn, Turn::Hang) {
            std::future::pending::<()>().await;
        }
        if matches!(turn, Turn::Lost) {
            let error = Error::new(Class::Unavailable, "arm.example:443 closed the connection");
            return Err(azure_core::Error::new(azure_core::error::ErrorKind::Other, error));
        }
        let mut answer = Headers::new();
        for (name, value) in headers {
            answer.insert(HeaderName::from_static(name), value);
        }
        if let Some(etag) = etag.filter(|_| status < 300) {
            answer.insert("etag", etag);
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), answer, body.to_string()))
    }
}
