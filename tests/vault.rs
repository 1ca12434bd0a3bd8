//! The kinds `vault-secret` and `vault-certificate` from end to end: the real binary, the emulated Key Vault, and the
//! emulated gateway, which checks client certificates.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use apim_agent::secret::Secret;
use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::{Value, json};
use std::path::Path;
use support::{client, process::Process, scene::Scene};

/// On the emulator's own secret.
const PASSWORD: &str = r#"
[credentials.password]
kind = "vault-secret"
vault = "@VAULT"
secret = "@SECRET"
env = "PASSWORD"
"#;

/// On the emulator's own certificate.
const PARTNER: &str = r#"
[credentials.partner]
kind = "vault-certificate"
vault = "@VAULT"
certificate = "@CERTIFICATE"
env = "PARTNER"
probe = "/partner"
"#;

fn scene(options: &[&str], credentials: &str) -> Scene {
    let scene = Scene::new(options, "");
    let emulator = &scene.emulator;
    let credentials = credentials
        .replace("@VAULT", emulator.get("key_vault"))
        .replace("@SECRET", emulator.get("secret_name"))
        .replace("@CERTIFICATE", emulator.get("certificate_name"));
    scene.workspace.edit(|text| text + &credentials);
    scene
}

/// A call of the vault as the person who rotates what is in it.
fn operate(scene: &Scene, method: &str, path: &str, body: &Value) -> Value {
    let emulator = &scene.emulator;
    let token = format!("{}/_emulator/operator-token", emulator.get("control"));
    let token = emulator.call("GET", &token, &[], "").json();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let url = format!("{}{path}?api-version=2025-07-01", emulator.get("key_vault"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let answer = emulator.call(method, &url, &headers, &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// What the published files hold; they must not leak.
fn pair(scene: &Scene) -> (String, String) {
    let read = |variable: &str| std::fs::read_to_string(scene.workspace.value(variable)).unwrap();
    let (chain, key) = (read("PARTNER_CRT_FILE"), read("PARTNER_KEY_FILE"));
    scene.secret("the private key", key.lines().nth(1).unwrap());
    (chain, key)
}

/// A call of the gateway's API for partners with a client certificate.
fn call_partner(scene: &Scene, (chain, key): &(String, String)) -> u16 {
    let client = client(Path::new(scene.emulator.get("ca_file")));
    let client = client.with_certificate(chain, &Secret::new(key.clone())).unwrap();
    let url = format!("{}/partner", scene.emulator.get("gateway"));
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.send(request)).unwrap().status().as_u16()
}

fn end(scene: &Scene, agent: Process) {
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    for variable in ["PASSWORD", "PARTNER"] {
        assert!(text.contains(&format!("{variable}: by the vault; our copy is wiped")), "{text}");
    }
    scene.assert_clean();
}

#[test]
fn a_secret_is_published_and_a_certificate_opens_the_gateway() {
    let scene = scene(&[], &[PASSWORD, PARTNER].concat());
    let agent = scene.published(&[]);
    let path = format!("/secrets/{}/", scene.emulator.get("secret_name"));
    let stored = operate(&scene, "GET", &path, &Value::Null);
    let value = scene.workspace.value("PASSWORD");
    assert_eq!(stored["value"], value);
    scene.secret("the secret", &value);
    assert_eq!(call_partner(&scene, &pair(&scene)), 200);
    end(&scene, agent);
}

#[test]
fn what_is_rotated_in_the_vault_arrives_whole_and_is_run_by_nobody() {
    let scene = scene(&[], &[PASSWORD, PARTNER].concat());
    let agent = scene.published(&[]);
    let before = pair(&scene);

    let witness = scene.workspace.home.path().join("witness");
    let hostile = format!("two words\n$(touch {0}); `touch {0}`; '\"\\\n", witness.display());
    let (secret, certificate) = (scene.emulator.get("secret_name"), scene.emulator.get("certificate_name"));
    operate(&scene, "PUT", &format!("/secrets/{secret}/"), &json!({"value": hostile}));
    let policy =
        json!({"key_props": {"exportable": true}, "secret_props": {"contentType": "application/x-pem-file"}});
    let import = json!({"value": in_odd_order(), "policy": policy});
    operate(&scene, "POST", &format!("/certificates/{certificate}/import"), &import);
    assert_eq!(scene.run(&[], &["refresh"]).0, 0);
    agent.wait_until("both new values", |text| {
        text.matches(" published").count() >= 2 && {
            let variables = scene.workspace.published();
            variables.iter().any(|(name, _)| name == "PASSWORD_FILE") && pair(&scene).1 != before.1
        }
    });

    let file = scene.workspace.value("PASSWORD_FILE");
    assert_eq!(std::fs::read_to_string(file).unwrap(), hostile);
    assert!(scene.workspace.published().iter().all(|(name, _)| name != "PASSWORD"));
    let after = pair(&scene);
    assert_eq!(after.0.matches("BEGIN CERTIFICATE").count(), 2, "leaf and issuer; the stranger is out");
    assert_eq!(call_partner(&scene, &after), 200);
    assert!(!witness.exists());
    end(&scene, agent);
}

/// A stranger's certificate, an issuer's, the leaf's, and its key at the end.
fn in_odd_order() -> String {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut authority = named("issuer");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let stranger = named("stranger").self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut leaf = named("leaf");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    // The vault takes the first certificate for the one that is meant.
    [leaf.pem(), stranger.pem(), authority.pem(), key.serialize_pem()].concat()
}

#[test]
fn without_the_right_the_role_is_named() {
    let options = ["--data-action", "Microsoft.KeyVault/vaults/certificates/read"];
    let scene = scene(&options, PASSWORD);
    let (code, text) = scene.finish(scene.start(&[]));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("az role assignment create --role \"Key Vault Secrets User\""), "{text}");
    assert!(!text.contains("OBJECT-ID"), "who and where are known from the vault's answer: {text}");
    assert!(text.contains(&format!("/secrets/{}; it takes", scene.emulator.get("secret_name"))), "{text}");
    scene.workspace.assert_nothing_left();
    scene.assert_silent();
}

#[test]
fn a_secret_that_is_disabled_is_not_published() {
    let scene = scene(&[], PASSWORD);
    let name = scene.emulator.get("secret_name");
    let version = operate(&scene, "GET", &format!("/secrets/{name}/"), &Value::Null);
    let version = version["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let disabled = json!({"attributes": {"enabled": false}});
    operate(&scene, "PATCH", &format!("/secrets/{name}/{version}"), &disabled);
    let (code, text) = scene.finish(scene.start(&[]));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains(&format!("the secret {name}")) && text.contains("is disabled"), "{text}");
    scene.workspace.assert_nothing_left();
    scene.assert_silent();
}
