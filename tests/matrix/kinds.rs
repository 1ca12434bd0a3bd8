//! The kinds: how each is configured on the emulator, and what shows that its value is good.

use crate::{
    sources::Way,
    support::{Emulator, client, scene::Scene},
};
use apim_agent::secret::Secret;
use bytes::Bytes;
use serde_json::Value;
use std::path::Path;

/// The columns.
pub(crate) const KINDS: [&str; 6] =
    ["access-token", "id-token", "subscription-key", "vault-secret", "vault-certificate", "brokered"];

/// The settings of one kind's credential.
fn settings(kind: &str, emulator: &Emulator, way: &Way) -> Vec<(String, String)> {
    let set = |key: &str, value: &str| (format!("credentials.{kind}.{key}"), value.to_owned());
    let mut settings = vec![set("kind", kind), set("env", &env(kind))];
    settings.extend(match kind {
        "access-token" => vec![set("scope", emulator.get("api_scope"))],
        "id-token" => {
            // One for Entra is nothing that the agent shows the gateway.
            let probe = way.any_audience.then(|| set("probe", way.id_token_probe));
            [set("audience", &way.audience(emulator))].into_iter().chain(probe).collect()
        }
        "subscription-key" => vec![set("scope", &format!("/products/{}", emulator.get("product")))],
        "vault-secret" => {
            vec![set("vault", emulator.get("key_vault")), set("secret", emulator.get("secret_name"))]
        }
        "vault-certificate" => vec![
            set("vault", emulator.get("key_vault")),
            set("certificate", emulator.get("certificate_name")),
            set("probe", "/partner"),
        ],
        _ => vec![set("exchange", "broker")],
    });
    if let (Some(exchange), true) = (way.exchange, kind != "id-token" && kind != "brokered") {
        settings.push(set("exchange", exchange));
    }
    if kind == "brokered" {
        let broker = |key: &str, value: String| (format!("exchanges.broker.{key}"), value);
        settings.extend([
            broker("kind", "token-exchange".to_owned()),
            broker("token_endpoint", format!("{}/token", emulator.get("broker"))),
            broker("revocation_endpoint", format!("{}/revoke", emulator.get("broker"))),
            broker("subject_audience", way.broker_audience(emulator)),
        ]);
    }
    settings
}

/// The variable that a kind is published as.
fn env(kind: &str) -> String {
    kind.to_ascii_uppercase().replace('-', "_")
}

/// One run of the agent with all kinds that a source can give.
pub(crate) struct Stage<'w> {
    way: &'w Way,
    scene: Scene,
}

impl<'w> Stage<'w> {
    pub(crate) fn new(way: &'w Way) -> Self {
        Self { way, scene: Scene::new(&[], "") }
    }

    /// Runs the agent until all is published, uses each value, ends it, and looks at what is left. The kinds with the
    /// exchange that each went through.
    pub(crate) fn play(&self) -> Vec<(&'static str, &'static str)> {
        let Self { way, scene } = self;
        let emulator = &scene.emulator;
        let mut settings: Vec<_> =
            way.kinds.iter().flat_map(|(kind, _)| settings(kind, emulator, way)).collect();
        let outfit = (way.outfit)(scene);
        settings.extend(outfit.settings);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let mut command = scene.command(&settings, &["run"]);
        command.envs(outfit.env);
        let agent = crate::support::process::Process::start(&mut command);
        if let Some(person) = outfit.person {
            person(scene, &agent);
        }
        agent.wait_for("\npublished ");
        let status = scene.status_when("ready", |status| status["ready"] == true);
        for (kind, _) in way.kinds {
            let credential = status["credentials"].as_array().unwrap().iter().find(|it| it["kind"] == *kind);
            assert_eq!(credential.unwrap()["identity"]["actor"], way.actor, "{kind}: {status}");
        }
        scene.learn(&agent);
        let used: Vec<_> = way.kinds.iter().map(|(kind, _)| (*kind, self.uses(kind))).collect();
        let (code, text) = scene.end(agent);
        assert_eq!(code, 0, "{}: {text}", way.row);
        for (kind, value) in used {
            if matches!(kind, "subscription-key" | "brokered") {
                assert_eq!(emulator.echo_with_key(&value).status, 401, "{kind} is revoked");
            }
        }
        scene.assert_clean();
        way.kinds.to_vec()
    }

    /// Uses the published value as its owner would; gives it.
    fn uses(&self, kind: &str) -> String {
        let Self { way, scene } = self;
        let emulator = &scene.emulator;
        let value = || scene.workspace.value(&env(kind));
        let is_fine = |answer: &crate::support::Answer| {
            assert_eq!(answer.status, 200, "{} {kind}: {}", way.row, answer.body);
        };
        match kind {
            "access-token" => {
                let answer = emulator.echo_with_token(&value());
                is_fine(&answer);
                // The gateway's log tells people and workspaces apart.
                let journal = emulator.journal();
                let caller = journal.iter().rev().find(|row| row["operation"] == "Echo_Call");
                let caller = caller.and_then(|row| row["caller"].as_str()).unwrap_or_default();
                assert!(caller.starts_with(way.actor), "{}: {caller}", way.row);
                value()
            }
            "id-token" => {
                if way.id_token_probe == "/workspace" {
                    let url = format!("{}/workspace", emulator.get("gateway"));
                    let bearer = format!("Bearer {}", value());
                    is_fine(&emulator.call("GET", &url, &[("Authorization", &bearer)], ""));
                    // It opens to that token only: not to nobody, and not to one whose signature is another's.
                    assert_eq!(emulator.call("GET", &url, &[], "").status, 401);
                    let (signed, signature) = bearer.rsplit_once('.').unwrap();
                    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
                    assert_eq!(emulator.call("GET", &url, &[("Authorization", &forged)], "").status, 401);
                }
                value()
            }
            "vault-secret" => {
                assert_eq!(value(), secret_in_the_vault(emulator));
                value()
            }
            "vault-certificate" => {
                let [chain, key] =
                    ["CRT", "KEY"].map(|part| scene.workspace.value(&format!("{}_{part}_FILE", env(kind))));
                assert_eq!(with_certificate(emulator, &chain, &key), 200);
                std::fs::read_to_string(key).unwrap()
            }
            _ => {
                is_fine(&emulator.echo_with_key(&value()));
                value()
            }
        }
    }
}

/// What the vault holds, as its operator reads it.
fn secret_in_the_vault(emulator: &Emulator) -> String {
    let url = format!("{}/_emulator/operator-token", emulator.get("control"));
    let token = emulator.call("GET", &url, &[], "").json();
    let url =
        format!("{}/secrets/{}/?api-version=7.4", emulator.get("key_vault"), emulator.get("secret_name"));
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let answer = emulator.call("GET", &url, &[("Authorization", &bearer)], "").json();
    let Value::String(value) = &answer["value"] else { panic!("no value: {answer}") };
    value.clone()
}

/// A call of the partner API by mutual TLS with these two files; the status.
fn with_certificate(emulator: &Emulator, chain: &str, key: &str) -> u16 {
    let [chain, key] = [chain, key].map(|path| std::fs::read_to_string(path).unwrap());
    let client =
        client(Path::new(emulator.get("ca_file"))).with_certificate(&chain, &Secret::new(key)).unwrap();
    let request =
        http::Request::get(format!("{}/partner", emulator.get("gateway"))).body(Bytes::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.send(request)).unwrap().status().as_u16()
}
