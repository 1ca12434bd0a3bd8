//! For tests: a vault on loopback that challenges who brings no token, and answers each path as it is told.

use super::Vault;
use crate::{
    exchange::Exchange,
    http::testing::{Reply, Seen, Server, answer},
    lease::fake::FakeExchange,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// 32 hexadecimal digits.
pub(in crate::lease) const VERSION: &str = "0123456789abcdef0123456789abcdef";
pub(in crate::lease) const NEXT: &str = "fedcba9876543210fedcba9876543210";

#[derive(Default)]
struct World {
    /// Status and body by path, without the query.
    answers: BTreeMap<String, (u16, Vec<u8>)>,
    /// Headers of all answers.
    headers: Vec<(&'static str, String)>,
    /// Bearers that are refused like none.
    refused: Vec<String>,
    /// The challenge's resource.
    resource: String,
}

pub(in crate::lease) struct FakeVault {
    pub(in crate::lease) server: Server,
    pub(in crate::lease) exchange: Arc<FakeExchange>,
    world: Arc<Mutex<World>>,
}

impl FakeVault {
    pub(in crate::lease) async fn start() -> Self {
        let resource = "https://vault.azure.net".to_owned();
        let world = Arc::new(Mutex::new(World { resource, ..World::default() }));
        let shared = Arc::clone(&world);
        let server = Server::start(move |_, seen| shared.lock().expect("no panic").reply(seen)).await;
        Self { server, exchange: Arc::default(), world }
    }

    /// A client of it, with a cache of tokens of its own.
    pub(in crate::lease) fn vault(&self) -> Arc<Vault> {
        let exchange = Arc::clone(&self.exchange) as Arc<dyn Exchange>;
        Arc::new(Vault::new(&self.server.url, &exchange, &self.server.client()).expect("a vault"))
    }

    pub(in crate::lease) fn answer(&self, path: &str, status: u16, body: &Value) {
        self.answer_bytes(path, status, body.to_string().into_bytes());
    }

    pub(in crate::lease) fn answer_bytes(&self, path: &str, status: u16, body: Vec<u8>) {
        self.world.lock().expect("no panic").answers.insert(path.to_owned(), (status, body));
    }

    pub(in crate::lease) fn header(&self, name: &'static str, value: &str) {
        self.world.lock().expect("no panic").headers.push((name, value.to_owned()));
    }

    pub(in crate::lease) fn refuse(&self, token: &str) {
        self.world.lock().expect("no panic").refused.push(token.to_owned());
    }

    pub(in crate::lease) fn challenge(&self, resource: &str) {
        self.world.lock().expect("no panic").resource = resource.to_owned();
    }

    /// The secret `name`, current and as `version`, with `more` besides its value.
    pub(in crate::lease) fn secret(&self, name: &str, version: &str, value: &str, more: &Value) {
        self.object("secrets", name, version, &json!({"value": value}), more);
    }

    /// The certificate `name`, current and as `version`.
    pub(in crate::lease) fn certificate(&self, name: &str, version: &str, more: &Value) {
        self.object("certificates", name, version, &json!({}), more);
    }

    fn object(&self, collection: &str, name: &str, version: &str, one: &Value, two: &Value) {
        let id = format!("https://contoso.vault.azure.net/{collection}/{name}/{version}");
        let mut body = json!({"id": id});
        for (key, value) in [one, two].into_iter().filter_map(Value::as_object).flatten() {
            body[key] = value.clone();
        }
        self.answer(&format!("/{collection}/{name}/"), 200, &body);
        self.answer(&format!("/{collection}/{name}/{version}"), 200, &body);
    }

    /// What was asked for: `GET /secrets/partner/`, and with which bearer.
    pub(in crate::lease) fn asked(&self) -> Vec<(String, Option<String>)> {
        self.server.seen().iter().map(|seen| (path(seen), bearer(seen))).collect()
    }
}

impl World {
    fn reply(&self, seen: &Seen) -> Reply {
        assert!(seen.head.contains("?api-version="), "{}", seen.head);
        let known = bearer(seen).filter(|token| !self.refused.contains(token));
        let mut headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if known.is_none() {
            let challenge = format!(
                "Bearer authorization=\"https://login.windows.net/tenant\", resource=\"{}\"",
                self.resource
            );
            headers.push(("www-authenticate", &challenge));
            let message = "AKV10000: Request is missing a Bearer or PoP token.";
            let body = json!({"error": {"code": "Unauthorized", "message": message}});
            return Reply::Answer(answer(401, &headers, &body.to_string()));
        }
        let nothing = (404, br#"{"error":{"code":"SecretNotFound","message":"not here"}}"#.to_vec());
        let (status, body) = self.answers.get(&path(seen)).unwrap_or(&nothing);
        let mut answer = answer(*status, &headers, "");
        *answer.body_mut() = body.clone().into();
        Reply::Answer(answer)
    }
}

fn path(seen: &Seen) -> String {
    let target = seen.head.split(' ').nth(1).unwrap_or_default();
    target.split('?').next().unwrap_or_default().to_owned()
}

fn bearer(seen: &Seen) -> Option<String> {
    let header = seen.head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"))?;
    header.split("Bearer ").nth(1).map(|token| token.trim().to_owned())
}
