//! ARM as its clients see it: whole requests, whole answers.

use super::*;
use crate::clock::{from_unix, unix};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use std::{sync::LazyLock, time::Duration};

static KEYS: LazyLock<Arc<jwt::SigningKey>> =
    LazyLock::new(|| Arc::new(jwt::SigningKey::generate().unwrap()));

const VERSION: &str = "api-version=2024-05-01";

struct Bench {
    arm: Arm,
    store: Arc<Store>,
    world: Arc<World>,
    now: SystemTime,
}

impl Bench {
    fn new() -> Self {
        Self::with(World::default())
    }

    fn with(world: World) -> Self {
        let (world, store) = (Arc::new(world), Arc::new(Store::new(Duration::ZERO)));
        let arm = Arm::new(Arc::clone(&world), Arc::clone(&store), Arc::clone(&KEYS));
        Self { arm, store, world, now: from_unix(1_795_530_309) }
    }

    fn token(&self) -> String {
        let claims = json!({
            "aud": "https://management.azure.com", "iss": format!("https://sts.windows.net/{}/", self.world.tenant_id),
            "nbf": unix(self.now) - 60, "exp": unix(self.now) + 3600,
            "appid": self.world.client_id, "oid": self.world.principal_id,
        });
        format!("Bearer {}", KEYS.sign(&claims).unwrap())
    }

    /// A request with a good token and api-version; `path` below the service.
    fn request(&self, method: Method, path: &str) -> Request {
        let url = format!("{}{path}?{VERSION}", self.world.service_id());
        request(method, &url).with("authorization", &self.token())
    }

    fn answer(&self, request: &Request) -> Answer {
        assert!(self.arm.operation(request).is_some(), "{} {}", request.method, request.path);
        Answer(self.arm.answer_at(request, self.now))
    }

    fn put(&self, sid: &str, properties: &Value) -> Answer {
        let request = self.request(Method::PUT, &format!("/subscriptions/{sid}"));
        self.answer(&request.body(&json!({ "properties": properties })))
    }

    fn patch(&self, sid: &str, tag: &str, properties: &Value) -> Answer {
        let request = self.request(Method::PATCH, &format!("/subscriptions/{sid}")).with("if-match", tag);
        self.answer(&request.body(&json!({ "properties": properties })))
    }

    fn send(&self, method: Method, path: &str) -> Answer {
        self.answer(&self.request(method, path).with("if-match", "*"))
    }
}

fn request(method: Method, url: &str) -> Request {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let request = Request {
        method,
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        host: "management.azure.com".to_owned(),
        peer: ([127, 0, 0, 1], 1).into(),
        client_certificate: None,
    };
    request.with("content-length", "0")
}

impl Request {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn body(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        let length = self.body.len().to_string();
        self.with("content-type", "application/json; charset=utf-8").with("content-length", &length)
    }
}

