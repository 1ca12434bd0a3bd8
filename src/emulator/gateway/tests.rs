//! The gateway from outside its parts, with keys and signatures made up.

use super::*;
use crate::{
    clock::from_unix,
    emulator::{
        store::State::{self, Active},
        trust::{Trust, tests::Shelf},
    },
};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use std::time::Duration;

const NOW: u64 = 1_795_478_400;
const POLICY: &str = include_str!("../../../gitpod/policies/echo.xml");

/// A GET of `path` without headers, from a documentation address.
pub(super) fn get(path: &str) -> Request {
    Request {
        method: Method::GET,
        path: path.to_owned(),
        query: Vec::new(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        host: "localhost:8443".to_owned(),
        peer: ([192, 0, 2, 7], 40_000).into(),
        client_certificate: None,
    }
}

fn with_header(name: &'static str, value: &str) -> Request {
    let mut request = get("/echo/orders");
    request.headers.insert(name, value.parse().unwrap());
    request
}

fn holder(sid: &str, scope: &str, state: State) -> Holder {
    let display_name = match sid {
        "ws-1" => "apim-agent one ada@example.com until 2026-11-24T14:00:00Z",
        _ => "by hand",
    };
    Holder {
        sid: sid.to_owned(),
        scope: scope.to_owned(),
        state,
        display_name: display_name.to_owned(),
        created_at: from_unix(NOW),
        expiration_date: None,
    }
}

/// Trusts no issuer.
fn nobody() -> Trust {
    Trust::new(Vec::new(), Box::new(Shelf { documents: Arc::default(), asked: Arc::default() }))
}

/// Three keys are known; the only good token is `good`.
fn gateway(rate_limit: u32) -> Gateway {
    let world = Arc::new(World { rate_limit, ..World::default() });
    let claims = json!({
        "aud": world.api_audience,
        "iss": format!("https://sts.windows.net/{}/", world.tenant_id),
        "tid": world.tenant_id,
        "exp": NOW + 3600,
        "appid": world.client_id,
        "sub": world.principal_id,
    });
    Gateway::with(
        world,
        Box::new(|key, _| match key {
            "key" => Some(holder("ws-1", "/products/starter", Active)),
            "everything" => Some(holder("ops", "/apis", Active)),
            "foreign" => Some(holder("ws-2", "/products/unlimited", Active)),
            "asleep" => Some(holder("ws-3", "/products/starter", State::Suspended)),
            _ => None,
        }),
        Box::new(move |token| match token {
            "good" => Ok(Verified { header: json!({}), claims: claims.clone() }),
            _ => Err(Invalid::Malformed),
        }),
    )
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[test]
fn paths_lead_to_operations() {
    let store = Arc::new(Store::new(Duration::ZERO));
    let broker = Broker::with(Arc::default(), store, Box::new(|_| Err(Invalid::Malformed)), nobody());
    let (plain, gateway) = (gateway(1), gateway(1).brokering(broker));
    assert_eq!(plain.operation(&get("/broker/token")), Some(NOT_FOUND));
    for (method, path, expected) in [
        (Method::GET, "/status-0123456789abcdef", STATUS),
        (Method::HEAD, "/status-0123456789abcdef", STATUS),
        (Method::POST, "/status-0123456789abcdef", NOT_FOUND),
        (Method::GET, "/status-0123456789abcdef/", NOT_FOUND),
        (Method::GET, "/echo", ECHO),
        (Method::DELETE, "/echo/", ECHO),
        (Method::PATCH, "/echo/a/b", ECHO),
        (Method::GET, "/echoes", NOT_FOUND),
        (Method::GET, "/partner", PARTNER),
        (Method::POST, "/partner/orders", PARTNER),
        (Method::GET, "/partners", NOT_FOUND),
        (Method::POST, "/broker/token", broker::TOKEN),
        (Method::GET, "/broker/token", broker::TOKEN),
        (Method::POST, "/broker/revoke", broker::REVOKE),
        (Method::POST, "/broker/token/", NOT_FOUND),
        (Method::GET, "/broker", NOT_FOUND),
        (Method::GET, "/", NOT_FOUND),
    ] {
        let request = Request { method, ..get(path) };
        assert_eq!(gateway.operation(&request), Some(expected), "{} {path}", request.method);
    }
}

#[tokio::test]
async fn the_status_path_needs_nothing_and_an_unknown_path_says_so() {
    let gateway = gateway(1);
    assert_eq!(gateway.answer(STATUS, &get(STATUS_PATH)).await.status, 200);
    assert_eq!(gateway.answer(NOT_FOUND, &get("/nowhere")).await.status, 404);
    assert_eq!(gateway.answer(ECHO, &get("/echo")).await.status, 401);
}

#[test]
fn a_key_opens_the_api_and_the_backend_does_not_see_it() {
    let gateway = gateway(10);
    let response = gateway.call(&with_header("ocp-apim-subscription-key", "key"), from_unix(NOW));
    assert_eq!(response.status, 200);
    assert_eq!(body(&response)["path"], "/echo/orders");
    assert_eq!(
        body(&response)["caller"],
        json!({"kind": "subscription", "name": "ws-1", "product": "starter"})
    );
    assert_eq!(body(&response)["headers"].get("ocp-apim-subscription-key"), None);
    assert_eq!(response.caller.as_deref(), Some("subscription ws-1 of one ada@example.com"));

    let response = gateway.call(&with_header("ocp-apim-subscription-key", "everything"), from_unix(NOW));
    assert_eq!(body(&response)["caller"], json!({"kind": "subscription", "name": "ops"}));
}

#[test]
fn keys_that_do_not_open_it_get_one_answer_but_known_callers_are_logged() {
    let gateway = gateway(10);
    for (key, caller) in
        [("unknown", None), ("foreign", Some("subscription ws-2")), ("asleep", Some("subscription ws-3"))]
    {
        let response = gateway.call(&with_header("ocp-apim-subscription-key", key), from_unix(NOW));
        assert_eq!((response.status, response.body.len()), (401, 143), "{key}");
        assert_eq!(response.caller.as_deref(), caller, "{key}");
    }
    let response = gateway.call(&get("/echo"), from_unix(NOW));
    assert_eq!((response.status, response.body.len()), (401, 152));
    assert_eq!(response.caller, None);
}

#[test]
fn a_token_opens_it_too_and_is_not_handed_on() {
    let gateway = gateway(10);
    let World { client_id, principal_id, .. } = World::default();
    let response = gateway.call(&with_header("authorization", "Bearer good"), from_unix(NOW));
    assert_eq!(response.status, 200);
    assert_eq!(
        body(&response)["caller"],
        json!({"kind": "token", "name": client_id, "subject": principal_id})
    );
    assert_eq!(body(&response)["headers"].get("authorization"), None);
    assert_eq!(response.caller, Some(format!("workspace {principal_id}")));

    for (value, message) in
        [("Bearer bad", "Invalid Azure AD JWT"), ("Basic dTpw", "Azure AD JWT not present")]
    {
        let response = gateway.call(&with_header("authorization", value), from_unix(NOW));
        assert_eq!(response.status, 401);
        assert_eq!(body(&response)["message"], message);
        assert_eq!(response.caller, None);
    }
    let expired = gateway.call(&with_header("authorization", "Bearer good"), from_unix(NOW + 3600));
    assert_eq!(expired.status, 401);
}

#[test]
fn a_wrong_key_is_not_saved_by_a_good_token() {
    let mut request = with_header("authorization", "Bearer good");
    request.headers.insert("ocp-apim-subscription-key", "unknown".parse().unwrap());
    assert_eq!(gateway(10).call(&request, from_unix(NOW)).body.len(), 143);
}

#[test]
fn a_credential_that_is_there_twice_is_invalid() {
    let gateway = gateway(10);
    let twice = |name: &'static str, value: &str| {
        let mut request = with_header(name, value);
        request.headers.append(name, value.parse().unwrap());
        let response = gateway.call(&request, from_unix(NOW));
        assert_eq!((response.status, response.caller.as_deref()), (401, None), "{name}");
        body(&response)["message"].as_str().unwrap().to_owned()
    };
    assert!(twice("ocp-apim-subscription-key", "key").contains("invalid subscription key"));
    assert_eq!(twice("authorization", "Bearer good"), "Invalid Azure AD JWT");
}

#[test]
fn each_caller_has_its_limit_and_refusals_do_not_count() {
    let gateway = gateway(2);
    let now = from_unix(NOW);
    let call = |key: &str, now| gateway.call(&with_header("ocp-apim-subscription-key", key), now);
    for _ in 0..3 {
        call("foreign", now);
    }
    for remaining in ["1", "0"] {
        let response = call("key", now);
        assert_eq!(response.status, 200);
        assert_eq!(header(&response, "X-RateLimit-Limit"), Some("2"));
        assert_eq!(header(&response, "X-RateLimit-Remaining"), Some(remaining));
    }
    let refused = call("key", now + Duration::from_secs(3));
    assert_eq!((refused.status, refused.body.len()), (429, 84));
    assert_eq!(header(&refused, "Retry-After"), Some("57"));
    assert_eq!(header(&refused, "X-RateLimit-Remaining"), Some("0"));
    assert_eq!(refused.caller.as_deref(), Some("subscription ws-1 of one ada@example.com"));
    assert_eq!(call("everything", now).status, 200);
    assert_eq!(call("key", now + rate::PERIOD).status, 200);
}

#[test]
fn a_certificate_opens_partner_and_nothing_else_does() {
    let params = rcgen::CertificateParams::default();
    let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let allowed = thumbprint(&certificate);
    let gateway = gateway(10).trusting(Arc::new(move || vec![allowed]));
    let mut request = with_header("ocp-apim-subscription-key", "key");
    request.path = "/partner/orders".to_owned();
    let refused = gateway.call_partner(&request, from_unix(NOW));
    assert_eq!((refused.status, refused.caller.as_deref()), (401, None));
    assert_eq!(
        std::str::from_utf8(&refused.body).unwrap(),
        r#"{ "statusCode": 401, "message": "Client certificate missing" }"#
    );

    request.client_certificate = Some(certificate.into());
    let served = gateway.call_partner(&request, from_unix(NOW));
    let name = certificate::shown(&allowed);
    assert_eq!((served.status, &served.caller), (200, &Some(format!("certificate {name}"))));
    assert_eq!(body(&served)["caller"], json!({"kind": "certificate", "name": name}));

    let gateway = gateway.trusting(Arc::new(Vec::new));
    let refused = gateway.call_partner(&request, from_unix(NOW));
    assert_eq!(body(&refused)["message"], "Invalid client certificate");
}

#[tokio::test]
async fn a_minted_key_opens_the_api_until_its_end() {
    let mut gateway = gateway(10);
    let world = gateway.world.clone();
    let store = Arc::new(Store::new(Duration::ZERO));
    let claims = (gateway.verify)("good").unwrap();
    gateway.broker =
        Some(Broker::with(world, store.clone(), Box::new(move |_| Ok(claims.clone())), nobody()));
    gateway.holder_of = Box::new(move |key, now| store.holder_of(key, now));

    let mut exchange = get(broker::TOKEN_PATH);
    exchange.method = Method::POST;
    exchange.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    exchange.body = Bytes::from_static(
        b"grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=good\
          &subject_token_type=urn:ietf:params:oauth:token-type:access_token",
    );
    let minted = gateway.broker.as_ref().unwrap().exchange(&exchange, from_unix(NOW)).await;
    let key = body(&minted)["access_token"].as_str().unwrap().to_owned();
    let call = |at| gateway.call(&with_header("ocp-apim-subscription-key", &key), from_unix(at));
    let good = call(NOW + 3599);
    assert_eq!(good.status, 200, "{good:?}");
    assert!(good.caller.unwrap().starts_with("subscription br-"));
    let ended = call(NOW + 3600);
    assert_eq!((ended.status, ended.body.len()), (401, 143));
    assert!(ended.caller.is_some(), "the log still says whose it was");
}

#[test]
fn a_workspaces_key_ends_at_its_date_and_nobody_elses_does() {
    let ours = "ws-0123456789abcdef0123456789abcdef";
    let named = "apim-agent one ada@example.com until 2026-11-24T14:00:00Z";
    let until = 1_795_528_800;
    let (created, dated) = (NOW - 3600, NOW + 600);
    // The id, the name, the EndDate, and when it begins to be refused.
    for (sid, name, end, refused_from) in [
        (ours, named, Some(dated), Some(dated)),
        (ours, named, None, Some(until)),
        (ours, "apim-agent one", None, Some(created + 48 * 3600)),
        ("ws-1", named, Some(dated), None),
        (ours, "Partner", Some(dated), None),
        ("master", "Built-in all-access", Some(dated), None),
    ] {
        let holder = Holder {
            display_name: name.to_owned(),
            created_at: from_unix(created),
            expiration_date: end.map(from_unix),
            ..holder(sid, "/products/starter", Active)
        };
        let gateway = |expire_workspace_keys| {
            let world = World { expire_workspace_keys, ..World::default() };
            let holder = holder.clone();
            Gateway::with(
                Arc::new(world),
                Box::new(move |_, _| Some(holder.clone())),
                Box::new(|_| Err(Invalid::Malformed)),
            )
        };
        let call = |expires, at| {
            gateway(expires).call(&with_header("ocp-apim-subscription-key", "key"), from_unix(at))
        };
        let far = NOW + 1_000_000_000;
        if let Some(from) = refused_from {
            assert_eq!(call(true, from - 1).status, 200, "{sid} {name}");
            let refused = call(true, from);
            assert_eq!((refused.status, refused.body.len()), (401, 143), "{sid} {name}");
            assert!(refused.caller.unwrap().contains(sid), "the log says whose it was");
            assert_eq!(call(true, far).status, 401, "{sid} {name}");
        } else {
            assert_eq!(call(true, far).status, 200, "{sid} {name}");
        }
        assert_eq!(call(false, far).status, 200, "API Management by itself enforces nothing");
    }
}

#[test]
fn partners_policy_checks_what_this_gateway_does() {
    let policy = include_str!("../../../gitpod/policies/partner.xml");
    for text in [
        r#"validate-trust="false""#,
        r#"validate-not-before="true""#,
        r#"validate-not-after="true""#,
        r#"ignore-error="false""#,
        "<identity thumbprint=",
    ] {
        assert!(policy.contains(text), "the policy lacks {text}");
    }
}

/// The policy file is what people apply at a real gateway; it must not drift from what this one does.
#[test]
fn the_policy_says_what_this_gateway_does() {
    let missing = answers::key_missing("h");
    let period = format!(r#"renewal-period="{}""#, rate::PERIOD.as_secs());
    let calls = format!(r#"calls="{}""#, World::default().rate_limit);
    let key_header = format!(r#"name="{}" exists-action="delete""#, key::HEADER);
    let key_query = format!(r#"name="{}" exists-action="delete""#, key::QUERY);
    for text in [
        std::str::from_utf8(&missing.body).unwrap(),
        &period,
        &calls,
        &key_header,
        &key_query,
        r#"name="Authorization" exists-action="delete""#,
        r#"remaining-calls-header-name="X-RateLimit-Remaining""#,
        r#"total-calls-header-name="X-RateLimit-Limit""#,
        "idtyp",
        "preferred_username",
        r#"<include-fragment fragment-id="expire-workspace-keys" />"#,
    ] {
        assert!(POLICY.contains(text), "the policy lacks {text}");
    }
}
