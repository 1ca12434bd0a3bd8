//! The vault as its clients see it: whole requests, whole answers.

use super::{starter, *};
use crate::{
    clock::{from_unix, unix},
    emulator::testing::request,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::digest;
use std::{sync::LazyLock, time::Duration};

static KEYS: LazyLock<Arc<jwt::SigningKey>> =
    LazyLock::new(|| Arc::new(jwt::SigningKey::generate().unwrap()));

const NOW: u64 = 1_795_530_309;

struct Bench {
    service: KeyVault,
    vault: Arc<Vault>,
    world: Arc<World>,
    token: String,
    now: SystemTime,
}

impl Bench {
    fn new() -> Self {
        Self::with(World::default())
    }

    fn with(world: World) -> Self {
        let (world, now) = (Arc::new(world), from_unix(NOW));
        let vault = Arc::new(starter::stock(&world, now).unwrap());
        let authority = "https://127.0.0.1:5".to_owned();
        let service = KeyVault::new(world.clone(), vault.clone(), KEYS.clone(), authority);
        let token = bearer(&world, "https://vault.azure.net");
        Self { service, vault, world, token, now }
    }

    /// As the operator, who may do everything.
    fn operator(mut self) -> Self {
        self.token = format!("Bearer {}", operator::token(&self.world, &KEYS, self.now).unwrap());
        self
    }

    fn answer(&self, request: &Request) -> Answer {
        assert!(self.service.operation(request).is_some(), "{} {}", request.method, request.path);
        Answer(self.service.answer_at(request, self.now))
    }

    /// With a good token and api-version; `target` may have more of a query.
    fn request(&self, method: &str, target: &str) -> Request {
        let and = if target.contains('?') { '&' } else { '?' };
        let request = request(method, &format!("{target}{and}api-version=7.5"));
        request.with_header("authorization", &self.token)
    }

    fn send(&self, method: &str, target: &str) -> Answer {
        self.answer(&self.request(method, target))
    }

    fn write(&self, method: &str, target: &str, body: &Value) -> Answer {
        let request = self.request(method, target).with_header("content-type", "application/json");
        self.answer(&request.with_body(body.to_string()))
    }

    fn names(&self, target: &str) -> Vec<String> {
        let list = self.send("GET", target).ok();
        let id = |row: &Value| row["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        list["value"].as_array().unwrap().iter().map(id).collect()
    }
}

fn bearer(world: &World, audience: &str) -> String {
    let claims = json!({
        "aud": audience, "iss": format!("https://sts.windows.net/{}/", world.tenant_id),
        "nbf": NOW - 300, "exp": NOW + 3600, "appid": world.client_id, "oid": world.principal_id,
    });
    format!("Bearer {}", KEYS.sign(&claims).unwrap())
}

struct Answer(Response);

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.body).unwrap()
    }

    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!(self.0.status, 200, "{}", String::from_utf8_lossy(&self.0.body));
        self.json()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.0.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Status, code and inner code.
    #[track_caller]
    fn is(&self, status: u16, code: &str, inner: Option<&str>) {
        let error = &self.json()["error"];
        let told = (self.0.status, error["code"].as_str(), error["innererror"]["code"].as_str());
        assert_eq!(told, (status, Some(code), inner), "{error}");
    }
}

#[test]
fn the_gates_stand_in_their_order() {
    let bench = Bench::new();
    // Without a token and without a version: the token counts first, as clients begin without one.
    let naked = bench.answer(&request("GET", "/secrets/partner-api-key/"));
    assert_eq!(naked.0.body.len(), 97);
    naked.is(401, "Unauthorized", None);
    assert_eq!(
        naked.header("www-authenticate"),
        Some(
            format!(
                "Bearer authorization=\"https://127.0.0.1:5/{}\", resource=\"https://vault.azure.net\"",
                bench.world.tenant_id
            )
            .as_str()
        )
    );
    let with =
        |token: &str, target: &str| bench.answer(&request("GET", target).with_header("authorization", token));
    let arm = bearer(&bench.world, "https://management.azure.com");
    let refused = with(&arm, "/secrets/partner-api-key");
    refused.is(401, "Unauthorized", None);
    assert!(refused.header("www-authenticate").is_some());
    with(&bench.token, "/secrets/partner-api-key").is(400, "BadParameter", None);
    with(&bench.token, "/secrets/partner-api-key?api-version=2016-10-01").is(400, "BadParameter", None);
    let answer = with(&bench.token, "/secrets/partner-api-key/?api-version=2025-07-01");
    answer.ok();
    assert_eq!(answer.0.caller, Some(format!("app {}", bench.world.client_id)));
    bench.send("POST", "/certificates/a/create").is(501, "NotImplemented", None);
    assert!(bench.service.operation(&request("GET", "/keys/a")).is_none());
}

