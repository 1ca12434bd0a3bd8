//! The emulated ARM (here) and Key Vault ([`key_vault`]) against Microsoft's own examples and descriptions.
//!
//! The descriptions are read where they lie: the folder that `APIM_AGENT_AZURE_SPECS` names, else `../shared/azure`
//! beside the package. Without them these tests say that they were skipped. Nothing is copied from there: ids, names
//! and bodies of each example are mapped into an emulated world, its request is sent, and the answer is compared with
//! the example's statuses, headers and field types and with the schema.

#![allow(clippy::unwrap_used)] // a test: what is not as expected has to stop it

mod description;
mod key_vault;

use apim_agent::{
    clock,
    emulator::{
        arm::Arm,
        jwt::SigningKey,
        store::Store,
        wire::{Request, Response, Service},
        world::World,
    },
};
use description::{Files, Node, unlike};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

const APIM: &str =
    "specification/apimanagement/resource-manager/Microsoft.ApiManagement/ApiManagement/stable/2024-05-01";

/// Operations that the emulator implements and the descriptions hold. All others have to be refused with 501.
const IMPLEMENTED: [&str; 11] = [
    "Product_Get",
    "Product_ListByService",
    "Subscription_CreateOrUpdate",
    "Subscription_Delete",
    "Subscription_Get",
    "Subscription_GetEntityTag",
    "Subscription_List",
    "Subscription_ListSecrets",
    "Subscription_RegeneratePrimaryKey",
    "Subscription_RegenerateSecondaryKey",
    "Subscription_Update",
];

static KEYS: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(SigningKey::generate().unwrap()));

/// The folder with the descriptions of APIM, if it is here.
fn folder() -> Option<PathBuf> {
    descriptions(APIM)
}

/// A folder with descriptions, if it is here. A folder that was named has to be.
fn descriptions(below: &str) -> Option<PathBuf> {
    let named = std::env::var_os("APIM_AGENT_AZURE_SPECS").map(PathBuf::from);
    let root = named.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/azure"));
    let folder = root.join(below);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(named.is_none(), "APIM_AGENT_AZURE_SPECS: no official descriptions at {}", folder.display());
    println!("skipped: no official descriptions at {} (APIM_AGENT_AZURE_SPECS)", root.display());
    None
}

/// One operation of a description.
struct Operation {
    id: String,
    method: Method,
    path: String,
    node: Node,
}

/// All operations of all files of the folder.
fn operations(files: &Files, folder: &Path) -> Vec<Operation> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut found = Vec::new();
    for file in paths {
        let description = files.read(&file);
        for (path, methods) in description["paths"].as_object().into_iter().flatten() {
            for (method, value) in methods.as_object().unwrap() {
                found.push(Operation {
                    id: value["operationId"].as_str().unwrap().to_owned(),
                    method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                    path: path.clone(),
                    node: files.node(&file, value),
                });
            }
        }
    }
    found
}

impl Operation {
    /// The request with the values that `values` has for the operation's parameters.
    fn request(&self, files: &Files, values: &Value, token: &str) -> Request {
        let mut request = request(self.method.clone(), &self.path, token);
        for parameter in self.node.value["parameters"].as_array().unwrap() {
            let parameter = files.child(&self.node, parameter).value;
            let name = parameter["name"].as_str().unwrap();
            let Some(value) = values.get(name) else { continue };
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match parameter["in"].as_str().unwrap() {
                "path" => request.path = request.path.replace(&format!("{{{name}}}"), &text),
                "query" => request.query.push((name.to_owned(), text)),
                "header" => {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    request.headers.insert(name, HeaderValue::from_str(&text).unwrap());
                }
                "body" => {
                    request.headers.insert("content-type", HeaderValue::from_static("application/json"));
                    request.body = text.into();
                }
                other => panic!("parameter in {other}"),
            }
        }
        request
    }

    fn response(&self, files: &Files, status: u16) -> Option<Node> {
        let responses = &self.node.value["responses"];
        let response =
            responses.get(status.to_string()).or(responses.get("default").filter(|_| status >= 400))?;
        Some(files.child(&self.node, response))
    }

    /// Where an answer departs from the description, and from the example where that has this status.
    fn departures(&self, files: &Files, example: &Value, answer: &Response) -> Vec<String> {
        let Some(response) = self.response(files, answer.status) else {
            return vec![format!("status {} is not in the description", answer.status)];
        };
        let body: Option<Value> =
            (!answer.body.is_empty()).then(|| serde_json::from_slice(&answer.body).expect("JSON"));
        let mut found = match (response.value.get("schema"), &body) {
            (Some(schema), Some(body)) => files.departures(body, &files.child(&response, schema)),
            (Some(_), None) => vec!["no body".to_owned()],
            (None, Some(_)) => vec!["a body where there is none in the description".to_owned()],
            (None, None) => Vec::new(),
        };
        for name in
            response.value.get("headers").and_then(Value::as_object).into_iter().flat_map(|all| all.keys())
        {
            let here = answer
                .headers
                .iter()
                .any(|(known, value)| known.eq_ignore_ascii_case(name) && !value.is_empty());
            if !here {
                found.push(format!("no header {name}"));
            }
        }
        let example = &example["responses"][answer.status.to_string()];
        if let (Some(ours), Some(theirs)) = (&body, example.get("body")) {
            found.extend(unlike(ours, theirs, "$"));
        }
        found
    }
}

