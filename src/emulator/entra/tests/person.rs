//! The grants in which a person takes part, through the service as a client and a browser see it.

use super::*;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::collections::HashMap;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const DESKTOP: &str = "http://localhost:5000";
const WEB: &str = "https://workspace.acme.example/signin";
pub(super) const SCOPE: &str = "openid offline_access api://echo/Echo.Read";

pub(super) type Pairs<'a> = Vec<(&'a str, String)>;

pub(super) fn tenant() -> String {
    World::default().tenant_id
}

pub(super) fn pairs<'a>(list: &[(&'a str, &str)]) -> Pairs<'a> {
    let mut pairs: Pairs<'_> = list.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    pairs.push(("client_id", World::default().client_id));
    pairs
}

/// Puts a parameter in, in place of the one there was.
pub(super) fn set<'a>(mut pairs: Pairs<'a>, name: &'a str, value: &str) -> Pairs<'a> {
    pairs.retain(|(known, _)| *known != name);
    pairs.push((name, value.to_owned()));
    pairs
}

pub(super) fn code_of(answer: &(u16, Value)) -> u64 {
    answer.1["error_codes"][0].as_u64().unwrap_or(0)
}

impl Stage {
    pub(super) async fn token_at(&self, form: &Pairs<'_>, at: u64) -> (u16, Value) {
        let request = posted(&format!("/{}/oauth2/v2.0/token", tenant()), form);
        let answer = self.entra.token(&tenant(), &request, clock::from_unix(at)).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    pub(super) async fn refused_person(&self, form: &Pairs<'_>) -> (u16, String, u64) {
        let answer = self.token_at(form, NOW).await;
        (answer.0, answer.1["error"].as_str().unwrap_or_default().to_owned(), code_of(&answer))
    }

    /// With a client assertion.
    pub(super) fn proven<'a>(&self, form: Pairs<'a>) -> Pairs<'a> {
        let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = set(form, "client_assertion_type", assertion_type);
        set(form, "client_assertion", &self.assertion(|_| {}))
    }

    fn authorize(&self, query: &Pairs<'_>) -> Response {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = request("GET", &format!("/{}/oauth2/v2.0/authorize?{query}", tenant()));
        assert_eq!(self.entra.operation(&request), Some("Entra_Authorize"));
        authorize::answer(&self.entra, &tenant(), &request, clock::from_unix(NOW))
    }

    /// A new code for a good request, changed.
    fn code(&self, change: impl FnOnce(Pairs<'static>) -> Pairs<'static>) -> String {
        let answer = self.authorize(&change(good()));
        location(&answer).remove("code").unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// The claims of a token that Entra signed.
    pub(super) fn claims(&self, token: &Value) -> Value {
        jwt::verify(token.as_str().unwrap(), self.entra.keys.jwks()).unwrap().claims
    }

    pub(super) async fn user_token(&self, scope: &str) -> Value {
        let code = self.code(|query| set(query, "scope", scope));
        let (status, body) = self.token_at(&redemption(&code), NOW).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

/// A good request of a public client.
fn good() -> Pairs<'static> {
    pairs(&[
        ("response_type", "code"),
        ("redirect_uri", DESKTOP),
        ("scope", SCOPE),
        ("state", "a state&"),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ])
}

fn redemption(code: &str) -> Pairs<'static> {
    pairs(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", DESKTOP),
        ("code_verifier", VERIFIER),
    ])
}

/// What a redirect carries.
fn location(answer: &Response) -> HashMap<String, String> {
    let target = answer.headers.iter().find(|(name, _)| name == "Location").map(|(_, value)| value);
    let target = url::Url::parse(target.unwrap_or_else(|| panic!("{answer:?}"))).unwrap();
    assert_eq!(answer.status, 302);
    let carried = target.query().or(target.fragment()).unwrap_or_default();
    url::form_urlencoded::parse(carried.as_bytes()).into_owned().collect()
}

