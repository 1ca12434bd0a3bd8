use super::*;
use crate::lease::fake::{FakeArm, FakeExchange, SERVICE, Turn};
use futures_util::FutureExt;
use serde_json::json;
use std::collections::HashSet;

const LIFE: Duration = Duration::from_hours(1);
/// Of the claims that `FakeExchange` hands out; the rule is tested in `naming`.
const SID: &str = "ws-bb0016e541aa0d5d466364839e0ab8d6";

fn refuse(status: u16, code: &'static str) -> Turn {
    Turn::Refuse(status, code, vec![])
}

fn lessor_with(arm: &FakeArm, exchange: &Arc<FakeExchange>, lifetime: Duration) -> SubscriptionKey {
    let wanted = Wanted {
        scope: "/products/partner-sandbox".to_owned(),
        name: "partner".to_owned(),
        workspace: "ws-1".to_owned(),
        lifetime,
    };
    let mut lessor = SubscriptionKey::new(arm.client(exchange), None, wanted);
    lessor.pause = Duration::ZERO;
    lessor
}

fn lessor(arm: &FakeArm) -> SubscriptionKey {
    lessor_with(arm, &Arc::default(), LIFE)
}

/// A value that has been issued and accepted.
async fn accepted(lessor: &SubscriptionKey) -> Lease {
    let lease = lessor.issue().await.expect("a key");
    lessor.probe(&lease).await.expect("no probe path");
    lease
}

#[tokio::test]
async fn the_first_value_costs_one_exchange_and_one_put() {
    let (arm, exchange) = (FakeArm::default(), Arc::new(FakeExchange::default()));
    let before = clock::now();
    let lease = lessor_with(&arm, &exchange, LIFE).issue().await.expect("a key");

    assert_eq!(exchange.scopes(), ["https://arm.example/.default"]);
    let world = arm.world();
    let [put] = world.seen.as_slice() else { panic!("{:?}", world.seen) };
    assert_eq!(put.method, "PUT");
    assert_eq!(put.url, format!("https://arm.example{SERVICE}/subscriptions/{SID}?api-version=2024-05-01"));
    assert_eq!((put.bearer.as_str(), &put.if_match), ("Bearer token-1", &None));
    let properties = &put.body["properties"];
    let secondary = properties["secondaryKey"].as_str().expect("a second key");
    let until = clock::rfc3339(lease.issued_at + 2 * LIFE);
    let expected = json!({"properties": {
        "scope": "/products/partner-sandbox",
        "displayName": format!("apim-agent ws-1 ada@example.com until {until}"),
        "primaryKey": lease.text().unwrap().expose(),
        "secondaryKey": secondary,
        "state": "active",
    }});
    // The name's date is taken a moment before the lease's.
    let mut body = put.body.clone();
    body["properties"]["displayName"] = expected["properties"]["displayName"].clone();
    assert_eq!(body, expected);
    assert!(
        properties["displayName"]
            .as_str()
            .expect("a name")
            .starts_with("apim-agent ws-1 ada@example.com until 2")
    );
    assert!(secondary.len() == 64 && secondary != lease.text().unwrap().expose());
    assert_eq!(lease.expires_at, lease.issued_at + LIFE);
    assert!(lease.issued_at >= before && lease.refresh_at.is_none());
}

