//! The token endpoint's refusals, one by one, and its token; `person` and `exchange` have the grants of people.

mod exchange;
mod person;

use super::*;
use crate::emulator::{
    issuer::{ENTRA_AUDIENCE, subject},
    jwt, saml,
    testing::request,
    trust::{TrustedIssuer, tests::Shelf},
};
use serde_json::{Value, json};
use std::time::Duration;

const ISSUER: &str = "https://issuer.example";
const NOW: u64 = 1_795_478_400;

struct Stage {
    entra: Entra,
    issuer: SigningKey,
    ad_fs: saml::Issuer,
}

fn stage() -> Stage {
    let issuer = SigningKey::generate().unwrap();
    let world = World { access_token_life: Some(Duration::from_secs(90)), ..World::default() };
    let credentials = vec![TrustedIssuer { url: ISSUER.to_owned(), subject: Some(subject()) }];
    let trust = Trust::new(credentials, Box::new(Shelf::with(ISSUER, &issuer)));
    let [keys, saml_keys] = [(); 2].map(|()| SigningKey::generate().unwrap());
    let ad_fs = saml::Issuer::new("http://adfs.example/", saml_keys);
    let entra = Entra::new(Arc::new(world), Arc::new(keys), trust, vec![ad_fs.federation()]);
    Stage { entra, issuer, ad_fs }
}

impl Stage {
    fn assertion(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims =
            json!({"iss": ISSUER, "sub": subject(), "aud": [ENTRA_AUDIENCE], "iat": NOW, "exp": NOW + 60});
        change(&mut claims);
        self.issuer.sign(&claims).unwrap()
    }

    fn form(assertion: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", World::default().client_id),
            ("scope", "https://management.azure.com/.default".to_owned()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", assertion.to_owned()),
            ("client_info", "1".to_owned()),
        ]
    }