#[test]
fn each_operation_needs_its_own_data_action() {
    let only = |action: &str| {
        let data_actions = vec![format!("Microsoft.KeyVault/vaults/{action}")];
        Bench::with(World { data_actions, ..World::default() })
    };
    let reader = only("secrets/getSecret/action");
    reader.send("GET", "/secrets/partner-api-key").ok();
    reader.send("GET", "/secrets").is(403, "Forbidden", Some("ForbiddenByRbac"));
    reader.write("PUT", "/secrets/a", &json!({ "value": "v" })).is(403, "Forbidden", Some("ForbiddenByRbac"));
    reader.send("GET", "/certificates/partner-client").is(403, "Forbidden", Some("ForbiddenByRbac"));
    // Whoever may read certificates cannot read their private keys.
    let viewer = only("certificates/read");
    viewer.send("GET", "/certificates/partner-client").ok();
    viewer.send("GET", "/secrets/partner-client").is(403, "Forbidden", Some("ForbiddenByRbac"));
    // What the operator changes, the workspace reads.
    let reader = reader.operator();
    reader.write("PUT", "/secrets/partner-api-key", &json!({ "value": "rotated" })).ok();
    let token = bearer(&reader.world, "https://vault.azure.net");
    let reader = Bench { token, ..reader };
    assert_eq!(reader.send("GET", "/secrets/partner-api-key").ok()["value"], "rotated");
}

#[test]
fn versions_stay_and_the_newest_is_the_current_one() {
    let bench = Bench::new();
    let first = bench.write("PUT", "/secrets/Two", &json!({ "value": "one", "tags": { "a": "b" } })).ok();
    let second = bench.write("PUT", "/secrets/two", &json!({ "value": "two", "contentType": "text" })).ok();
    let path = |bundle: &Value| bundle["id"].as_str().unwrap()["https://127.0.0.1:1".len()..].to_owned();
    assert_eq!((&first["tags"]["a"], first["attributes"]["created"].as_u64()), (&json!("b"), Some(NOW)));
    assert!(path(&first).starts_with("/secrets/Two/") && path(&first) != path(&second));
    assert_eq!(bench.send("GET", "/secrets/TWO/").ok(), second);
    assert_eq!(bench.send("GET", &path(&first)).ok()["value"], "one");
    assert_eq!(bench.names("/secrets/two/versions").len(), 2);
    assert!(bench.names("/secrets/none/versions").is_empty());
    let unknown = format!("/secrets/two/{}", "0".repeat(32));
    bench.send("GET", &unknown).is(404, "SecretNotFound", None);

    let changed =
        bench.write("PATCH", &path(&first), &json!({ "attributes": { "enabled": false, "exp": 1 } })).ok();
    assert!(changed.get("value").is_none());
    assert_eq!((&changed["attributes"]["enabled"], &changed["tags"]["a"]), (&json!(false), &json!("b")));
    bench.send("GET", &path(&first)).is(403, "Forbidden", Some("SecretDisabled"));
    bench.send("GET", "/secrets/two").ok();
}

#[test]
fn nbf_and_exp_inform_and_do_not_bar() {
    let bench = Bench::new();
    for attributes in [json!({ "exp": NOW - 1 }), json!({ "nbf": NOW + 3600 })] {
        let body = json!({ "value": "v", "attributes": attributes });
        bench.write("PUT", "/secrets/timed", &body).ok();
        assert_eq!(bench.send("GET", "/secrets/timed").ok()["value"], "v");
    }
}

#[test]
fn what_is_deleted_keeps_its_name_until_it_is_purged_or_comes_back() {
    let mut bench = Bench::new();
    let value = json!({ "value": "v" });
    bench.write("PUT", "/secrets/gone", &value).ok();
    let deleted = bench.send("DELETE", "/secrets/gone").ok();
    assert_eq!(deleted["recoveryId"], "https://127.0.0.1:1/deletedsecrets/gone");
    assert_eq!(deleted["scheduledPurgeDate"], json!(NOW + 90 * 24 * 3600));
    assert!(deleted.get("value").is_none());
    bench.send("GET", "/secrets/gone").is(404, "SecretNotFound", None);
    bench.send("DELETE", "/secrets/gone").is(404, "SecretNotFound", None);
    bench.write("PUT", "/secrets/GONE", &value).is(409, "Conflict", Some("ObjectIsDeletedButRecoverable"));
    assert_eq!(bench.names("/deletedsecrets"), ["gone"]);
    assert_eq!(bench.send("GET", "/deletedsecrets/gone").ok(), deleted);

    bench.send("POST", "/deletedsecrets/gone/recover").ok();
    assert_eq!(bench.send("GET", "/secrets/gone").ok()["value"], "v");
    bench.send("GET", "/deletedsecrets/gone").is(404, "SecretNotFound", None);
    bench.send("DELETE", "/secrets/gone").ok();
    let purged = bench.send("DELETE", "/deletedsecrets/gone");
    assert_eq!((purged.0.status, purged.0.body.len()), (204, 0));
    bench.write("PUT", "/secrets/gone", &value).ok();
    // The vault forgets by itself.
    bench.send("DELETE", "/secrets/gone").ok();
    bench.now += Duration::from_hours(90 * 24);
    bench.token = format!("Bearer {}", operator::token(&bench.world, &KEYS, bench.now).unwrap());
    bench.send("GET", "/deletedsecrets/gone").is(404, "SecretNotFound", None);
}