#[tokio::test]
async fn five_rotations_alternate_at_one_patch_each_and_never_lack_a_working_key() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    let mut current = accepted(&lessor).await;
    lessor.retire().await.expect("nothing to end");
    assert_eq!(arm.world().methods(), ["PUT"]);
    let mut handed = HashSet::from([current.text().unwrap().expose().to_owned()]);
    for round in 0..5 {
        let requests = arm.world().seen.len();
        let next = accepted(&lessor).await;
        assert_eq!(arm.world().seen.len(), requests, "round {round}: the key was prepared");
        assert!(handed.insert(next.text().unwrap().expose().to_owned()), "round {round}: a key is used once");
        assert!(
            arm.world().knows(current.text().unwrap()) && arm.world().knows(next.text().unwrap()),
            "round {round}: grace"
        );

        lessor.retire().await.expect("one PATCH");
        let world = arm.world();
        let patch = world.seen.last().expect("a request");
        assert_eq!((world.seen.len(), patch.method.as_str()), (requests + 1, "PATCH"), "round {round}");
        let side = if round % 2 == 0 { "primaryKey" } else { "secondaryKey" };
        let properties = patch.body["properties"].as_object().expect("properties");
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut expected = ["displayName", "expirationDate", side];
        expected.sort_unstable();
        assert_eq!(names, expected, "round {round}");
        let date = properties["expirationDate"].as_str().expect("a date");
        assert!(date > clock::rfc3339(next.expires_at).as_str(), "the date covers the next key: {date}");
        assert!(patch.if_match.as_deref().is_some_and(|etag| etag != "*"), "round {round}: our version");
        assert!(
            !world.knows(current.text().unwrap()) && world.knows(next.text().unwrap()),
            "round {round}: the old one has ended"
        );
        drop(world);
        current = next;
    }
}

#[tokio::test]
async fn a_discarded_key_is_replaced_and_the_published_one_left_alone() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    let published = accepted(&lessor).await;
    let discarded = lessor.issue().await.expect("the prepared key");
    for _ in 0..3 {
        let again = lessor.issue().await.expect("a fresh key");
        let world = arm.world();
        assert!(
            world.knows(published.text().unwrap())
                && world.knows(again.text().unwrap())
                && !world.knows(discarded.text().unwrap())
        );
        assert_eq!(world.methods().last(), Some(&"PATCH"));
    }
    let last = accepted(&lessor).await;
    lessor.retire().await.expect("one PATCH");
    assert!(arm.world().knows(last.text().unwrap()) && !arm.world().knows(published.text().unwrap()));
}

#[tokio::test]
async fn a_patch_whose_answer_is_lost_is_sent_again_with_another_key() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    accepted(&lessor).await;
    let current = accepted(&lessor).await;
    arm.script([Turn::Lost]);
    let error = lessor.retire().await.expect_err("lost");
    assert_eq!(
        (error.class, error.what.as_str()),
        (Class::Unavailable, "arm.example:443 closed the connection")
    );
    // What we hold is stale now, which ARM says and a GET mends.
    lessor.retire().await.expect("again");
    assert_eq!(arm.world().methods(), ["PUT", "PATCH", "PATCH", "GET", "PATCH"]);
    let next = lessor.issue().await.expect("the prepared key");
    assert!(arm.world().knows(next.text().unwrap()) && arm.world().knows(current.text().unwrap()));
}

#[tokio::test]
async fn stale_versions_are_looked_up_a_few_times_and_then_left_to_the_lifecycle() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    accepted(&lessor).await;
    accepted(&lessor).await;
    arm.script((0..2).flat_map(|_| [refuse(412, "PreconditionFailed"), Turn::Fine]));
    lessor.retire().await.expect("the third time");
    assert_eq!(arm.world().methods(), ["PUT", "PATCH", "GET", "PATCH", "GET", "PATCH"]);

    accepted(&lessor).await;
    let before = arm.world().seen.len();
    arm.script((0..20).flat_map(|_| [refuse(412, "PreconditionFailed"), Turn::Fine]));
    let error = lessor.retire().await.expect_err("always stale");
    assert_eq!(error.class, Class::TryAgain);
    assert_eq!(arm.world().seen.len() - before, 9, "five PATCHes, four GETs between them");
}

#[tokio::test]
async fn creations_that_stumble_over_each_other_are_repeated_within_bounds() {
    let arm = FakeArm::default();
    arm.script([refuse(412, "PreconditionFailed"), refuse(412, "PreconditionFailed")]);
    lessor(&arm).issue().await.expect("the third time");
    assert_eq!(arm.world().methods(), ["PUT"; 3]);

    let arm = FakeArm::default();
    arm.script((0..20).map(|_| refuse(412, "PreconditionFailed")));
    let lessor = lessor(&arm);
    assert_eq!(lessor.issue().await.err().map(|error| error.class), Some(Class::TryAgain));
    assert_eq!(arm.world().seen.len(), 5);
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing, "412 creates nothing");
}

