//! The emulated Key Vault against the examples and the description of 7.5.

use super::{KEYS, Operation, descriptions, examples, operations, request};
use crate::description::Files;
use apim_agent::{
    clock,
    emulator::{
        key_vault::{KeyVault, store::Vault},
        wire::{Request, Response, Service},
        world::World,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

const FOLDER: &str = "specification/keyvault/data-plane/Microsoft.KeyVault/stable/7.5";

/// Operations that the emulator implements and the description holds. All others have to be refused with 501.
const IMPLEMENTED: [&str; 21] = [
    "DeleteCertificate",
    "DeleteSecret",
    "GetCertificate",
    "GetCertificatePolicy",
    "GetCertificateVersions",
    "GetCertificates",
    "GetDeletedCertificate",
    "GetDeletedCertificates",
    "GetDeletedSecret",
    "GetDeletedSecrets",
    "GetSecret",
    "GetSecretVersions",
    "GetSecrets",
    "ImportCertificate",
    "PurgeDeletedCertificate",
    "PurgeDeletedSecret",
    "RecoverDeletedCertificate",
    "RecoverDeletedSecret",
    "SetSecret",
    "UpdateCertificate",
    "UpdateSecret",
];

/// A certificate of its own: its private key and itself, DER.
static CERTIFICATE: LazyLock<(rcgen::KeyPair, rcgen::Certificate)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    (key, certificate)
});

/// It as PKCS#12, under the password of the example. One round: nobody attacks it.
fn pfx() -> String {
    let (key, certificate) = &*CERTIFICATE;
    let chain = [Certificate::from_der(certificate.der()).unwrap()];
    let key = PrivateKey::from_der(key.serialized_der()).unwrap();
    let mut store = KeyStore::new();
    store.add_entry("it", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("1", key, chain)));
    let writer = store.writer("123").encryption_iterations(1).mac_iterations(1);
    STANDARD.encode(writer.write().unwrap())
}

/// It as PEM, and so spared the many rounds of the vault's own PKCS#12.
fn pem() -> Value {
    let (key, certificate) = &*CERTIFICATE;
    json!({
        "value": key.serialize_pem() + &certificate.pem(),
        "policy": { "secret_props": { "contentType": "application/x-pem-file" } },
    })
}

fn folder() -> Option<PathBuf> {
    descriptions(FOLDER)
}

/// An emulated vault.
struct Stage {
    service: KeyVault,
    world: Arc<World>,
    now: SystemTime,
}

impl Stage {
    fn new() -> Self {
        let (world, vault) = (Arc::new(World::default()), Arc::new(Vault::new()));
        let service = KeyVault::new(world.clone(), vault, KEYS.clone(), "https://127.0.0.1:1".to_owned());
        Self { service, world, now: clock::from_unix(1_795_530_309) }
    }