#[test]
fn what_cannot_be_a_secret_is_refused() {
    let bench = Bench::new();
    let put = |name: &str, body: &Value| bench.write("PUT", &format!("/secrets/{name}"), body);
    let value = json!({ "value": "v" });
    put("under_score", &value).is(400, "BadParameter", None);
    put(&"a".repeat(128), &value).is(400, "BadParameter", None);
    put(&"a".repeat(127), &value).ok();
    put("a", &json!({})).is(400, "BadParameter", None);
    put("a", &json!({ "value": 1 })).is(400, "BadParameter", None);
    put("a", &json!({ "value": "v".repeat(25 * 1024 + 1) })).is(400, "BadParameter", None);
    put("a", &json!({ "value": "v".repeat(25 * 1024) })).ok();
    let plain = bench.request("PUT", "/secrets/a").with_body(value.to_string());
    bench.answer(&plain).is(415, "UnsupportedMediaType", None);
    // What belongs to a certificate.
    put("partner-client", &value).is(403, "Forbidden", None);
    bench.send("DELETE", "/secrets/partner-client").is(403, "Forbidden", None);
    bench.write("PATCH", "/secrets/partner-client", &json!({})).is(403, "Forbidden", None);
}

#[test]
fn a_certificates_private_key_is_the_secret_of_its_name() {
    let bench = Bench::new();
    let bundle = bench.send("GET", "/certificates/partner-client").ok();
    let secret = bench.send("GET", "/secrets/partner-client").ok();
    assert_eq!((&secret["id"], &secret["kid"]), (&bundle["sid"], &bundle["kid"]));
    assert_eq!(
        (&secret["contentType"], &secret["managed"]),
        (&json!("application/x-pem-file"), &json!(true))
    );
    let pem = secret["value"].as_str().unwrap();
    let labels: Vec<&str> = pem.lines().filter(|line| line.starts_with("-----BEGIN")).collect();
    let [key, leaf, authority] =
        ["-----BEGIN PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"];
    assert_eq!(labels, [key, leaf, authority]);
    let der = STANDARD.decode(bundle["cer"].as_str().unwrap()).unwrap();
    let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    assert_eq!(bundle["x5t"], json!(URL_SAFE_NO_PAD.encode(thumbprint)));
    assert_eq!(bench.vault.thumbprints(), [thumbprint.as_ref()]);
    let policy = &bundle["policy"];
    assert_eq!((&policy["key_props"]["kty"], &policy["key_props"]["crv"]), (&json!("EC"), &json!("P-256")));
    assert_eq!(policy["x509_props"]["ekus"], json!(["1.3.6.1.5.5.7.3.2"]));
    assert_eq!(policy["x509_props"]["subject"], "CN=partner-client");
    assert_eq!(bundle["attributes"]["exp"], json!(unix(bench.now) + 90 * 24 * 3600));
    assert_eq!(bench.send("GET", "/certificates/partner-client/policy").ok(), *policy);
}