#[tokio::test]
async fn refusals_are_told_by_class_and_leave_nothing_to_release() {
    for (status, code, class) in [
        (400, "ValidationError", Class::Config),
        (403, "AuthorizationFailed", Class::Denied),
        (404, "ResourceNotFound", Class::Config),
        (409, "Conflict", Class::TryAgain),
    ] {
        let arm = FakeArm::default();
        arm.script([refuse(status, code)]);
        let lessor = lessor(&arm);
        let error = lessor.issue().await.err().expect("a refusal");
        assert_eq!(error.class, class, "{status}");
        assert!(error.what.contains(SID) && error.what.contains("/products/partner-sandbox"), "{error}");
        assert_eq!(lessor.release().await.expect("no call"), Released::Nothing, "{status}");
        assert_eq!(arm.world().methods(), ["PUT"], "{status}");
    }
}

#[tokio::test]
async fn throttling_names_the_wait() {
    let arm = FakeArm::default();
    arm.script([Turn::Refuse(429, "TooManyRequests", vec![("retry-after", "17")])]);
    let error = lessor(&arm).issue().await.err().expect("throttled");
    assert_eq!((error.class, error.retry_after), (Class::TryAgain, Some(Duration::from_secs(17))));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (arm, exchange) = (FakeArm::default(), Arc::new(FakeExchange::default()));
    arm.script([refuse(401, "ExpiredAuthenticationToken")]);
    let lessor = lessor_with(&arm, &exchange, LIFE);
    lessor.issue().await.expect("with the second token");
    let bearers: Vec<String> = arm.world().seen.iter().map(|seen| seen.bearer.clone()).collect();
    assert_eq!(bearers, ["Bearer token-1", "Bearer token-2"]);

    arm.script([refuse(401, "InvalidAuthenticationToken"), refuse(401, "InvalidAuthenticationToken")]);
    assert_eq!(lessor.release().await.map_err(|error| error.class), Err(Class::Denied));
    assert_eq!((arm.world().seen.len(), exchange.count()), (4, 3), "no third try");
}

#[tokio::test]
async fn nothing_is_sent_and_nothing_recorded_without_a_token() {
    let (arm, exchange) = (FakeArm::default(), Arc::new(FakeExchange::default()));
    *exchange.fails.lock().expect("no panic") = Some(Error::new(Class::Denied, "AADSTS700213"));
    let lessor = lessor_with(&arm, &exchange, LIFE);
    assert_eq!(lessor.issue().await.err().map(|error| error.what), Some("AADSTS700213".to_owned()));
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
    assert!(arm.world().seen.is_empty());
}