fn request(method: Method, path: &str, token: &str) -> Request {
    let mut headers = HeaderMap::new();
    // Only its presence counts below the server, and the body comes later.
    headers.insert("content-length", HeaderValue::from_static("0"));
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    Request {
        method,
        path: path.to_owned(),
        query: Vec::new(),
        headers,
        body: bytes::Bytes::new(),
        host: "management.azure.com".to_owned(),
        peer: ([127, 0, 0, 1], 1).into(),
        client_certificate: None,
    }
}

/// An emulated ARM whose names are those of an example.
struct Stage {
    arm: Arm,
    world: Arc<World>,
    now: SystemTime,
}

impl Stage {
    fn new(example: &Value) -> Self {
        let values = &example["parameters"];
        let text = |name: &str| values[name].as_str().map(str::to_owned);
        let mut world = World::default();
        world.subscription_id = text("subscriptionId").unwrap_or(world.subscription_id);
        world.resource_group = text("resourceGroupName").unwrap_or(world.resource_group);
        world.service_name = text("serviceName").unwrap_or(world.service_name);
        let mut products = products(example).into_iter();
        world.product = products.next().unwrap_or(world.product);
        world.foreign_product = products.next().unwrap_or(world.foreign_product);
        let world = Arc::new(world);
        let store = Arc::new(Store::new(Duration::ZERO));
        let arm = Arm::new(Arc::clone(&world), store, Arc::clone(&KEYS));
        Self { arm, world, now: clock::from_unix(1_795_530_309) }
    }

    fn token(&self) -> String {
        let now = clock::unix(self.now);
        let claims = json!({
            "aud": "https://management.azure.com", "iss": format!("https://sts.windows.net/{}/", self.world.tenant_id),
            "nbf": now, "exp": now + 3600, "appid": self.world.client_id, "oid": self.world.principal_id,
        });
        KEYS.sign(&claims).unwrap()
    }

    /// Creates what the example's answers show to be there, or else what its parameters name.
    fn seed(&self, example: &Value) {
        let shown = ["200", "201"].iter().find_map(|status| example["responses"][status].get("body"));
        let rows = match shown {
            Some(body) if body["value"].is_array() => body["value"].as_array().unwrap().clone(),
            Some(body) if body["properties"]["scope"].is_string() => vec![body.clone()],
            _ => vec![json!({ "name": example["parameters"]["sid"], "properties": {} })],
        };
        for row in
            rows.iter().filter(|row| row["name"].is_string() && !row["id"].to_string().contains("/products/"))
        {
            let properties = &row["properties"];
            let or = |name: &str, other: &str| properties.get(name).cloned().unwrap_or_else(|| json!(other));
            let body = json!({ "properties": {
                "scope": or("scope", "/apis"), "displayName": or("displayName", "seed"),
                "state": or("state", "active"), "ownerId": or("ownerId", "/users/1"),
            }});
            let path = format!("{}/subscriptions/{}", self.world.service_id(), row["name"].as_str().unwrap());
            let mut request = request(Method::PUT, &path, &self.token());
            request.query.push(("api-version".to_owned(), "2024-05-01".to_owned()));
            request.body = body.to_string().into();
            request.headers.insert("content-type", "application/json".parse().unwrap());
            request.headers.insert("content-length", request.body.len().into());
            assert_eq!(self.arm.answer_at(&request, self.now).status, 201, "{row}");
        }
    }
}

/// The products that an example names, in scopes or as a parameter.
fn products(example: &Value) -> BTreeSet<String> {
    let text = example.to_string();
    let named = text.split("/products/").skip(1).filter_map(|rest| rest.split(['"', '/']).next());
    named.chain(example["parameters"]["productId"].as_str()).map(str::to_owned).collect()
}

fn examples(files: &Files, operation: &Operation) -> Vec<(String, Value)> {
    let all = operation.node.value.get("x-ms-examples").and_then(Value::as_object).into_iter().flatten();
    all.map(|(name, value)| (name.clone(), files.child(&operation.node, value).value)).collect()
}

