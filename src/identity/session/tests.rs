use super::*;
use crate::{
    clock,
    http::testing::{Reply, Seen, Server},
    identity::{
        device_code::DeviceCode,
        prompt::End,
        testing::{broken, jwt, person},
    },
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use url::Url;

const WANT: Want<'_> = Want { audience: "a", scope: Some("api://orders/.default") };

/// Entra, as far as a person's device sees it: `token` answers its token endpoint, by the grant's name and the request's
/// number there, from 0.
async fn entra(token: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_, seen| {
        if seen.head.starts_with("POST /contoso.com/oauth2/v2.0/devicecode ") {
            return Reply::json(
                200,
                r#"{"device_code": "the-device-code", "user_code": "ABCD-EFGH", "expires_in": 900, "interval": 1,
                   "verification_uri": "https://microsoft.com/devicelogin"}"#,
            );
        }
        assert!(seen.head.starts_with("POST /contoso.com/oauth2/v2.0/token "), "{}", seen.head);
        token(&field(seen, "grant_type"), count.fetch_add(1, Ordering::Relaxed))
    })
    .await
}

fn field(seen: &Seen, name: &str) -> String {
    let found = url::form_urlencoded::parse(seen.body.as_bytes()).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn grants(entra: &Server) -> Vec<String> {
    let names = entra.seen().iter().map(|seen| field(seen, "grant_type")).collect::<Vec<_>>();
    names.into_iter().map(|name| name.rsplit(':').next().unwrap().to_owned()).collect()
}

/// Tokens of whoever `sub` is.
fn granted(sub: &str) -> Reply {
    let id = json!({
        "iss": "https://login.example/t/v2.0", "sub": sub, "aud": "the-client", "exp": 9_999_999_999_u64,
        "preferred_username": "jane@acme.example",
    });
    let body = json!({
        "token_type": "Bearer", "access_token": format!("access-of-{sub}"), "expires_in": 3600, "refresh_in": 1800,
        "refresh_token": "the-refresh-token", "id_token": jwt(&id),
    });
    Reply::json(200, &body.to_string())
}

fn refused(error: &str) -> Reply {
    Reply::json(400, &json!({"error": error, "error_description": "AADSTS1: words"}).to_string())
}

type Told = Arc<std::sync::Mutex<Vec<Prompt>>>;

fn session(entra: &Server) -> (Session<DeviceCode>, Told, End) {
    let (person, told, end) = person();
    let application = Application::new(
        "the-client".to_owned(),
        "contoso.com".to_owned(),
        entra.url.clone(),
        entra.client(),
    );
    let session = Session {
        way: DeviceCode,
        application: Ok(application),
        person,
        held: Mutex::default(),
        turn: tokio::sync::Mutex::default(),
    };
    (session, told, end)
}

async fn token(session: &Session<DeviceCode>, want: &Want<'_>) -> String {
    match session.prove(want).await.map_err(|miss| miss.into_error("s")).unwrap().1 {
        Proof::Session { token, .. } | Proof::IdToken(token) => token.expose().to_owned(),
        Proof::Saml(_) => panic!("an assertion"),
    }
}

#[tokio::test]
async fn one_sign_in_for_all() {
    let entra = entra(|grant, number| match (grant, number) {
        (_, 0) => refused("authorization_pending"),
        _ => granted("jane"),
    })
    .await;
    let (session, told, _end) = session(&entra);
    let other = Want { scope: Some("https://management.azure.com/.default"), ..WANT };
    let only_id = Want { audience: "the-client", scope: None };
    let all = tokio::join!(token(&session, &WANT), token(&session, &other), token(&session, &only_id));
    assert_eq!((all.0.as_str(), all.1.as_str()), ("access-of-jane", "access-of-jane"));
    assert!(all.2.starts_with("ey"), "an id token");
    assert_eq!(grants(&entra), ["", "device_code", "device_code", "refresh_token", "refresh_token"]);
    let seen = entra.seen();
    assert_eq!(field(&seen[0], "scope"), "api://orders/.default openid profile offline_access");
    assert_eq!(field(&seen[2], "device_code"), "the-device-code");
    assert_eq!(field(&seen[3], "refresh_token"), "the-refresh-token");
    assert_eq!(field(&seen[4], "scope"), "openid profile offline_access");
    assert!(seen.iter().all(|seen| field(seen, "client_id") == "the-client"));
    let told = told.lock().unwrap();
    let url: Url = "https://microsoft.com/devicelogin".parse().unwrap();
    assert!(
        matches!(&told[..], [Prompt::DeviceCode { url: shown, code, .. }, Prompt::Done { user: Some(user) }]
            if *shown == url && code == "ABCD-EFGH" && user == "jane@acme.example"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_the_session_says_of_the_person() {
    let entra = entra(|_, _| granted("jane")).await;
    let (session, _told, _end) = session(&entra);
    let (subject, proof) = session.prove(&WANT).await.map_err(|miss| miss.into_error("s")).unwrap();
    assert_eq!(
        (subject.source, subject.actor, subject.claims.sub.as_str()),
        ("device-code", Actor::User, "jane")
    );
    let Proof::Session { expires_at, refresh_at: Some(refresh_at), .. } = proof else { panic!("no session") };
    assert_eq!(expires_at.duration_since(refresh_at).unwrap().as_secs(), 1800);
    assert!(expires_at > clock::now());
}

#[tokio::test]
async fn a_session_that_is_revoked_asks_again_and_stays_the_same_persons() {
    for (second, outcome) in [("jane", Ok(())), ("john", Err("somebody else has signed in than before"))] {
        let entra = entra(move |grant, number| match grant {
            "refresh_token" => refused("invalid_grant"),
            _ => granted(if number == 0 { "jane" } else { second }),
        })
        .await;
        let (session, told, _end) = session(&entra);
        token(&session, &WANT).await;
        let again = session.prove(&WANT).await.map(|_| ()).map_err(|miss| miss.into_error("s").what);
        assert_eq!(again, outcome.map_err(str::to_owned));
        assert_eq!(grants(&entra), ["", "device_code", "refresh_token", "", "device_code"]);
        let codes =
            told.lock().unwrap().iter().filter(|told| matches!(told, Prompt::DeviceCode { .. })).count();
        assert_eq!(codes, 2);
    }
}

/// A credential that needs the person, whom nobody finds, must not hold back another one.
#[tokio::test]
async fn what_is_renewed_silently_does_not_wait_for_a_person() {
    let count = AtomicUsize::new(0);
    let entra = entra(move |grant, _| match grant {
        "refresh_token" if count.fetch_add(1, Ordering::Relaxed) == 0 => refused("consent_required"),
        "refresh_token" => granted("jane"),
        _ if count.load(Ordering::Relaxed) > 0 => refused("authorization_pending"),
        _ => granted("jane"),
    })
    .await;
    let (session, _told, _end) = session(&entra);
    token(&session, &WANT).await;
    let waiting = session.prove(&WANT);
    let other = async {
        while grants(&entra).iter().filter(|grant| grant.is_empty()).count() < 2 {
            tokio::task::yield_now().await;
        }
        token(&session, &WANT).await
    };
    tokio::select! {
        _ = waiting => panic!("nobody has consented"),
        token = other => assert_eq!(token, "access-of-jane"),
    }
}

#[tokio::test]
async fn a_fault_that_passes_asks_nobody() {
    let entra = entra(|grant, _| match grant {
        "refresh_token" => Reply::json(503, "<html>"),
        _ => granted("jane"),
    })
    .await;
    let (session, told, _end) = session(&entra);
    token(&session, &WANT).await;
    let error = broken(session.prove(&WANT).await);
    assert_eq!((error.class, told.lock().unwrap().len()), (Class::Unavailable, 2));
}

#[tokio::test]
async fn refusals_in_words() {
    type Case = (fn() -> Reply, Class, &'static str);
    let cases: [Case; 6] = [
        (
            || {
                let id = jwt(&json!({"iss": "i", "sub": "s", "aud": "the-client", "exp": 9_999_999_999_u64}));
                let body =
                    json!({"token_type": "Bearer", "access_token": "x\ny", "expires_in": 9, "id_token": id});
                Reply::json(200, &body.to_string())
            },
            Class::Denied,
            "the sign-in was declined",
        ),
        (|| refused("authorization_declined"), Class::Denied, "the sign-in was declined"),
        (|| refused("expired_token"), Class::TryAgain, "nobody entered the code in time"),
        (
            || {
                Reply::json(
                    401,
                    r#"{"error": "invalid_client", "error_codes": [7000218], "error_description": "AADSTS7000218: the-device-code"}"#,
                )
            },
            Class::Config,
            "az ad app update --id the-client --is-fallback-public-client true",
        ),
        (|| Reply::json(200, r#"{"access_token": "x"}"#), Class::Denied, "the sign-in was declined"),
        (
            || {
                let id = jwt(&json!({"iss": "i", "sub": "s", "aud": "another", "exp": 9_999_999_999_u64}));
                let body =
                    json!({"token_type": "Bearer", "access_token": "x", "expires_in": 1, "id_token": id});
                Reply::json(200, &body.to_string())
            },
            Class::Denied,
            "the sign-in was declined",
        ),
    ];
    let check = |(reply, class, words): Case| async move {
        // What makes no sense is asked for again, and then the person declines.
        let answers =
            move |_: &str, number| if number == 0 { reply() } else { refused("authorization_declined") };
        let entra = entra(answers).await;
        let (session, _told, _end) = session(&entra);
        let error = broken(session.prove(&WANT).await);
        assert_eq!(error.class, class, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    futures_util::future::join_all(cases.map(check)).await;
}

#[tokio::test]
async fn the_end_ends_the_waiting_at_once() {
    let entra = entra(|_, _| refused("authorization_pending")).await;
    let (session, told, end) = session(&entra);
    let asked = async {
        while told.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        end.begin();
    };
    let (proven, ()) = tokio::join!(session.prove(&WANT), asked);
    assert_eq!(broken(proven).what, "nobody has signed in before the end");
    assert_eq!(grants(&entra), [""], "it had not even polled");
}

#[tokio::test]
async fn what_cannot_be_asked_for() {
    let entra = entra(|_, _| panic!("asked")).await;
    let (session, _told, _end) = session(&entra);
    let error = broken(session.prove(&Want { audience: "api://AzureADTokenExchange", scope: None }).await);
    assert_eq!(error.what, "the identity source device-code has no id token for api://AzureADTokenExchange");
    let unset = Error::new(Class::Config, "nothing to sign in to");
    let session = Session { application: Err(unset), ..session };
    assert_eq!(broken(session.prove(&WANT).await).what, "nothing to sign in to");
    assert_eq!(entra.seen().len(), 0);
}

/// What makes no sense at all shows nothing of itself.
#[tokio::test]
async fn nothing_secret_is_in_an_error() {
    let secret = Value::from("the-device-code the-refresh-token");
    let entra = entra(move |_, _| Reply::json(400, &json!({"error": 1, "x": secret}).to_string())).await;
    let (session, _told, _end) = session(&entra);
    let error = broken(session.prove(&WANT).await);
    assert!(error.class == Class::Config && !error.to_string().contains("the-"), "{error}");
}
