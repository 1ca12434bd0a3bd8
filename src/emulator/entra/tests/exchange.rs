//! What becomes a person's token without a browser: another token of theirs, an assertion about them.

use super::{
    person::{Pairs, SCOPE, code_of, pairs, set, tenant},
    *,
};
use base64::{
    Engine as _,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};

#[tokio::test]
async fn an_api_acts_on_behalf_of_the_person_who_called_it() {
    let stage = stage();
    let own = format!("openid api://{}/access_as_user", World::default().client_id);
    let body = stage.user_token(&own).await;
    let form = |assertion: &str| {
        stage.proven(pairs(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("requested_token_use", "on_behalf_of"),
            ("assertion", assertion),
            ("scope", "https://vault.azure.net/.default"),
        ]))
    };
    let token = body["access_token"].as_str().unwrap();
    let (status, answer) = stage.token_at(&form(token), NOW).await;
    assert_eq!(status, 200, "{answer}");
    let claims = stage.claims(&answer["access_token"]);
    assert_eq!((&claims["aud"], &claims["idtyp"]), (&json!("https://vault.azure.net"), &json!("user")));
    assert_eq!((&claims["upn"], &claims["appidacr"]), (&json!("jane@acme.example"), &json!("2")));

    let refused = async |form: Pairs<'static>| stage.refused_person(&form).await;
    let id_token = body["id_token"].as_str().unwrap();
    assert_eq!(refused(form(id_token)).await, (400, "invalid_request".to_owned(), 240_002));
    let arm = stage.user_token("https://management.azure.com/.default").await;
    let arm = arm["access_token"].as_str().unwrap();
    assert_eq!(refused(form(arm)).await, (400, "invalid_grant".to_owned(), 500_131));
    assert_eq!(refused(form("x.y.z")).await.2, 50_027);
    let forged = stage.issuer.sign(&stage.claims(&json!(token))).unwrap();
    assert_eq!(refused(form(&forged)).await, (400, "invalid_grant".to_owned(), 50_013));
    let late = stage
        .token_at(
            &set(
                form(token),
                "client_assertion",
                &stage.assertion(|claims| claims["exp"] = json!(NOW + 900)),
            ),
            NOW + 90,
        )
        .await;
    assert_eq!(code_of(&late), 500_133);

    let mut app = Stage::form(&stage.assertion(|_| {}));
    app[2].1 = format!("api://{}/.default", World::default().client_id);
    let (_, app) = stage.post(&tenant(), &app).await;
    let of_app = refused(form(app["access_token"].as_str().unwrap())).await;
    assert_eq!(of_app, (400, "invalid_grant".to_owned(), 7_000_114));

    let mut public = form(token);
    public.retain(|(name, _)| !name.starts_with("client_assertion"));
    assert_eq!(refused(public).await, (401, "invalid_client".to_owned(), 7_000_218));
    assert_eq!(refused(set(form(token), "requested_token_use", "")).await.2, 900_144);
    assert_eq!(refused(set(form(token), "requested_token_use", "other")).await.2, 9_002_313);
    assert_eq!(refused(set(form(token), "assertion", "")).await.2, 900_144);
    assert_eq!(refused(set(form(token), "client_assertion", &forged)).await.2, 700_211);
}

#[tokio::test]
async fn a_saml_assertion_of_the_federated_ad_fs_becomes_a_persons_token() {
    let stage = stage();
    let statement = |upn: &'static str| saml::Statement {
        name_id: upn,
        attributes: &[],
        audience: SAML_AUDIENCE,
        recipient: SAML_RECIPIENT,
        life: Duration::from_mins(1),
    };
    let issue =
        |statement: &saml::Statement<'_>| stage.ad_fs.issue(statement, clock::from_unix(NOW)).unwrap();
    let form = |assertion: &str| {
        pairs(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"),
            ("assertion", assertion),
            ("scope", SCOPE),
        ])
    };
    let encoded = |xml: &str| URL_SAFE_NO_PAD.encode(xml);
    let good = issue(&statement("jane@acme.example"));
    let padded = URL_SAFE.encode(&good);
    for assertion in [encoded(&good), padded] {
        let (status, body) = stage.token_at(&form(&assertion), NOW).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(stage.claims(&body["access_token"])["upn"], "jane@acme.example");
    }
    assert_eq!(stage.token_at(&stage.proven(form(&encoded(&good))), NOW).await.0, 200);

    let refused = async |assertion: String| stage.refused_person(&form(&assertion)).await;
    assert_eq!(refused("%%%".to_owned()).await, (400, "invalid_request".to_owned(), 50_008));
    assert_eq!(refused(encoded("<Response/>")).await.2, 50_008);
    assert_eq!(refused(String::new()).await.2, 900_144);
    let forged = good.replace("jane@", "joan@");
    assert_eq!(refused(encoded(&forged)).await, (400, "invalid_grant".to_owned(), 50_006));
    let nobody = issue(&statement("joan@acme.example"));
    assert_eq!(refused(encoded(&nobody)).await, (400, "invalid_grant".to_owned(), 51_004));
    let other = issue(&saml::Statement { audience: "urn:other", ..statement("jane@acme.example") });
    assert_eq!(refused(encoded(&other)).await, (400, "invalid_grant".to_owned(), 500_089));
    let late = stage.token_at(&form(&encoded(&good)), NOW + 60).await;
    assert_eq!(code_of(&late), 500_089);
    // What Entra itself issues to SAML applications comes from here.
    let own =
        saml::Issuer::new(&format!("https://sts.windows.net/{}/", tenant()), SigningKey::generate().unwrap());
    let own = own.issue(&statement("jane@acme.example"), clock::from_unix(NOW)).unwrap();
    let (status, body) = stage.token_at(&form(&encoded(&own)), NOW).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let told = body["error_description"].as_str().unwrap();
    assert!(
        told.starts_with("AADSTS50107: The requested federation realm object 'https://sts.windows.net/"),
        "{told}"
    );
    let secret = set(form(&encoded(&good)), "client_secret", "guess");
    assert_eq!(stage.refused_person(&secret).await.2, 7_000_215);
}
