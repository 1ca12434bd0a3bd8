use super::*;
use crate::{
    http::testing::{Reply, Server},
    identity::testing::{jwt, lookup, person},
};
use serde_json::json;
use std::{collections::HashMap, sync::Arc};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream};

/// The parameters of the page that the person is to open.
fn parameters(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

/// What a browser does once the person has signed in: it goes where it is sent, with `query` and the state.
async fn go_back(url: &Url, query: &str) -> String {
    let asked = parameters(url);
    let port = Url::parse(&asked["redirect_uri"]).unwrap().port().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let state = &asked["state"];
    stream
        .write_all(format!("GET /?{query}&state={state} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// One sign-in; the page that is told of is answered with `query`. The token endpoint's id token has the nonce that
/// `nonce` makes of the page's.
async fn sign_in(query: &'static str, nonce: fn(&str) -> String) -> (Result<Tokens>, Server, Url) {
    let told: Arc<std::sync::Mutex<Option<Url>>> = Arc::default();
    let (page, shown) = (Arc::clone(&told), Arc::clone(&told));
    let entra = Server::start(move |_, _| {
        let asked = parameters(page.lock().unwrap().as_ref().unwrap());
        let id = json!({
            "iss": "i", "sub": "s", "aud": "the-client", "exp": 9_999_999_999_u64, "nonce": nonce(&asked["nonce"]),
        });
        let body = json!({
            "token_type": "Bearer", "access_token": "access", "expires_in": 60, "id_token": jwt(&id),
        });
        Reply::json(200, &body.to_string())
    })
    .await;
    let application = Application::new(
        "the-client".to_owned(),
        "contoso.com".to_owned(),
        entra.url.clone(),
        entra.client(),
    );
    let (person, _end) = Person::new(Arc::new(move |prompt| {
        let Prompt::Browser { url, opened: false } = prompt else { panic!("{prompt:?}") };
        *shown.lock().unwrap() = Some(url.clone());
        let url = url.clone();
        tokio::spawn(async move { go_back(&url, query).await });
    }));
    let tokens = Browser::new(lookup(&[])).sign_in(&application, "api://x/.default openid", &person).await;
    let url = told.lock().unwrap().clone().unwrap();
    (tokens, entra, url)
}

#[tokio::test]
async fn the_code_is_redeemed_with_the_verifier_of_its_challenge() {
    let (tokens, entra, url) = sign_in("code=the-code", str::to_owned).await;
    assert_eq!(tokens.unwrap_or_else(|error| panic!("{error}")).access.expose(), "access");
    let asked = parameters(&url);
    let expected = [
        ("client_id", "the-client"),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("scope", "api://x/.default openid"),
        ("code_challenge_method", "S256"),
    ];
    assert!(expected.iter().all(|(name, value)| asked[*name] == *value), "{asked:?}");
    assert_eq!(url.path(), "/contoso.com/oauth2/v2.0/authorize");
    let body = &entra.seen()[0].body;
    let sent: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!(
        (&*sent["grant_type"], &*sent["code"], &sent["redirect_uri"]),
        ("authorization_code", "the-code", &asked["redirect_uri"])
    );
    let verifier = &sent["code_verifier"];
    assert_eq!(verifier.len(), 43);
    assert_eq!(asked["code_challenge"], URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())));
    assert!(!url.as_str().contains(verifier.as_str()));
}

#[tokio::test]
async fn refusals_and_tokens_of_another_sign_in() {
    let (tokens, entra, _) =
        sign_in("error=access_denied&error_description=AADSTS65004%3A+declined", str::to_owned).await;
    let error = tokens.err().expect("no tokens");
    assert_eq!((error.class, entra.seen().len()), (Class::Denied, 0));
    assert!(error.why.unwrap().contains("AADSTS65004"));
    let (tokens, ..) = sign_in("code=the-code", |_| "another".to_owned()).await;
    assert!(tokens.err().unwrap().why.unwrap().starts_with("its id token is of another sign-in"));
}

#[tokio::test]
async fn nobody_comes_and_no_window_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    crate::identity::testing::stand_in(folder.path(), "browser", "exit 0");
    let program = folder.path().join("browser");
    let browser = Browser {
        patience: Duration::from_millis(1),
        ..Browser::new(lookup(&[("BROWSER", program.to_str().unwrap())]))
    };
    let entra = Server::start(|_, _| Reply::Nothing).await;
    let application = Application::new(
        "the-client".to_owned(),
        "contoso.com".to_owned(),
        entra.url.clone(),
        entra.client(),
    );
    let (person, told, _end) = person();
    for _ in 0..2 {
        let error = browser.sign_in(&application, "openid", &person).await.err().unwrap();
        assert_eq!(error.class, Class::TryAgain);
    }
    let opened = |prompt: &Prompt| matches!(prompt, Prompt::Browser { opened: true, .. });
    assert_eq!(told.lock().unwrap().iter().map(opened).collect::<Vec<_>>(), [true, false]);
}
