//! What Entra refuses for good. Where the emulator can be brought to refuse it for real, it is.

use super::{
    KEY, refused,
    support::{
        scene::{Scene, Settings},
        token::plausible,
    },
};
use serde_json::json;

const OTHER: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

#[test]
fn a_configuration_that_entra_does_not_know() {
    let scene = Scene::new(&[], KEY);
    let (tenant, client) = (scene.emulator.get("tenant_id"), scene.emulator.get("client_id"));
    let cases: [(&str, Settings<'_>, i32, &[&str]); 4] = [
        ("tenant", &[("entra.tenant_id", OTHER)], 78, &["AADSTS90002", OTHER, "check entra.tenant_id"]),
        (
            "client",
            &[("entra.client_id", OTHER)],
            78,
            &["AADSTS700016", OTHER, "check entra.client_id", tenant],
        ),
        (
            "audience",
            &[("identity.audience", "api://mine")],
            77,
            &["AADSTS700212", "audience \"api://mine\"", "az ad app federated-credential create", client],
        ),
        (
            "scope",
            &[("credentials.key.kind", "access-token"), ("credentials.key.scope", "api://nobody/.default")],
            78,
            &["AADSTS500011", "api://nobody", "enterprise application"],
        ),
    ];
    for (name, settings, code, words) in cases {
        let text = refused(&scene, name, settings, code, words);
        assert!(text.contains("trace id ") && text.contains("correlation id "), "{name}: {text}");
    }
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 0);
}

#[test]
fn an_assertion_that_entra_does_not_trust() {
    let issuer = "http://127.0.0.1:1";
    let scene = Scene::new(&["--trust-issuer", issuer], KEY);
    let known = scene.emulator.get("identity");
    let genuine = std::fs::read_to_string(scene.emulator.get("assertion_file")).unwrap();
    let forged = format!("{}.Zm9yZ2Vk", genuine.rsplit_once('.').unwrap().0);
    let elsewhere = "https://issuer.elsewhere.example";
    let subject = "organization_id:0:project_id:0";
    let cases: [(&str, String, i32, &[&str]); 4] = [
        (
            "AADSTS700211",
            plausible(elsewhere, subject),
            77,
            &[
                "issuer \"https://issuer.elsewhere.example\"",
                "\"issuer\":\"https://issuer.elsewhere.example\"",
            ],
        ),
        (
            "AADSTS700213",
            plausible(known, subject),
            77,
            &[
                "subject \"organization_id:0:project_id:0\"",
                "az ad app federated-credential create --id",
                known,
            ],
        ),
        ("AADSTS700027", forged, 77, &["failed signature validation", "serves the keys", known]),
        ("AADSTS501661", plausible(issuer, subject), 69, &["must be reachable from the internet"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let settings = [("identity.source", "file"), ("identity.token_file", path.to_str().unwrap())];
    for (aadsts, token, code, words) in cases {
        scene.secret(aadsts, &token);
        std::fs::write(&path, token).unwrap();
        if code != 69 {
            refused(&scene, aadsts, &settings, code, &[words, &[aadsts]].concat());
            continue;
        }
        // The issuer may be back in a minute.
        let agent = scene.start(&settings);
        agent.wait_for("; again in");
        let status = scene.status();
        let error = &status["credentials"][0]["error"];
        assert!(error["why"].as_str().unwrap().contains(aadsts), "{status}");
        assert!(error["fix"].as_str().unwrap().contains(words[0]), "{status}");
        assert_eq!(scene.end(agent).0, 69);
        scene.assert_clean();
    }
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 0);
}

/// In the form of Entra's answers: what the emulator's own world never comes to.
#[test]
fn refusals_in_entras_form() {
    let scene = Scene::new(&[], KEY);
    let client = scene.emulator.get("client_id").to_owned();
    let cases: [(u32, &str, &str, &[&str]); 4] = [
        (
            700_024,
            "invalid_client",
            "Client assertion is not within its valid time range.",
            &["this machine's clock says", "set this machine's clock (timedatectl)"],
        ),
        (
            7_000_215,
            "invalid_client",
            "Invalid client secret provided.",
            &["check that entra.client_id", &client],
        ),
        (
            50_013,
            "invalid_grant",
            "Assertion failed signature validation.",
            &["/.well-known/openid-configuration", scene.emulator.get("identity")],
        ),
        (
            53_003,
            "interaction_required",
            "Access has been blocked by Conditional Access policies.",
            &["Conditional Access policy for workload identities"],
        ),
    ];
    for (number, error, words, advice) in cases {
        let description = format!(
            "AADSTS{number}: {words}\r\nTrace ID: 11111111-2222-4333-8444-555555555555\r\n\
             Correlation ID: 66666666-7777-4888-9999-aaaaaaaaaaaa\r\nTimestamp: 2026-11-24 00:00:00Z"
        );
        let body = json!({"error": error, "error_description": description, "error_codes": [number]});
        scene.emulator.fault(&json!({"operation": "Entra_Token", "action": {
            "status": 401, "headers": {"Content-Type": "application/json"}, "body": body.to_string(),
        }}));
        let code = format!("AADSTS{number}: {words}");
        refused(&scene, &code, &[], 77, &[advice, &[&code]].concat());
    }
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 0);
}
