//! The lessors over the real client and TLS: what is on the wire, and how many connections it takes.

use super::{
    Lessor, Released,
    arm::Arm,
    fake::{FakeExchange, SERVICE},
    probe::Probe,
    subscription_key::{SubscriptionKey, Wanted},
};
use crate::{
    error::Class,
    exchange::Exchange,
    http::testing::{Reply, Server, answer},
};
use std::{sync::Arc, time::Duration};

const INVALID: &str = r#"{ "statusCode": 401, "message": "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription." }"#;

async fn arm() -> Server {
    Server::start(|_, seen| {
        let status = if seen.head.starts_with("PUT ") { 201 } else { 200 };
        Reply::Answer(answer(
            status,
            &[("content-type", "application/json"), ("etag", "\"AAAAAAAAAAE=\"")],
            r#"{"properties":{"state":"active"}}"#,
        ))
    })
    .await
}

fn lessor(arm: &Server, gateway: &Server) -> SubscriptionKey {
    let config =
        crate::config::Arm { url: arm.url.clone(), scope: "https://arm.example/.default".to_owned() };
    let exchange = Arc::new(FakeExchange::default()) as Arc<dyn Exchange>;
    let arm = Arc::new(Arm::new(&config, SERVICE, exchange, arm.client()));
    let wanted = Wanted {
        scope: "/apis".to_owned(),
        name: "partner".to_owned(),
        workspace: "ws-1".to_owned(),
        lifetime: Duration::from_hours(1),
    };
    SubscriptionKey::new(arm, Some(Probe::new(&gateway.url, "/echo?x=1", gateway.client())), wanted)
}

#[tokio::test]
async fn a_life_takes_one_connection_to_each_service() {
    let arm = arm().await;
    let gateway = Server::start(|number, _| match number {
        0 => Reply::json(401, INVALID),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let lessor = lessor(&arm, &gateway);
    let lease = lessor.issue().await.expect("a key");
    let error = lessor.probe(&lease).await.expect_err("not known yet");
    assert_eq!(error.class, Class::TryAgain);
    assert!(
        !error.to_string().contains(lease.text().unwrap().expose()) && !error.to_string().contains("x=1"),
        "{error}"
    );
    lessor.probe(&lease).await.expect("known");
    let next = lessor.issue().await.expect("a key");
    lessor.probe(&next).await.expect("known");
    lessor.retire().await.expect("a PATCH");
    lessor.release().await.expect("a DELETE");

    let lines: Vec<String> =
        arm.seen().iter().map(|seen| seen.head.lines().next().unwrap_or_default().to_owned()).collect();
    let path = format!(
        "{SERVICE}/subscriptions/ws-bb0016e541aa0d5d466364839e0ab8d6?api-version=2024-05-01 HTTP/1.1"
    );
    assert_eq!(lines, [format!("PUT {path}"), format!("PATCH {path}"), format!("DELETE {path}")]);
    let seen = arm.seen();
    assert!(seen[1].head.to_ascii_lowercase().contains("if-match: \"aaaaaaaaaae=\""), "{}", seen[1].head);
    assert!(seen[0].body.contains(lease.text().unwrap().expose()));
    assert!(gateway.seen()[0].head.starts_with("GET /echo?x=1 HTTP/1.1"));
    assert!(
        gateway.seen()[0]
            .head
            .to_ascii_lowercase()
            .contains(&format!("ocp-apim-subscription-key: {}", lease.text().unwrap().expose()))
    );
    assert_eq!((arm.accepted(), gateway.accepted()), (1, 1));
}

#[tokio::test]
async fn a_truncated_answer_leaves_something_to_release() {
    let arm = Server::start(|number, _| match number {
        0 => Reply::Bytes(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{".to_vec()),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let gateway = Server::start(|_, _| Reply::Nothing).await;
    let lessor = lessor(&arm, &gateway);
    let error = lessor.issue().await.err().expect("truncated");
    assert_eq!(error.class, Class::Unavailable);
    assert_eq!(lessor.release().await.expect("deleted"), Released::Revoked);
}

#[tokio::test]
async fn success_without_an_active_subscription_is_none_and_is_released() {
    for (body, class) in [
        ("<html>welcome</html>", Class::Unavailable),
        ("{}", Class::Unavailable),
        (r#"{"properties":{"state":"submitted"}}"#, Class::Denied),
    ] {
        let arm =
            Server::start(move |number, _| Reply::json(201, if number == 0 { body } else { "{}" })).await;
        let gateway = Server::start(|_, _| Reply::Nothing).await;
        let lessor = lessor(&arm, &gateway);
        assert_eq!(lessor.issue().await.map_err(|error| error.class).err(), Some(class), "{body}");
        // DELETE is answered 201, which is no proof of anything either.
        assert!(lessor.release().await.is_err());
        assert!(arm.seen()[1].head.starts_with("DELETE "), "what may have been created is deleted");
    }
}

#[tokio::test]
async fn a_subscription_that_another_hand_deleted_makes_its_next_key_void() {
    const GONE: &str = r#"{"error":{"code":"ResourceNotFound","message":"Subscription not found."}}"#;
    let arm = Server::start(|_, seen| match seen.head.split(' ').next() {
        Some("PUT") => Reply::json(201, r#"{"properties":{"state":"active"}}"#),
        Some("GET") => Reply::json(404, GONE),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let gateway = Server::start(|number, _| match number {
        1 => Reply::json(200, "{}"),
        _ => Reply::json(401, INVALID),
    })
    .await;
    let lessor = lessor(&arm, &gateway);
    let first = lessor.issue().await.expect("a key");
    let class = |result: Result<(), crate::error::Error>| result.map_err(|error| error.class);
    assert_eq!(class(lessor.probe(&first).await), Err(Class::TryAgain), "the gateway learns late");
    assert_eq!(arm.seen().len(), 1, "and nobody is asked about that");
    lessor.probe(&first).await.expect("known");
    let next = lessor.issue().await.expect("the prepared key");
    assert_eq!(class(lessor.probe(&next).await), Err(Class::Void));
    lessor.issue().await.expect("a new subscription");
    let methods: Vec<_> = arm.seen().iter().map(|seen| seen.head[..3].to_owned()).collect();
    assert_eq!(methods, ["PUT", "GET", "PUT"]);
}