    fn token(&self) -> String {
        let now = clock::unix(self.now);
        let claims = json!({
            "aud": "https://vault.azure.net", "iss": format!("https://sts.windows.net/{}/", self.world.tenant_id),
            "nbf": now, "exp": now + 3600, "appid": self.world.client_id, "oid": self.world.principal_id,
        });
        KEYS.sign(&claims).unwrap()
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let mut request = request(method, path, &self.token());
        request.query.push(("api-version".to_owned(), "7.5".to_owned()));
        request.headers.insert("content-type", "application/json".parse().unwrap());
        request.body = body.to_string().into();
        let answer = self.answer(request);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn answer(&self, mut request: Request) -> Response {
        request.host = String::from("myvault.vault.azure.net");
        self.service.answer_at(&request, self.now)
    }

    /// Puts there what the example is about, two versions of two, and gives the example's parameters with a version
    /// that exists.
    fn seed(&self, operation: &str, example: &Value) -> Value {
        let mut values = example["parameters"].clone();
        if operation == "SetSecret" || operation == "ImportCertificate" {
            return values;
        }
        let secret = operation.contains("Secret");
        let named = if secret { "secret" } else { "certificate" };
        let name = values[format!("{named}-name")].as_str().unwrap_or("seed").to_owned();
        let mut version = None;
        for name in [&name, &name, "another", "another"] {
            let (method, path, body) = if secret {
                let body = json!({ "value": "v", "contentType": "plainText" });
                (Method::PUT, format!("/secrets/{name}"), body)
            } else {
                (Method::POST, format!("/certificates/{name}/import"), pem())
            };
            let made = self.send(method, &path, &body);
            if name != "another" {
                version = made["id"].as_str().unwrap().rsplit('/').next().map(String::from);
            }
        }
        if operation.contains("Deleted") {
            for name in [&name, "another"] {
                self.send(Method::DELETE, &format!("/{named}s/{name}"), &json!({}));
            }
        }
        values[format!("{named}-version")] = json!(version);
        values
    }
}

/// The example's request on a stage that is made ready for it.
fn prepared(files: &Files, operation: &Operation, example: &Value) -> (Stage, Request) {
    let stage = Stage::new();
    let mut values = stage.seed(&operation.id, example);
    if operation.id == "ImportCertificate" {
        // The example has three letters in its place.
        values["parameters"]["value"] = json!(pfx());
    }
    let request = operation.request(files, &values, &stage.token());
    (stage, request)
}

fn all(files: &Files, folder: &std::path::Path) -> Vec<Operation> {
    let all = operations(files, folder);
    // The description of keys is there for what refers to it.
    all.into_iter().filter(|operation| !operation.path.contains("keys") && operation.path != "/rng").collect()
}

#[test]
fn the_answers_are_those_of_the_examples() {
    let Some(folder) = folder() else { return };
    let files = Files::default();
    let mut compared = Vec::new();
    for operation in all(&files, &folder) {
        if !IMPLEMENTED.contains(&operation.id.as_str()) {
            continue;
        }
        for (name, mut example) in examples(&files, &operation) {
            let (stage, request) = prepared(&files, &operation, &example);
            assert_eq!(stage.service.operation(&request), Some(operation.id.as_str()), "{name}");
            let mut answer = stage.answer(request);
            // The examples have null where there is no next page, and the description says text.
            let responses = example["responses"].as_object_mut().unwrap();
            let body = &mut responses[&answer.status.to_string()]["body"];
            if body.get("nextLink").is_some_and(Value::is_null) {
                let mut ours: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(ours.as_object_mut().unwrap().remove("nextLink"), Some(Value::Null), "{name}");
                answer.body = ours.to_string().into();
            }
            let departures = operation.departures(&files, &example, &answer);
            assert!(departures.is_empty(), "{name}, {}: {departures:#?}", answer.status);
            compared.push(operation.id.clone());
        }
    }
    compared.sort();
    assert_eq!(compared, IMPLEMENTED, "each operation with its one example");
    println!("compared {} official examples", compared.len());
}

#[test]
fn refusals_have_the_shape_of_the_default_response() {
    let Some(folder) = folder() else { return };
    let files = Files::default();
    let mut refusals = 0;
    for operation in all(&files, &folder) {
        if !IMPLEMENTED.contains(&operation.id.as_str()) {
            continue;
        }
        for (name, example) in examples(&files, &operation) {
            let (stage, good) = prepared(&files, &operation, &example);
            let mut answers = vec![Stage::new().answer(good)];
            for spoil in [
                (|request| drop(request.headers.remove("authorization"))) as fn(&mut Request),
                |request| request.query.retain(|(name, _)| name != "api-version"),
                |request| request.query.push(("maxresults".to_owned(), "none".to_owned())),
                |request| request.body = "[]".into(),
            ] {
                let mut request = operation.request(&files, &example["parameters"], &stage.token());
                spoil(&mut request);
                answers.push(stage.answer(request));
            }
            for answer in answers.into_iter().filter(|answer| answer.status >= 400) {
                let departures = operation.departures(&files, &example, &answer);
                assert!(departures.is_empty(), "{name}, {}: {departures:#?}", answer.status);
                refusals += 1;
            }
        }
    }
    // A missing token and version break every operation; the rest those with a name, a page or a body.
    assert!(refusals >= 2 * IMPLEMENTED.len(), "{refusals}");
    println!("compared {refusals} refusals");
}

#[test]
fn every_other_operation_is_refused_by_name() {
    let Some(folder) = folder() else { return };
    let files = Files::default();
    let mut named = 0;
    for operation in all(&files, &folder) {
        if IMPLEMENTED.contains(&operation.id.as_str()) {
            continue;
        }
        let stage = Stage::new();
        let path = operation.path.replace(['{', '}'], "");
        let request = request(operation.method.clone(), &path, &stage.token());
        assert_eq!(stage.service.operation(&request), Some(operation.id.as_str()));
        let answer = stage.answer(request);
        assert_eq!(answer.status, 501, "{}", operation.id);
        assert!(String::from_utf8_lossy(&answer.body).contains(&operation.id));
        named += 1;
    }
    assert!(named >= 15, "{named}");
    println!("{named} operations are refused by name");
}