#[test]
fn the_answers_are_those_of_the_examples() {
    let Some(folder) = folder() else { return };
    let files = Files::default();
    let (mut compared, mut answers) = (Vec::new(), 0);
    for operation in operations(&files, &folder) {
        if !IMPLEMENTED.contains(&operation.id.as_str()) {
            continue;
        }
        for (name, example) in examples(&files, &operation) {
            let stage = Stage::new(&example);
            // A create meets nothing and then itself; a delete its subscription and then nothing; all else a subscription.
            if operation.id != "Subscription_CreateOrUpdate" {
                stage.seed(&example);
            }
            let request = operation.request(&files, &example["parameters"], &stage.token());
            assert_eq!(stage.arm.operation(&request), Some(operation.id.as_str()), "{name}");
            let listed: BTreeSet<String> =
                example["responses"].as_object().unwrap().keys().cloned().collect();
            let mut given = BTreeSet::new();
            for _ in 0..listed.len() {
                let answer = stage.arm.answer_at(&request, stage.now);
                let departures = operation.departures(&files, &example, &answer);
                assert!(departures.is_empty(), "{name}, {}: {departures:#?}", answer.status);
                given.insert(answer.status.to_string());
                answers += 1;
            }
            assert_eq!(given, listed, "{name}: the statuses of the example");
            compared.push(operation.id.clone());
        }
    }
    compared.sort();
    assert_eq!(compared, IMPLEMENTED, "each operation with its one example");
    println!("compared {} official examples, {answers} answers", compared.len());
}

#[test]
fn refusals_have_the_shape_of_the_default_response() {
    let Some(folder) = folder() else { return };
    let files = Files::default();
    let mut refusals = 0;
    for operation in operations(&files, &folder) {
        if !IMPLEMENTED.contains(&operation.id.as_str()) || operation.method == Method::HEAD {
            continue;
        }
        for (name, example) in examples(&files, &operation) {
            let stage = Stage::new(&example);
            let token = stage.token();
            let good = || operation.request(&files, &example["parameters"], &token);
            let mut broken = [good(), good(), good(), good()];
            broken[0].headers.remove("authorization");
            broken[1].query.clear();
            broken[2].path = broken[2].path.replace(&stage.world.service_name, "another");
            broken[3].query.push(("$top".to_owned(), "none".to_owned()));
            broken[3].headers.remove("if-match");
            broken[3].body = r#"{"properties":{"displayName":""}}"#.into();
            for request in broken {
                let answer = stage.arm.answer_at(&request, stage.now);
                if answer.status < 400 {
                    continue;
                }
                let departures = operation.departures(&files, &example, &answer);
                assert!(departures.is_empty(), "{name}, {}: {departures:#?}", answer.status);
                refusals += 1;
            }
        }
    }
    // Three of the four break every operation; the fourth is for those with a body, a page or an entity tag.
    assert!(refusals >= 3 * (IMPLEMENTED.len() - 1), "{refusals}");
    println!("compared {refusals} refusals");
}

#[test]
fn every_other_operation_is_refused_by_name() {
    let Some(folder) = folder() else { return };
    let files = Files::default();
    let (mut named, mut unknown) = (0, 0);
    for operation in operations(&files, &folder) {
        if IMPLEMENTED.contains(&operation.id.as_str()) {
            continue;
        }
        let stage = Stage::new(&json!({ "parameters": {} }));
        let path = operation.path.replace("{subscriptionId}", &stage.world.subscription_id);
        let request = request(operation.method.clone(), &path, &stage.token());
        let answer = stage.arm.answer_at(&request, stage.now);
        assert_eq!(answer.status, 501, "{}", operation.id);
        match stage.arm.operation(&request) {
            Some(id) => {
                assert_eq!(id, operation.id);
                named += 1;
            }
            None => unknown += 1,
        }
    }
    assert!(named > 40, "{named}");
    println!("{named} operations are refused by name, {unknown} by method and path");
}

#[test]
fn a_departure_is_found() {
    let schema = json!({
        "type": "object", "required": ["scope"],
        "properties": {
            "scope": { "type": "string", "maxLength": 5 }, "state": { "type": "string", "enum": ["active"] },
            "created": { "type": "string", "format": "date-time" }, "count": { "type": "integer" },
            "key": { "type": "string", "x-ms-secret": true },
            "rows": { "type": "array", "items": { "type": "boolean" } },
        },
    });
    let files = Files::default();
    let schema = files.node(Path::new("none"), &schema);
    let departures = |value: Value| files.departures(&value, &schema);
    let good = json!({ "scope": "/apis", "state": "active", "created": "2026-11-24T14:00:00Z", "count": 1, "rows": [true] });
    assert!(departures(good.clone()).is_empty());
    for (name, wrong) in [
        ("scope", json!(7)),
        ("scope", Value::Null),
        ("scope", json!("too long")),
        ("state", json!("Active")),
        ("created", json!("yesterday")),
        ("count", json!("1")),
        ("count", json!(1.5)),
        ("rows", json!([true, "x"])),
        ("key", json!("k")),
        ("unknown", json!(true)),
    ] {
        let mut bad = good.clone();
        bad[name] = wrong;
        assert_eq!(departures(bad.clone()).len(), 1, "{bad}");
    }
    assert_eq!(departures(json!({})), ["$.scope: required and missing"]);
    assert_eq!(unlike(&json!({ "a": [{ "b": 1 }] }), &json!({ "a": [{ "b": "1" }] }), "$").len(), 1);
    assert!(unlike(&json!({ "a": 1 }), &json!({ "b": "1" }), "$").is_empty());
}