#[tokio::test]
async fn a_create_that_was_cut_short_is_released() {
    let arm = FakeArm::default();
    arm.script([Turn::Hang]);
    let lessor = lessor(&arm);
    {
        let mut issue = Box::pin(lessor.issue());
        // A few turns of the loop take it to where the answer never comes.
        while arm.world().seen.is_empty() {
            assert!(issue.as_mut().now_or_never().is_none(), "it hangs");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(arm.world().keys().len(), 2, "it has arrived");
    assert_eq!(lessor.release().await.expect("deleted"), Released::Revoked);
    assert!(arm.world().subscription.is_none());
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_taken_over_with_a_new_date() {
    let arm = FakeArm::default();
    arm.script([Turn::Lost]);
    let lessor = lessor(&arm);
    assert_eq!(lessor.issue().await.err().map(|error| error.class), Some(Class::Unavailable));
    let lease = lessor.issue().await.expect("the second time");
    let world = arm.world();
    assert_eq!(world.methods(), ["PUT", "PUT", "PATCH"], "200, not 201: its date may be an old one");
    assert!(world.knows(lease.text().unwrap()));
    let patch = &world.seen[2].body["properties"];
    assert!(
        patch["expirationDate"].is_string()
            && patch["primaryKey"].is_null()
            && patch["secondaryKey"].is_null()
    );
}

#[tokio::test]
async fn a_refusal_after_a_lost_create_still_releases() {
    let arm = FakeArm::default();
    arm.script([Turn::Lost, refuse(403, "AuthorizationFailed")]);
    let lessor = lessor(&arm);
    assert!(lessor.issue().await.is_err());
    assert!(lessor.issue().await.is_err());
    assert_eq!(lessor.release().await.expect("deleted"), Released::Revoked);
    assert!(arm.world().subscription.is_none());
}

#[tokio::test]
async fn what_another_hand_deleted_is_created_anew() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    accepted(&lessor).await;
    accepted(&lessor).await;
    arm.script([Turn::DeletedBefore]);
    lessor.retire().await.expect("the old key has ended, whoever did it");
    let lease = lessor.issue().await.expect("a key");
    assert_eq!(arm.world().methods(), ["PUT", "PATCH", "PUT"]);
    assert!(arm.world().knows(lease.text().unwrap()));

    // The same between two values, where the step is one of an issue.
    lessor.issue().await.expect("the prepared key");
    arm.script([Turn::DeletedBefore]);
    let lease = lessor.issue().await.expect("a key");
    assert_eq!(arm.world().methods()[3..], ["PATCH", "PUT"]);
    assert!(arm.world().knows(lease.text().unwrap()));
}

#[tokio::test]
async fn somebody_who_keeps_deleting_is_not_fought_forever() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    lessor.issue().await.expect("a key");
    lessor.issue().await.expect("the prepared key");
    // Each PUT takes over what somebody else has made, and whatever follows it finds nothing.
    for _ in 0..10 {
        arm.script([Turn::DeletedBefore, refuse(200, "")]);
    }
    let error = lessor.issue().await.err().expect("no end");
    assert_eq!(error.class, Class::TryAgain);
    assert_eq!(arm.world().methods()[1..], ["PATCH", "PUT", "GET", "PUT", "GET", "PUT"]);
}

#[tokio::test]
async fn release_continues_where_it_failed_and_ends_once() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
    lessor.issue().await.expect("a key");
    arm.script([refuse(500, "InternalServerError"), Turn::Lost]);
    assert_eq!(lessor.release().await.map_err(|error| error.class), Err(Class::Unavailable));
    assert_eq!(lessor.release().await.map_err(|error| error.class), Err(Class::Unavailable));
    assert_eq!(lessor.release().await.expect("it is gone already"), Released::Revoked);
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
    let world = arm.world();
    assert_eq!(world.methods(), ["PUT", "DELETE", "DELETE", "DELETE"]);
    assert!(world.seen[1..].iter().all(|seen| seen.if_match.as_deref() == Some("*")));
}

#[tokio::test]
async fn not_found_counts_as_deleted() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    lessor.issue().await.expect("a key");
    arm.script([refuse(404, "ResourceNotFound")]);
    assert_eq!(lessor.release().await.expect("gone"), Released::Revoked);
}

#[tokio::test]
async fn a_prepared_key_whose_date_has_gone_by_gets_a_new_date() {
    let arm = FakeArm::default();
    let lessor = lessor(&arm);
    accepted(&lessor).await;
    {
        // As after a night's sleep.
        let mut record = lessor.record();
        let etag = record.etag().map(str::to_owned);
        record.updated(None, etag, clock::now());
    }
    let lease = lessor.issue().await.expect("the prepared key");
    let world = arm.world();
    assert_eq!(world.methods(), ["PUT", "PATCH"]);
    assert!(
        world.seen[1].body["properties"]["secondaryKey"].is_null(),
        "the key stays: the gateway knows it"
    );
    assert!(world.knows(lease.text().unwrap()));
}
