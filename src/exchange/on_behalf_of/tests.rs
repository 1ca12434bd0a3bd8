use super::*;
use crate::{
    exchange::testing::{Identity, Shows, form, identity},
    http::testing::{Reply, Server as Loopback},
    identity::claims,
};
use serde_json::json;

const SCOPE: &str = "api://orders/.default";

fn exchange(server: &Loopback, person: &Arc<Identity>, actor: &Arc<Identity>) -> OnBehalfOf {
    let config = config::OnBehalfOf {
        entra: config::Entra {
            tenant_id: "contoso.example".to_owned(),
            client_id: "client".to_owned(),
            authority: server.url.clone(),
            audience: "api://AzureADTokenExchange".to_owned(),
            arm: config::Arm { url: server.url.clone(), scope: "unused".to_owned() },
        },
        actor: "workspace".to_owned(),
        assertion_scope: "api://client/access".to_owned(),
    };
    let (person, actor) =
        (Arc::clone(person) as Arc<dyn IdentitySource>, Arc::clone(actor) as Arc<dyn IdentitySource>);
    OnBehalfOf::new(&config, person, actor, &server.client())
}

fn ada() -> Arc<Identity> {
    identity("ada", Shows::Session(Actor::User))
}

fn workspace() -> Arc<Identity> {
    identity("ws", Shows::IdToken)
}

#[tokio::test]
async fn the_persons_token_and_the_workspaces_assertion_make_one_request() {
    let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"the-token"}"#;
    let server = Loopback::start(move |_, _| Reply::json(200, body)).await;
    let (person, actor) = (ada(), workspace());
    let token = exchange(&server, &person, &actor).exchange(Some(SCOPE)).await.unwrap();
    assert_eq!((token.token.expose(), token.bearer), ("the-token", true));
    assert_eq!((token.subject.claims.sub.as_str(), token.subject.actor), ("ada", Actor::User));
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /contoso.example/oauth2/v2.0/token HTTP/1.1\r\n"), "{}", seen.head);
    let assertion = form(seen)[3].1.clone();
    let claims = claims::parse(&assertion).unwrap();
    assert_eq!((claims.sub.as_str(), claims.aud[0].as_str()), ("ws", "api://AzureADTokenExchange"));
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", "client"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
        ("assertion", "session-of-ada"),
        ("scope", SCOPE),
        ("requested_token_use", "on_behalf_of"),
    ];
    assert_eq!(form(seen), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(person.wanted.lock().unwrap()[0].1.as_deref(), Some("api://client/access"));
    assert_eq!(actor.wanted.lock().unwrap()[0].1, None);
}

#[tokio::test]
async fn who_does_not_fit_is_told_who_does() {
    let server = Loopback::start(|_, _| Reply::json(200, "{}")).await;
    for (person, actor, what, fix) in [
        (
            workspace(),
            workspace(),
            "the exchange on-behalf-of cannot use the identity source told",
            "browser, device-code",
        ),
        (
            identity("x", Shows::Saml("<a/>")),
            workspace(),
            "the exchange on-behalf-of cannot use",
            "browser, device-code",
        ),
        (
            identity("x", Shows::Session(Actor::Workspace)),
            workspace(),
            "the exchange on-behalf-of is for a person",
            "sign in as a person",
        ),
        (ada(), ada(), "the actor of an exchange on-behalf-of cannot use", "ona, gitpod, github-actions"),
    ] {
        let error = exchange(&server, &person, &actor).exchange(Some(SCOPE)).await.err().unwrap();
        assert_eq!(error.class, Class::Config, "{error}");
        assert!(error.what.starts_with(what) && error.fix.clone().unwrap().contains(fix), "{error}");
    }
    assert!(
        exchange(&server, &ada(), &workspace())
            .exchange(None)
            .await
            .is_err_and(|error| error.class == Class::Config)
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_a_person_has_to_do_is_said() {
    for (code, error, claims, fix) in [
        (
            65_001,
            "invalid_grant",
            None,
            "consent to api://orders/.default: sign in to the application client once",
        ),
        (
            50_076,
            "interaction_required",
            None,
            "sign in again, with whatever Entra asks for then (a second factor)",
        ),
        (
            53_003,
            "interaction_required",
            None,
            "a Conditional Access policy refuses this person or this machine",
        ),
        (
            500_131,
            "invalid_grant",
            None,
            "the person's token has to be for our application: set assertion_scope",
        ),
        (700_213, "invalid_client", None, "add the matching federated credential"),
        (
            99_999,
            "interaction_required",
            Some(r#"{"access_token":{"acrs":{"value":"c1"}}}"#),
            "a person has to sign in again",
        ),
    ] {
        let mut body =
            json!({"error": error, "error_description": format!("AADSTS{code}: No."), "error_codes": [code]});
        if let Some(claims) = claims {
            body["claims"] = json!(claims);
        }
        let server = Loopback::start(move |_, _| Reply::json(400, &body.to_string())).await;
        let refused = exchange(&server, &ada(), &workspace()).exchange(Some(SCOPE)).await.err().unwrap();
        let class = if code == 500_131 { Class::Config } else { Class::Denied };
        assert_eq!(refused.class, class, "{code}");
        assert!(refused.fix.clone().unwrap().starts_with(fix), "{code}: {refused}");
        let challenge = "it comes with a claims challenge, which only a person's sign-in can meet";
        assert_eq!(refused.why.unwrap().contains(challenge), claims.is_some());
    }
}

#[tokio::test]
async fn neither_token_comes_back_in_an_error() {
    let server = Loopback::start(|_, seen| {
        let body =
            json!({"error": "invalid_grant", "error_description": format!("AADSTS50013: bad {}", seen.body)});
        Reply::json(400, &body.to_string())
    })
    .await;
    let error = exchange(&server, &ada(), &workspace()).exchange(Some(SCOPE)).await.err().unwrap();
    assert!(!error.to_string().contains("session-of-ada") && !error.to_string().contains("eyJ"), "{error}");
}