fn html(answer: &Response) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_person_who_is_signed_in_comes_back_with_a_code_that_gives_tokens_once() {
    let stage = stage();
    let answer = stage.authorize(&good());
    let carried = location(&answer);
    assert_eq!(carried["state"], "a state&");
    let form = redemption(&carried["code"]);
    let (status, body) = stage.token_at(&set(form.clone(), "client_info", "1"), NOW).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["scope"], "api://echo/Echo.Read");
    assert!(body["refresh_token"].is_string());

    let (user, claims) = (World::default().sign_in.user, stage.claims(&body["access_token"]));
    assert_eq!((&claims["aud"], &claims["scp"]), (&json!("api://echo"), &json!("Echo.Read")));
    assert_eq!(
        (&claims["idtyp"], &claims["upn"], &claims["oid"]),
        (&json!("user"), &json!(user.upn), &json!(user.object_id))
    );
    assert_eq!((&claims["appidacr"], &claims["roles"]), (&json!("0"), &Value::Null));
    let id = stage.claims(&body["id_token"]);
    assert_eq!((&id["aud"], &id["nonce"]), (&json!(World::default().client_id), &json!("n")));
    assert_eq!((&id["preferred_username"], &id["tid"]), (&json!(user.upn), &json!(tenant())));
    assert_eq!(id["iss"], json!(format!("https://127.0.0.1:1/{}/v2.0", tenant())));
    let info = URL_SAFE_NO_PAD.decode(body["client_info"].as_str().unwrap()).unwrap();
    let info: Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info, json!({"uid": user.object_id, "utid": tenant()}));

    let again = stage.refused_person(&form).await;
    assert_eq!(again, (400, "invalid_grant".to_owned(), 54_005));
}

#[tokio::test]
async fn without_the_scopes_for_them_there_is_no_other_token() {
    let stage = stage();
    let body = stage.user_token("https://management.azure.com/.default").await;
    assert_eq!((&body["id_token"], &body["refresh_token"]), (&Value::Null, &Value::Null));
    assert_eq!(stage.claims(&body["access_token"])["scp"], "user_impersonation");
}

