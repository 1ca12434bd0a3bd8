use super::*;
use crate::{
    config::{Client, ClientAuth},
    error::{Class, Error},
    exchange::testing::{Identity, Shows, form, identity},
    http::testing::{Reply, Server as Loopback},
    identity::Actor,
};

const GRANTED: &str = r#"{"token_type":"Bearer","expires_in":60,"access_token":"the-token"}"#;
const XML: &str =
    "<saml2:Assertion xmlns:saml2='urn:oasis:names:tc:SAML:2.0:assertion'>~~~???</saml2:Assertion>";

fn exchange(server: &Loopback, identity: &Arc<Identity>) -> SamlBearer {
    let config = config::SamlBearer {
        endpoint: server.url.join("/token").unwrap(),
        client: Client { id: Some("agent".to_owned()), auth: ClientAuth::None },
    };
    SamlBearer::new(&config, Arc::clone(identity) as Arc<dyn IdentitySource>, &server.client())
}

#[tokio::test]
async fn one_post_with_the_assertion_in_base64url() {
    let server = Loopback::start(|_, _| Reply::json(200, GRANTED)).await;
    let person = identity("ada", Shows::Saml(XML));
    let token = exchange(&server, &person).exchange(Some("orders.read orders.write")).await.unwrap();
    assert_eq!(
        (token.token.expose(), token.bearer, token.subject.claims.sub.as_str()),
        ("the-token", true, "ada")
    );
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer".to_owned()),
        ("assertion", URL_SAFE_NO_PAD.encode(XML)),
        ("scope", "orders.read orders.write".to_owned()),
        ("client_id", "agent".to_owned()),
    ];
    assert_eq!(form(&server.seen()[0]), expected.map(|(name, value)| (name.to_owned(), value)));
    let wanted = person.wanted.lock().unwrap();
    assert_eq!(*wanted, [(server.url.join("/token").unwrap().to_string(), None)]);
}

#[tokio::test]
async fn whatever_is_no_assertion_is_refused_before_anything_is_sent() {
    for (shows, gives) in [(Shows::IdToken, "an id token"), (Shows::Session(Actor::User), "an access token")]
    {
        let server = Loopback::start(|_, _| Reply::json(200, GRANTED)).await;
        let error: Error = exchange(&server, &identity("ada", shows)).exchange(None).await.err().unwrap();
        assert_eq!(error.class, Class::Config);
        assert_eq!(error.why.unwrap(), format!("it takes a SAML assertion, and told gives {gives}"));
        assert_eq!(error.fix.unwrap(), "name an identity whose source is saml");
        assert!(server.seen().is_empty());
    }
}

#[test]
fn the_version_is_in_the_first_element() {
    let version = |xml: &str| is_saml_2(&Secret::new(xml.to_owned()));
    for one in [
        "<Assertion xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\">",
        "<?xml version='1.0'?>\n<!-- a comment --><a:Assertion MajorVersion='1' xmlns:a='urn:oasis:names:tc:SAML:1.0:assertion'>",
    ] {
        assert!(!version(one), "{one}");
    }
    for two in [
        XML,
        "<A xmlns='urn:oasis:names:tc:SAML:2.0:assertion'><x>urn:oasis:names:tc:SAML:1.0:assertion</x></A>",
        "",
        "<",
    ] {
        assert!(version(two), "{two}");
    }
}
