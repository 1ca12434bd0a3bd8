//! The `subscription-key` lessor against the emulated ARM and gateway, in process.

use apim_agent::{
    clock, config,
    emulator::{
        arm::Arm as EmulatedArm,
        gateway::Gateway,
        jwt::SigningKey,
        store::Store,
        wire::{self, Service},
        world::World,
    },
    error::{Class, Result},
    exchange::{AccessToken, Exchange},
    identity::{Actor, Subject, claims::Claims},
    lease::{
        Lessor, Released,
        arm::Arm,
        subscription_key::{SubscriptionKey, Wanted},
    },
    secret::Secret,
};
use async_trait::async_trait;
use azure_core::http::{
    AsyncRawResponse, Body, HttpClient, Request, StatusCode, Transport, headers::Headers,
};
use bytes::Bytes;
use serde_json::json;
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

struct Azure {
    world: Arc<World>,
    keys: Arc<SigningKey>,
    arm: EmulatedArm,
    gateway: Gateway,
    seen: Mutex<Vec<String>>,
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Azure")
    }
}

fn request(method: &str, url: &url::Url, mut headers: http::HeaderMap, body: Bytes) -> wire::Request {
    // The transport, which these tests leave out, adds it to each request with a body, an empty one included.
    headers.insert("content-length", body.len().into());
    wire::Request {
        method: method.parse().expect("a method"),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
        body,
        host: "localhost".to_owned(),
        peer: "127.0.0.1:1".parse().expect("an address"),
        client_certificate: None,
    }
}

#[async_trait]
impl HttpClient for Azure {
    async fn execute_request(&self, sdk: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = sdk.body() else { panic!("a streaming body") };
        let mut headers = http::HeaderMap::new();
        for (name, value) in sdk.headers().iter() {
            let name: http::HeaderName = name.as_str().parse().expect("a name");
            headers.insert(name, value.as_str().parse().expect("a value"));
        }
        let request = request(sdk.method().as_ref(), sdk.url(), headers, body.clone());
        let operation = self.arm.operation(&request).expect("an operation of ARM's");
        let answer = self.arm.answer(operation, &request).await;
        self.seen.lock().expect("no panic").push(format!("{operation} {}", answer.status));
        let mut headers = Headers::new();
        for (name, value) in answer.headers {
            headers.insert(name.to_ascii_lowercase(), value);
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(answer.status), headers, answer.body))
    }
}

fn subject(claims: Claims) -> Subject {
    Subject { source: "ona", actor: Actor::Workspace, claims }
}

#[async_trait]
impl Exchange for Azure {
    async fn exchange(&self, _scope: Option<&str>) -> Result<AccessToken> {
        let now = clock::unix(clock::now());
        let tenant = &self.world.tenant_id;
        let token = self.keys.sign(&json!({
            "aud": "https://management.azure.com", "iss": format!("https://sts.windows.net/{tenant}/"),
            "tid": tenant, "appid": self.world.client_id, "oid": self.world.principal_id,
            "iat": now - 1, "nbf": now - 1, "exp": now + 3600,
        }))?;
        Ok(AccessToken {
            token: Secret::new(token),
            expires_at: clock::from_unix(now + 3600),
            bearer: true,
            refresh_at: None,
            subject: subject(Claims {
                iss: "i".to_owned(),
                sub: "s:1".to_owned(),
                aud: vec![],
                exp: clock::from_unix(now + 3600),
                workspace: None,
                user: Some("ada@example.com".to_owned()),
            }),
        })
    }
}

fn azure(world: World) -> Arc<Azure> {
    let (world, keys) = (Arc::new(world), Arc::new(SigningKey::generate().expect("a key")));
    let store = Arc::new(Store::new(world.key_delay));
    Arc::new(Azure {
        arm: EmulatedArm::new(Arc::clone(&world), Arc::clone(&store), Arc::clone(&keys)),
        gateway: Gateway::new(Arc::clone(&world), store, Arc::clone(&keys)),
        world,
        keys,
        seen: Mutex::default(),
    })
}