#[tokio::test]
async fn each_flaw_of_a_redemption_has_its_code() {
    let stage = stage();
    let redeem = async |change: fn(Pairs<'static>) -> Pairs<'static>| {
        let (_, error, code) = stage.refused_person(&change(redemption(&stage.code(|query| query)))).await;
        (error, code)
    };
    let is = |error: &str, code: u64| (error.to_owned(), code);
    assert_eq!(redeem(|form| set(form, "code", "guess")).await, is("invalid_grant", 9_002_313));
    assert_eq!(redeem(|form| set(form, "code", "")).await, is("invalid_request", 900_144));
    assert_eq!(redeem(|form| set(form, "redirect_uri", "")).await, is("invalid_request", 900_144));
    assert_eq!(
        redeem(|form| set(form, "redirect_uri", "http://localhost:5001")).await,
        is("invalid_client", 500_112)
    );
    assert_eq!(redeem(|form| set(form, "code_verifier", "guess")).await, is("invalid_grant", 501_481));
    assert_eq!(redeem(|form| set(form, "client_id", "other")).await, is("unauthorized_client", 700_016));
    assert_eq!(redeem(|form| set(form, "client_secret", "x")).await, is("invalid_client", 700_025));
    assert_eq!(
        redeem(|form| set(form, "scope", "https://vault.azure.net/.default")).await,
        is("invalid_grant", 70_000)
    );

    let late = stage.token_at(&redemption(&stage.code(|query| query)), NOW + 600).await;
    assert_eq!(code_of(&late), 70_008);
    let elsewhere = posted("/contoso.example/oauth2/v2.0/token", &redemption("x"));
    let answer = stage.entra.token("contoso.example", &elsewhere, clock::from_unix(NOW)).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_web_client_proves_itself_and_needs_no_challenge() {
    let stage = stage();
    let code = || {
        stage.code(|mut query| {
            query.retain(|(name, _)| !name.starts_with("code_challenge"));
            set(query, "redirect_uri", WEB)
        })
    };
    let mut form = set(redemption(&code()), "redirect_uri", WEB);
    form.retain(|(name, _)| *name != "code_verifier");
    assert_eq!(stage.refused_person(&form).await, (401, "invalid_client".to_owned(), 7_000_218));
    let secret = set(form.clone(), "client_secret", "guess");
    assert_eq!(stage.refused_person(&secret).await.2, 7_000_215);
    let (status, body) = stage.token_at(&stage.proven(form), NOW).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(stage.claims(&body["access_token"])["appidacr"], "2");

    let refresh =
        pairs(&[("grant_type", "refresh_token"), ("refresh_token", body["refresh_token"].as_str().unwrap())]);
    assert_eq!(stage.refused_person(&refresh).await.2, 7_000_218, "bound to the client");
    assert_eq!(stage.token_at(&stage.proven(refresh), NOW).await.0, 200);
}

#[tokio::test]
async fn a_refresh_token_gives_new_ones_for_any_resource_until_it_has_lain_too_long() {
    let stage = stage();
    let first = stage.user_token(SCOPE).await;
    let form = |body: &Value| {
        pairs(&[("grant_type", "refresh_token"), ("refresh_token", body["refresh_token"].as_str().unwrap())])
    };
    let (status, second) = stage.token_at(&form(&first), NOW).await;
    assert_eq!((status, &second["scope"]), (200, &first["scope"]));
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(stage.claims(&second["id_token"])["nonce"], Value::Null);

    let vault = set(form(&second), "scope", "https://vault.azure.net/.default");
    let (status, third) = stage.token_at(&vault, NOW).await;
    assert_eq!(status, 200, "{third}");
    assert_eq!(stage.claims(&third["access_token"])["aud"], "https://vault.azure.net");
    assert!(third["refresh_token"].is_string(), "without being asked for again");

    let days = 90 * 24 * 3600;
    assert_eq!(stage.token_at(&form(&first), NOW + days - 1).await.0, 200, "the old one stays good");
    let late = stage.token_at(&form(&first), NOW + days).await;
    assert_eq!((late.0, &late.1["error"], code_of(&late)), (400, &json!("invalid_grant"), 700_082));
    let told = late.1["error_description"].as_str().unwrap();
    assert!(told.contains("2026-11-24T00:00:00.0000000Z and was inactive for 90.00:00:00."), "{told}");

    let unknown = pairs(&[("grant_type", "refresh_token"), ("refresh_token", "guess")]);
    assert_eq!(stage.refused_person(&unknown).await, (400, "invalid_grant".to_owned(), 9_002_313));
    let missing = pairs(&[("grant_type", "refresh_token")]);
    assert_eq!(stage.refused_person(&missing).await.2, 900_144);
    assert_eq!(stage.refused_person(&stage.proven(form(&first))).await.2, 700_025);
}

#[tokio::test]
async fn a_page_asks_where_the_client_wants_one() {
    let stage = stage();
    let ask = || {
        let page = html(&stage.authorize(&set(good(), "prompt", "select_account")));
        let ticket = page.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(page.contains("jane@acme.example") && page.contains("api://echo/Echo.Read"), "{page}");
        ticket.to_owned()
    };
    let decide = |ticket: &str, decision: &str, at: u64| {
        let request =
            posted(&format!("/{}/Consent/Set", tenant()), &[("ticket", ticket), ("decision", decision)]);
        assert_eq!(stage.entra.operation(&request), Some("Entra_Consent"));
        authorize::decide(&stage.entra, &request, clock::from_unix(at))
    };
    let ticket = ask();
    let carried = location(&decide(&ticket, "approve", NOW));
    assert_eq!(stage.token_at(&redemption(&carried["code"]), NOW).await.0, 200);
    let again = decide(&ticket, "approve", NOW);
    assert!(again.status == 400 && html(&again).contains("AADSTS165000"));

    let declined = location(&decide(&ask(), "decline", NOW));
    assert_eq!((declined["error"].as_str(), declined["state"].as_str()), ("access_denied", "a state&"));
    assert!(declined["error_description"].starts_with("AADSTS65004: "));
    assert!(!declined.contains_key("code"));

    assert_eq!(decide(&ask(), "perhaps", NOW).status, 400);
    assert_eq!(decide("guess", "approve", NOW).status, 400);
    assert_eq!(decide(&ask(), "approve", NOW + 600).status, 400, "too late");
}

#[tokio::test]
async fn a_device_gets_tokens_after_the_person_typed_its_code() {
    let stage = stage();
    let start = |form: &Pairs<'_>| {
        let request = posted(&format!("/{}/oauth2/v2.0/devicecode", tenant()), form);
        assert_eq!(stage.entra.operation(&request), Some("Entra_DeviceCode"));
        let answer = stage.entra.device_code(&tenant(), &request, clock::from_unix(NOW));
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap())
    };
    let decide = |code: &str, decision: &str, at: u64| {
        let path = format!("/{}/oauth2/deviceauth", tenant());
        let request = posted(&path, &[("otc", code), ("decision", decision)]);
        assert_eq!(stage.entra.operation(&request), Some("Entra_DeviceDecision"));
        let answer = device::decide(&stage.entra, &request, clock::from_unix(at));
        (answer.status, html(&answer))
    };
    let poll = async |started: &Value, at: u64| {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let form = pairs(&[("grant_type", grant), ("device_code", started["device_code"].as_str().unwrap())]);
        stage.token_at(&form, at).await
    };

    let (status, started) = start(&pairs(&[("scope", SCOPE)]));
    assert_eq!((status, &started["expires_in"], &started["interval"]), (200, &json!(900), &json!(5)));
    let page = started["verification_uri"].as_str().unwrap();
    assert_eq!(page, format!("https://127.0.0.1:1/{}/oauth2/deviceauth", tenant()));
    let code = started["user_code"].as_str().unwrap();
    assert!(started["message"].as_str().unwrap().contains(code));

    let waiting = poll(&started, NOW).await;
    assert_eq!(
        (waiting.0, &waiting.1["error"], code_of(&waiting)),
        (400, &json!("authorization_pending"), 70_016)
    );
    let hasty = poll(&started, NOW + 1).await;
    assert_eq!((hasty.0, &hasty.1["error"]), (400, &json!("slow_down")));
    let typed = format!(" {} {} ", code[..4].to_lowercase(), &code[4..]);
    assert_eq!(decide(&typed, "approve", NOW + 2).0, 200);
    let (status, body) = poll(&started, NOW + 3).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(stage.claims(&body["access_token"])["idtyp"], "user");
    assert!(body["id_token"].is_string() && body["refresh_token"].is_string());
    let again = poll(&started, NOW + 20).await;
    assert_eq!((&again.1["error"], code_of(&again)), (&json!("bad_verification_code"), 70_018));

    let (_, declined) = start(&pairs(&[("scope", SCOPE)]));
    assert_eq!(decide(declined["user_code"].as_str().unwrap(), "decline", NOW).0, 200);
    assert_eq!(poll(&declined, NOW).await.1["error"], "authorization_declined");

    let (_, late) = start(&pairs(&[("scope", SCOPE)]));
    let (status, page) = decide(late["user_code"].as_str().unwrap(), "approve", NOW + 900);
    assert!(status == 400 && page.contains("AADSTS70019"), "{page}");
    let answer = poll(&late, NOW + 900).await;
    assert_eq!((&answer.1["error"], code_of(&answer)), (&json!("expired_token"), 70_020));

    assert!(decide("WRONG", "approve", NOW).1.contains("AADSTS70018"));
    assert_eq!(poll(&json!({"device_code": "guess"}), NOW).await.1["error"], "bad_verification_code");
    assert_eq!(start(&pairs(&[])).1["error_codes"], json!([900_144]));
    assert_eq!(start(&set(pairs(&[("scope", SCOPE)]), "client_id", "x")).1["error_codes"], json!([700_016]));
    assert_eq!(start(&pairs(&[("scope", "api://other/x")])).1["error_codes"], json!([500_011]));
}