    async fn post(&self, tenant: &str, form: &[(&str, String)]) -> (u16, Value) {
        let request = posted(&format!("/{tenant}/oauth2/v2.0/token?client-request-id=my-id"), form);
        assert_eq!(self.entra.operation(&request), Some("Entra_Token"));
        let answer = self.entra.token(tenant, &request, clock::from_unix(NOW)).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    /// The status and code that a changed form gets.
    async fn refused(&self, change: impl FnOnce(&mut Vec<(&'static str, String)>)) -> (u16, u64) {
        let mut form = Self::form(&self.assertion(|_| {}));
        change(&mut form);
        let (status, body) = self.post(&World::default().tenant_id, &form).await;
        assert_eq!(body["correlation_id"], "my-id");
        (status, body["error_codes"][0].as_u64().unwrap_or_else(|| panic!("{body}")))
    }

    /// The status and code that changed claims get.
    async fn distrusted(&self, change: impl FnOnce(&mut Value)) -> (u16, u64) {
        let assertion = self.assertion(change);
        self.refused(|form| form[4].1 = assertion).await
    }
}

/// A form as a browser or client posts it.
fn posted<V: AsRef<str>>(target: &str, form: &[(&str, V)]) -> Request {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    request("POST", target)
        .with_header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .with_body(body)
}

#[tokio::test]
async fn a_good_assertion_gets_a_token_for_the_resource() {
    let stage = stage();
    for (scope, audience, roles) in [
        ("https://management.azure.com/.default", "https://management.azure.com", Value::Null),
        ("https://management.azure.com//.default", "https://management.azure.com", Value::Null),
        ("api://echo/.default", "api://echo", json!(["Echo.Call"])),
    ] {
        let mut form = Stage::form(&stage.assertion(|_| {}));
        form[2].1 = scope.to_owned();
        let (status, body) = stage.post(&World::default().tenant_id.to_uppercase(), &form).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(90)));
        let token = body["access_token"].as_str().unwrap();
        let claims = jwt::verify(token, stage.entra.keys.jwks()).unwrap().claims;
        assert_eq!((&claims["aud"], &claims["roles"]), (&json!(audience), &roles));
        assert_eq!(claims["iss"], json!(format!("https://sts.windows.net/{}/", World::default().tenant_id)));
        assert_eq!((&claims["exp"], &claims["appidacr"]), (&json!(NOW + 90), &json!("2")));
    }
}

#[tokio::test]
async fn each_flaw_of_the_form_has_its_code() {
    let stage = stage();
    assert_eq!(stage.refused(Vec::clear).await, (400, 900_144));
    assert_eq!(stage.refused(|form| form[0].1 = "password".to_owned()).await, (400, 70_003));
    assert_eq!(stage.refused(|form| form.truncate(3)).await, (401, 7_000_216));
    assert_eq!(stage.refused(|form| form[3].1 = "urn:other".to_owned()).await, (401, 7_000_216));
    assert_eq!(stage.refused(|form| drop(form.remove(1))).await, (400, 900_144));
    assert_eq!(stage.refused(|form| form[1].1 = "someone".to_owned()).await, (400, 700_016));
    assert_eq!(stage.refused(|form| drop(form.remove(2))).await, (400, 900_144));
    assert_eq!(stage.refused(|form| form[2].1 = "api://echo".to_owned()).await, (400, 1_002_012));
    assert_eq!(stage.refused(|form| form[2].1 = "/.default".to_owned()).await, (400, 1_002_012));
    assert_eq!(stage.refused(|form| form[2].1.push_str(" openid")).await, (400, 70_011));
    assert_eq!(stage.refused(|form| form[2].1 = "api://other/.default".to_owned()).await, (400, 500_011));
    for twice in ["scope", "client_info", "unheard_of"] {
        let form = |form: &mut Vec<(&'static str, String)>| {
            form[0].1 = "password".to_owned();
            form.extend([("unheard_of", "1".to_owned()), (twice, "2".to_owned())]);
        };
        assert_eq!(stage.refused(form).await, (400, 9_000_411), "{twice}, before the grant is looked at");
    }
    let secret = |form: &mut Vec<(&str, String)>| {
        form.truncate(3);
        form.push(("client_secret", "guess".to_owned()));
    };
    assert_eq!(stage.refused(secret).await, (401, 7_000_215));
    let (status, body) = stage.post("contoso.example", &Stage::form("x.y.z")).await;
    assert_eq!((status, &body["error_codes"][0]), (400, &json!(90_002)));
}

#[tokio::test]
async fn each_flaw_of_the_assertion_has_its_code() {
    let stage = stage();
    assert_eq!(stage.refused(|form| form[4].1 = "not a token".to_owned()).await, (400, 50_027));
    assert_eq!(stage.distrusted(|claims| claims["sub"] = Value::Null).await, (400, 50_027));
    assert_eq!(stage.distrusted(|claims| claims["exp"] = json!("soon")).await, (400, 50_027));
    assert_eq!(
        stage.distrusted(|claims| claims["iss"] = json!("https://issuer.example/")).await,
        (401, 700_211)
    );
    assert_eq!(stage.distrusted(|claims| claims["sub"] = json!("org:x")).await, (401, 700_213));
    assert_eq!(
        stage.distrusted(|claims| claims["sub"] = json!(subject().to_uppercase())).await,
        (401, 7_002_138)
    );
    assert_eq!(stage.distrusted(|claims| claims["aud"] = json!("api://other")).await, (401, 700_212));
    assert_eq!(stage.distrusted(|claims| claims["exp"] = json!(NOW)).await, (401, 700_024));
    assert_eq!(stage.distrusted(|claims| claims["nbf"] = json!(NOW + 1)).await, (401, 700_024));
    for time in ["nbf", "iat", "exp"] {
        for far in [NOW * 1000, clock::LATEST + 1, u64::MAX] {
            let refused = stage.distrusted(|claims| claims[time] = json!(far)).await;
            assert_eq!(refused, (400, 50_027), "{time} {far}");
        }
    }
    let latest = stage.distrusted(|claims| claims["nbf"] = json!(clock::LATEST)).await;
    assert_eq!(latest, (401, 700_024), "the last time that can be told");

    let stranger = SigningKey::generate().unwrap();
    let foreign = stranger.sign(&jwt::peek(&stage.assertion(|_| {})).unwrap().claims).unwrap();
    assert_eq!(stage.refused(|form| form[4].1 = foreign).await, (401, 7_000_272));
}

#[tokio::test]
async fn a_changed_claim_breaks_the_signature() {
    let stage = stage();
    let (one, other) = (stage.assertion(|_| {}), stage.assertion(|claims| claims["exp"] = json!(NOW + 3600)));
    let signature = one.rsplit('.').next().unwrap();
    let forged = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    assert_eq!(stage.refused(|form| form[4].1 = forged).await, (401, 700_027));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_said_to() {
    let mut stage = stage();
    stage.entra.trust.credentials =
        vec![TrustedIssuer { url: "https://gone.example".to_owned(), subject: None }];
    assert_eq!(
        stage.distrusted(|claims| claims["iss"] = json!("https://gone.example")).await,
        (400, 501_661)
    );
}

#[tokio::test]
async fn discovery_speaks_of_the_host_that_was_asked() {
    let entra = stage().entra;
    let ask = |target: String| {
        let mut request = request("GET", &target);
        request.host = "login.microsoftonline.com".to_owned();
        request
    };
    let tenant = World::default().tenant_id;
    let known = ask(format!("/{tenant}/v2.0/.well-known/openid-configuration"));
    let answer = entra.answer("Entra_Discovery", &known).await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["issuer"], json!(format!("https://login.microsoftonline.com/{tenant}/v2.0")));
    assert_eq!(
        body["token_endpoint"],
        json!(format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"))
    );
    let unknown = ask("/contoso.example/v2.0/.well-known/openid-configuration".to_owned());
    assert_eq!(entra.answer("Entra_Discovery", &unknown).await.status, 400);

    for (authority, status) in
        [("login.windows.net", 200), ("127.0.0.1:8443", 200), ("login.evil.example", 400), ("", 400)]
    {
        let endpoint = format!("https://{authority}/{tenant}/oauth2/v2.0/authorize");
        let target = format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}");
        let answer = entra.answer("Entra_InstanceDiscovery", &ask(target)).await;
        assert_eq!(answer.status, status, "{authority}");
    }
}