struct Answer(Response);

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.0
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn status_and_code(&self) -> (u16, String) {
        (self.0.status, self.json()["error"]["code"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn is(&self, status: u16, code: &str) {
        assert_eq!(self.status_and_code(), (status, code.to_owned()));
    }
}

fn starter() -> Value {
    json!({ "scope": "/products/starter", "displayName": "one", "state": "active", "primaryKey": "p", "secondaryKey": "s" })
}

#[test]
fn a_subscription_lives_from_put_to_delete() {
    let bench = Bench::new();
    let created = bench.put("ws-1", &starter());
    assert_eq!(created.0.status, 201);
    let body = created.json();
    assert_eq!(body["id"], json!(format!("{}/subscriptions/ws-1", bench.world.service_id())));
    assert_eq!(body["properties"]["scope"], json!(format!("{}/products/starter", bench.world.service_id())));
    assert_eq!(body["properties"]["createdDate"], "2026-11-24T14:25:09Z");
    assert_eq!(created.header("etag"), Some("\"AAAAAAAAAAE=\""));
    assert_eq!(created.0.caller.as_deref(), Some(format!("app {}", bench.world.client_id).as_str()));

    assert_eq!(bench.put("WS-1", &starter()).0.status, 200);
    let patched = bench.patch(
        "ws-1",
        "AAAAAAAAAAI=",
        &json!({ "secondaryKey": "s2", "expirationDate": "2026-12-01T00:00:00Z" }),
    );
    assert_eq!(patched.0.status, 200);
    assert_eq!(patched.json()["properties"]["expirationDate"], "2026-12-01T00:00:00Z");
    let head = bench.send(Method::HEAD, "/subscriptions/ws-1");
    assert_eq!((head.0.status, head.header("etag")), (200, Some("\"AAAAAAAAAAM=\"")));

    let secrets = bench.send(Method::POST, "/subscriptions/ws-1/listSecrets");
    assert_eq!(secrets.json(), json!({ "primaryKey": "p", "secondaryKey": "s2" }));
    assert!(bench.store.holder_of("s", bench.now).is_none());
    assert_eq!(bench.store.holder_of("s2", bench.now).unwrap().sid, "ws-1");

    let deletion = || bench.send(Method::DELETE, "/subscriptions/ws-1").0.status;
    assert_eq!((deletion(), deletion()), (200, 204));
    assert!(bench.store.holder_of("p", bench.now).is_none());
    let gone = bench.send(Method::GET, "/subscriptions/ws-1");
    gone.is(404, "ResourceNotFound");
    assert_eq!(gone.json()["error"]["message"], "Subscription not found.");
}

#[test]
fn no_answer_but_list_secrets_holds_a_key() {
    let bench = Bench::new();
    let keyed =
        json!({ "scope": "/apis", "displayName": "d", "primaryKey": "key-one", "secondaryKey": "key-two" });
    let answers = [
        bench.put("a", &keyed),
        bench.put("a", &keyed),
        bench.patch("a", "*", &keyed),
        bench.send(Method::GET, "/subscriptions/a"),
        bench.send(Method::GET, "/subscriptions"),
        bench.put("b", &keyed),
    ];
    for answer in answers {
        let text = format!("{:?}", answer.0);
        assert!(!text.contains("key-one") && !text.contains("key-two"), "{text}");
    }
    assert!(bench.send(Method::POST, "/subscriptions/a/listSecrets").json().to_string().contains("key-one"));
}

#[test]
fn keys_are_drawn_where_none_are_given_and_drawn_again_on_demand() {
    let bench = Bench::new();
    assert_eq!(
        bench.put("a", &json!({ "scope": "/apis", "displayName": "d" })).json()["properties"]["state"],
        "submitted"
    );
    let secrets = || bench.send(Method::POST, "/subscriptions/a/listSecrets").json();
    let first = secrets();
    assert_eq!(first["primaryKey"].as_str().unwrap().len(), 32);
    assert_ne!(first["primaryKey"], first["secondaryKey"]);

    let regenerated = bench.send(Method::POST, "/subscriptions/a/regeneratePrimaryKey");
    assert_eq!((regenerated.0.status, regenerated.0.body.len()), (204, 0));
    let second = secrets();
    assert_ne!(second["primaryKey"], first["primaryKey"]);
    assert_eq!(second["secondaryKey"], first["secondaryKey"]);
    bench.send(Method::POST, "/subscriptions/a/regenerateSecondaryKey");
    assert_ne!(secrets()["secondaryKey"], first["secondaryKey"]);

    assert_eq!(
        bench.put("a", &json!({ "scope": "/apis", "displayName": "e", "state": "active" })).0.status,
        200
    );
    assert_eq!(secrets()["primaryKey"], second["primaryKey"], "a PUT without keys leaves them");
    bench
        .put("b", &json!({ "scope": "/apis", "displayName": "d", "primaryKey": second["primaryKey"] }))
        .is(400, "ValidationError");
    bench.send(Method::POST, "/subscriptions/none/regeneratePrimaryKey").is(404, "ResourceNotFound");
}

#[test]
fn if_match_is_required_and_compared() {
    let bench = Bench::new();
    bench.put("a", &starter());
    for method in [Method::PATCH, Method::DELETE] {
        let bare = bench.request(method, "/subscriptions/a").body(&json!({ "properties": {} }));
        bench.answer(&bare).is(400, "ValidationError");
        bench.answer(&bare.with("if-match", "\"a\",\"b\"")).is(400, "ValidationError");
    }
    let stale = bench.patch("a", "\"AAAAAAAAAAk=\"", &json!({ "displayName": "b" }));
    stale.is(412, "PreconditionFailed");
    assert!(
        stale.json()["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("Resource was modified since last retrieval.")
    );
    assert_eq!(bench.patch("a", "\"AAAAAAAAAAE=\"", &json!({ "displayName": "b" })).0.status, 200);
    assert_eq!(bench.patch("a", "*", &json!({ "displayName": "c" })).0.status, 200);
    bench.patch("none", "*", &json!({ "displayName": "c" })).is(404, "ResourceNotFound");
    let put = bench.request(Method::PUT, "/subscriptions/none").with("if-match", "*");
    bench.answer(&put.body(&json!({ "properties": starter() }))).is(412, "PreconditionFailed");
    let sid = bench.put("a:b", &starter());
    sid.is(400, "ValidationError");
}

#[test]
fn the_gates_stand_in_azures_order() {
    let bench = Bench::with(World { role_actions: vec!["*/read".to_owned()], ..World::default() });
    let url = |service: &str, query: &str| format!("{service}/subscriptions/a?{query}");
    let good = bench.world.service_id();
    let send = |method: &Method, service: &str, query: &str, token: bool| {
        let request = request(method.clone(), &url(service, query));
        bench.answer(&if token { request.with("authorization", &bench.token()) } else { request })
    };
    send(&Method::GET, &good, "", false).is(400, "MissingApiVersionParameter");
    send(&Method::GET, &good, "api-version=2020-01-01", false).is(400, "InvalidApiVersionParameter");
    send(&Method::GET, &good, VERSION, false).is(401, "AuthenticationFailed");
    let elsewhere = good.replace(&bench.world.subscription_id, "11111111-2222-3333-4444-555555555555");
    send(&Method::PUT, &elsewhere, VERSION, true).is(404, "SubscriptionNotFound");
    send(&Method::PUT, &good, VERSION, true).is(403, "AuthorizationFailed");
    send(&Method::GET, &good.replace("rg-workspaces", "rg-x"), VERSION, true)
        .is(404, "ResourceGroupNotFound");
    send(&Method::GET, &good.replace("apim-emulator", "apim-x"), VERSION, true).is(404, "ResourceNotFound");
    send(&Method::GET, &good, "api-version=2022-08-01", true).is(404, "ResourceNotFound");
    let secrets = bench.send(Method::POST, "/subscriptions/a/listSecrets");
    secrets.is(403, "AuthorizationFailed");
    let message = secrets.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("over scope '{good}/subscriptions/a' or")), "{message}");

    let forged =
        bench.request(Method::GET, "/subscriptions/a").with("authorization", &format!("{}x", bench.token()));
    bench.answer(&forged).is(401, "InvalidAuthenticationToken");
    let later =
        Answer(bench.arm.answer_at(&bench.request(Method::GET, ""), bench.now + Duration::from_hours(1)));
    later.is(401, "ExpiredAuthenticationToken");
    bench.send(Method::PUT, "/policyFragments/f").is(501, "NotImplemented");
    assert!(bench.arm.operation(&request(Method::GET, "/tenants")).is_none());
}

#[test]
fn a_body_must_have_a_length_and_be_json() {
    let bench = Bench::new();
    let put = || bench.request(Method::PUT, "/subscriptions/a").body(&json!({ "properties": starter() }));
    for method in [Method::PUT, Method::PATCH, Method::POST] {
        let path = if method == Method::POST { "/subscriptions/a/listSecrets" } else { "/subscriptions/a" };
        let bare = || bench.request(method.clone(), path).without("content-length");
        let refused = bench.answer(&bare());
        let body = std::str::from_utf8(&refused.0.body).unwrap();
        assert!(body.contains("HTTP Error 411. The request must be chunked or have a content length."));
        assert_eq!(
            (refused.0.status, refused.header("content-type").unwrap().starts_with("text/html")),
            (411, true)
        );
        assert_ne!(bench.answer(&bare().with("transfer-encoding", "chunked")).0.status, 411);
    }
    for (media_type, named) in [(None, "<null>"), (Some("text/json"), "text/json"), (Some(" ; x"), "<null>")]
    {
        let request = put().without("content-type");
        let request = match media_type {
            Some(name) => request.with("content-type", name),
            None => request,
        };
        let refused = bench.answer(&request);
        refused.is(415, "UnsupportedMediaType");
        let expected = format!(
            "The content media type '{named}' is not supported. Only 'application/json' is supported."
        );
        assert_eq!(refused.json()["error"]["message"], expected);
    }
    assert_eq!(bench.answer(&put().with("content-type", "Application/JSON")).0.status, 201);
}

#[test]
fn a_token_that_is_there_twice_is_no_token() {
    let bench = Bench::new();
    let mut request = bench.request(Method::GET, "/subscriptions");
    request.headers.append("authorization", bench.token().parse().unwrap());
    bench.answer(&request).is(401, "AuthenticationFailedInvalidHeader");
}

#[test]
fn every_answer_is_stamped_and_the_bucket_counts() {
    let bench = Bench::new();
    let id = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";
    let get = || bench.request(Method::GET, "/subscriptions").with("x-ms-correlation-request-id", id);
    let answer = bench.answer(&get());
    assert_eq!(answer.header("x-ms-correlation-request-id"), Some(id));
    assert_eq!(answer.header("x-ms-request-id").unwrap().len(), 36);
    assert!(answer.header("x-ms-routing-request-id").unwrap().starts_with("WESTEUROPE:20261124T142509Z:"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert!(answer.header("strict-transport-security").is_some());
    assert_eq!(answer.header("x-ms-ratelimit-remaining-subscription-reads"), Some("249"));

    let refused = bench.answer(&get().without("authorization"));
    assert!(refused.header("x-ms-request-id").is_some() && refused.header("www-authenticate").is_some());
    assert_eq!(
        bench.put("a", &json!({})).header("x-ms-ratelimit-remaining-subscription-writes"),
        Some("199")
    );
    let deleted = bench.send(Method::DELETE, "/subscriptions/a");
    assert_eq!(deleted.header("x-ms-ratelimit-remaining-subscription-deletes"), Some("199"));

    let mut last = answer;
    for _ in 0..250 {
        last = bench.answer(&get());
    }
    last.is(429, "TooManyRequests");
    assert_eq!(last.header("x-ms-ratelimit-remaining-subscription-reads"), Some("0"));
    assert_eq!(last.header("retry-after"), Some("1"));
    let other = bench.put("a", &starter());
    assert_eq!(other.0.status, 201, "the kinds have buckets of their own");
}

#[test]
fn lists_are_paged_filtered_and_linked() {
    let bench = Bench::new();
    for n in 1..=5 {
        let scope = if n == 3 { "/apis" } else { "/products/starter" };
        bench.put(&format!("ws-{n}"), &json!({ "scope": scope, "displayName": format!("d {n}") }));
    }
    let list = |query: &str| {
        let url = format!("{}/subscriptions?{VERSION}{query}", bench.world.service_id());
        bench.answer(&request(Method::GET, &url).with("authorization", &bench.token()))
    };
    let names = |page: &Value| -> Vec<String> {
        page["value"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut page = list("&$top=2&$filter=productId%20eq%20'starter'").json();
    assert_eq!((names(&page), &page["count"]), (vec!["ws-1".to_owned(), "ws-2".to_owned()], &json!(4)));
    let link = page["nextLink"].as_str().unwrap().to_owned();
    let below = link.strip_prefix("https://management.azure.com").unwrap();
    page = bench.answer(&request(Method::GET, below).with("authorization", &bench.token())).json();
    assert_eq!(names(&page), ["ws-4", "ws-5"]);
    assert!(page.get("nextLink").is_none());
    assert_eq!(names(&list("").json()).len(), 5);
    for wrong in ["&$top=0", "&$top=x", "&$skip=-1", "&$top=2147483648"] {
        list(wrong).is(400, "ValidationError");
    }
    list("&$filter=name%20eq%20'a'%20or%20name%20eq%20'b'").is(501, "NotImplemented");
}

#[test]
fn the_rest_of_the_catalogue() {
    let bench = Bench::new();
    let service = bench.send(Method::GET, "");
    assert_eq!(service.json()["properties"]["gatewayUrl"], "https://apim-emulator.azure-api.net");
    let products = bench.send(Method::GET, "/products").json();
    assert_eq!((&products["count"], &products["value"][0]["name"]), (&json!(2), &json!("starter")));
    assert_eq!(bench.send(Method::GET, "/products/Unlimited").json()["name"], "unlimited");
    bench.send(Method::GET, "/products/none").is(404, "ResourceNotFound");

    let endpoints = bench.answer(&request(Method::GET, "/metadata/endpoints?api-version=2022-09-01")).json();
    assert_eq!(endpoints["authentication"]["tenant"], "common");
    assert_eq!(endpoints["resourceManager"], "https://management.azure.com/");
    bench
        .answer(&request(Method::GET, "/metadata/endpoints?api-version=2015-01-01"))
        .is(400, "InvalidApiVersionParameter");
    let login = request(Method::GET, "/subscriptions?api-version=2022-12-01");
    bench.answer(&login).is(401, "AuthenticationFailed");
    let login =
        request(Method::GET, "/subscriptions?api-version=2022-12-01").with("authorization", &bench.token());
    let seen = bench.answer(&login);
    assert_eq!(seen.json()["value"][0]["subscriptionId"], json!(bench.world.subscription_id));
    assert_eq!(seen.header("x-ms-ratelimit-remaining-tenant-reads"), Some("249"));
}