#[test]
fn what_is_imported_comes_out_in_the_form_of_its_policy() {
    let bench = Bench::new();
    let pem = bench.send("GET", "/secrets/partner-client").ok()["value"].as_str().unwrap().to_owned();
    let leaf = bench.send("GET", "/certificates/partner-client").ok()["cer"].clone();
    let import = |name: &str, value: &str, content_type: &str, password: &str| {
        let policy = json!({ "secret_props": { "contentType": content_type } });
        let body = json!({ "value": value, "pwd": password, "policy": policy });
        bench.write("POST", &format!("/certificates/{name}/import"), &body)
    };
    // The leaf is found by its key, wherever it stands.
    let mut blocks: Vec<&str> = pem.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let (key, first) = blocks[0].split_once("-----BEGIN CERTIFICATE").unwrap();
    let first = format!("-----BEGIN CERTIFICATE{first}");
    blocks[0] = key;
    let reversed = format!("{}{first}{key}", blocks[1]);
    for value in [reversed.clone(), STANDARD.encode(&reversed)] {
        assert_eq!(import("pem", &value, "application/x-pem-file", "").ok()["cer"], leaf);
        assert_eq!(bench.send("GET", "/secrets/pem").ok()["value"], json!(pem));
    }

    // PEM to PKCS#12 is what an import cannot do, so PKCS#12 comes from the emulator's own writer.
    let material = certificate::Material::from_pem(&pem).unwrap();
    let pfx = material.pkcs12("pfx").unwrap();
    assert_eq!(import("pfx", pfx.expose(), "application/x-pkcs12", "").ok()["cer"], leaf);
    let secret = bench.send("GET", "/secrets/pfx").ok();
    assert_eq!(secret["contentType"], "application/x-pkcs12");
    let bytes = STANDARD.decode(secret["value"].as_str().unwrap()).unwrap();
    assert_eq!(certificate::Material::from_pkcs12(&bytes, "").unwrap().pem().expose(), pem);

    // Of versions that can, the same is had as PEM; earlier ones do not hear of it.
    let asking = |version: &str, wanted: &str, name: &str| {
        let target = format!("/secrets/{name}?outContentType={wanted}&api-version={version}");
        bench.answer(&request("GET", &target).with_header("authorization", &bench.token))
    };
    let converted = asking("2025-07-01", "application/x-pem-file", "pfx").ok();
    assert_eq!(
        (&converted["value"], &converted["contentType"]),
        (&json!(pem), &json!("application/x-pem-file"))
    );
    assert_eq!(asking("7.6", "application/x-pem-file", "pfx").ok(), secret);
    assert_eq!(asking("2025-07-01", "application/x-pkcs12", "pfx").ok(), secret);
    asking("2025-07-01", "application/x-pkcs12", "pem").is(400, "BadParameter", None);
    asking("2025-07-01", "application/x-pem-file", "partner-api-key").is(400, "BadParameter", None);

    let sealed = json!({ "value": pem, "policy": {
        "key_props": { "exportable": false }, "secret_props": { "contentType": "application/x-pem-file" },
    }});
    bench.write("POST", "/certificates/sealed/import", &sealed).is(501, "NotImplemented", None);
    import("bad", &pem, "application/x-pkcs12", "").is(400, "BadParameter", None);
    import("bad", &pem, "text/plain", "").is(400, "BadParameter", None);
    import("bad", pfx.expose(), "application/x-pem-file", "").is(400, "BadParameter", None);
    import("bad", pfx.expose(), "application/x-pkcs12", "wrong").is(400, "BadParameter", None);
    import("bad", key, "application/x-pem-file", "").is(400, "BadParameter", None);
    import("bad", &format!("{key}{}", blocks[1]), "application/x-pem-file", "").is(400, "BadParameter", None);
    import("partner-api-key", &pem, "application/x-pem-file", "").is(409, "Conflict", None);
}

#[test]
fn a_certificate_and_its_secret_live_and_go_together() {
    let bench = Bench::new();
    let secret = || bench.send("GET", "/secrets/partner-client");
    bench.write("PATCH", "/certificates/partner-client", &json!({ "attributes": { "enabled": false } })).ok();
    secret().is(403, "Forbidden", Some("SecretDisabled"));
    assert!(bench.vault.thumbprints().is_empty());
    bench.write("PATCH", "/certificates/partner-client", &json!({ "attributes": { "enabled": true } })).ok();

    bench.send("DELETE", "/certificates/partner-client").ok();
    secret().is(404, "SecretNotFound", None);
    assert_eq!(bench.names("/deletedcertificates"), ["partner-client"]);
    bench.send("POST", "/deletedsecrets/partner-client/recover").is(403, "Forbidden", None);
    bench.send("DELETE", "/deletedsecrets/partner-client").is(403, "Forbidden", None);
    bench.send("POST", "/deletedcertificates/partner-client/recover").ok();
    secret().ok();
    assert_eq!(bench.names("/certificates"), ["partner-client"]);

    bench.send("DELETE", "/certificates/partner-client").ok();
    assert_eq!(bench.send("DELETE", "/deletedcertificates/partner-client").0.status, 204);
    bench.send("GET", "/deletedsecrets/partner-client").is(404, "SecretNotFound", None);
    bench.write("PUT", "/secrets/partner-client", &json!({ "value": "free again" })).ok();
}