fn lessor(azure: &Arc<Azure>, scope: &str) -> SubscriptionKey {
    let arm = config::Arm {
        url: "https://arm.example".parse().expect("a URL"),
        scope: "https://management.azure.com/.default".to_owned(),
    };
    let transport = Transport::new(Arc::clone(azure) as Arc<dyn HttpClient>);
    let exchange = Arc::clone(azure) as Arc<dyn Exchange>;
    let arm = Arc::new(Arm::over(transport, &arm, &azure.world.service_id(), exchange));
    let wanted = Wanted {
        scope: scope.to_owned(),
        name: "key".to_owned(),
        workspace: "ws".to_owned(),
        lifetime: Duration::from_hours(1),
    };
    SubscriptionKey::new(arm, None, wanted)
}

impl Azure {
    async fn opens(&self, key: &Secret) -> u16 {
        let mut headers = http::HeaderMap::new();
        headers.insert("ocp-apim-subscription-key", key.expose().parse().expect("a value"));
        let url = "https://gw.example/echo".parse().expect("a URL");
        let request = request("GET", &url, headers, Bytes::new());
        let operation = self.gateway.operation(&request).expect("the echo API");
        self.gateway.answer(operation, &request).await.status
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

#[tokio::test]
async fn a_life_with_three_rotations() {
    let azure = azure(World::default());
    let lessor = lessor(&azure, &format!("/products/{}", azure.world.product));
    let mut current = lessor.issue().await.expect("a key");
    lessor.probe(&current).await.expect("no probe");
    lessor.retire().await.expect("nothing to end");
    assert_eq!(azure.seen(), ["Subscription_CreateOrUpdate 201"]);
    for _ in 0..3 {
        let next = lessor.issue().await.expect("a key");
        lessor.probe(&next).await.expect("no probe");
        assert_eq!(
            (azure.opens(current.text().unwrap()).await, azure.opens(next.text().unwrap()).await),
            (200, 200)
        );
        lessor.retire().await.expect("a PATCH");
        assert_eq!(
            (azure.opens(current.text().unwrap()).await, azure.opens(next.text().unwrap()).await),
            (401, 200)
        );
        assert_eq!(azure.seen(), ["Subscription_Update 200"]);
        current = next;
    }
    assert_eq!(lessor.release().await.expect("deleted"), Released::Revoked);
    assert_eq!(azure.opens(current.text().unwrap()).await, 401);
    assert_eq!(azure.seen(), ["Subscription_Delete 200"]);
}

#[tokio::test]
async fn a_leftover_is_taken_over_and_a_deleted_one_created_anew() {
    let azure = azure(World::default());
    let scope = format!("/products/{}", azure.world.product);
    let dead = lessor(&azure, &scope).issue().await.expect("a key");
    let second = lessor(&azure, &scope);
    let lease = second.issue().await.expect("a key");
    assert_eq!(
        (azure.opens(dead.text().unwrap()).await, azure.opens(lease.text().unwrap()).await),
        (401, 200)
    );
    assert_eq!(azure.seen()[1..], ["Subscription_CreateOrUpdate 200", "Subscription_Update 200"]);

    // A third agent's change makes what we know stale.
    second.probe(&lease).await.expect("no probe");
    let third = lessor(&azure, &scope);
    let _ = third.issue().await.expect("a key");
    second.probe(&second.issue().await.expect("the prepared key")).await.expect("no probe");
    azure.seen();
    second.retire().await.expect("a PATCH");
    assert_eq!(azure.seen(), ["Subscription_Update 412", "Subscription_Get 200", "Subscription_Update 200"]);

    third.release().await.expect("deleted");
    assert_eq!(second.release().await.expect("gone"), Released::Revoked);
}

#[tokio::test]
async fn refusals_in_arms_own_words() {
    let azure = azure(World {
        role_actions: vec!["Microsoft.ApiManagement/service/read".to_owned()],
        ..World::default()
    });
    let error = lessor(&azure, "/apis").issue().await.err().expect("no right");
    assert_eq!(error.class, Class::Denied);
    assert!(
        error
            .fix
            .expect("advice")
            .starts_with("Microsoft.ApiManagement/service/subscriptions/write is missing")
    );

    let azure = self::azure(World::default());
    let error = lessor(&azure, "/products/nowhere").issue().await.err().expect("no product");
    assert_eq!(error.class, Class::Config);
    assert!(error.what.contains("/products/nowhere"));
}
