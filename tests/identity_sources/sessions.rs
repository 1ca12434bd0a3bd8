//! Sessions that somebody has already: of `az`, of `azd`, of the machine itself. The agent uses their access tokens as they
//! are.

use super::{
    Platform,
    support::{KEY_AND_TOKEN, scene::poll, stub::Stub, token::LATER},
};
use serde_json::json;
use std::fs;

const AZ: &str = "azureProfile.json";
const AZD: &str = "auth.json";

/// The variables of a home where somebody has signed in to both.
fn signed_in(platform: &Platform) -> Vec<(&'static str, String)> {
    fs::write(platform.path(AZ), "\u{feff}{\"subscriptions\": [{\"id\": \"x\"}]}").unwrap();
    fs::write(platform.path(AZD), "{\"auth\": {\"account\": {}}}").unwrap();
    let folder = platform.path("").display().to_string();
    vec![("AZURE_CONFIG_DIR", folder.clone()), ("AZD_CONFIG_DIR", folder)]
}

fn of<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A stand-in that prints `text` when it is called with exactly these arguments.
fn prints(platform: &Platform, name: &str, arguments: &str, text: &str) {
    let file = platform.path(&format!("{name}-prints"));
    fs::write(&file, text).unwrap();
    let calls = platform.path("calls");
    let script = format!(
        "echo asked >> '{}'; [ \"$*\" = '{arguments}' ] && cat '{}'",
        calls.display(),
        file.display()
    );
    platform.tool(name, &script);
}

#[test]
fn of_az_and_of_azd() {
    let platform = Platform::new();
    let token = platform.access_token();
    let tenant = platform.scene.emulator.get("tenant_id").to_owned();
    let az = format!("account get-access-token --output json --scope api://echo/.default --tenant {tenant}");
    let printed = json!({
        "accessToken": token, "expiresOn": "2286-11-20 17:46:39.000000", "expires_on": LATER, "tokenType": "Bearer",
        "tenant": tenant, "subscription": "x",
    });
    prints(&platform, "az", &az, &printed.to_string());
    let azd =
        format!("auth token --output json --no-prompt --scope api://echo/.default --tenant-id {tenant}");
    let printed = json!({"token": token, "expiresOn": "2286-11-20T17:46:39Z"});
    prints(&platform, "azd", &azd, &printed.to_string());
    platform.scene.secret("the access token", &token);

    let variables = signed_in(&platform);
    for (source, taken) in [("azure-cli", "azure-cli"), ("azd", "azd"), ("auto", "azure-cli")] {
        let (code, text) = platform.exec(&[("identity.source", source)], &of(&variables));
        assert_eq!(code, 0, "{source}: {text}");
        let auto = text.contains(&format!("identity source auto took {taken}"));
        assert_eq!(auto, source == "auto", "{text}");
    }
    assert!(platform.asked() >= 3);
    // Ours to read, and with nobody in it.
    fs::write(platform.path(AZ), "{\"subscriptions\": []}").unwrap();
    let (code, text) = platform.exec(&[("identity.source", "auto")], &of(&variables));
    assert!(code == 0 && text.contains("identity source auto took azd"), "{text}");
    platform.scene.assert_clean();
}

#[test]
fn what_it_takes_and_what_mends_it() {
    let platform = Platform::new();
    let words = ["source azure-cli is not here", "az is not on the PATH"];
    platform.refused(&[("identity.source", "azure-cli")], &[("PATH", "/no/such")], 78, &words);
    platform.tool("az", "echo 'ERROR: Please run '\"'az login'\"' to setup account.' >&2; exit 1");
    platform.tool("azd", "echo 'ERROR: not logged in, run `azd auth login` to login' >&2; exit 1");
    let words = ["nobody has signed in there", AZ];
    platform.refused(&[("identity.source", "azure-cli")], &[], 78, &words);
    let variables = signed_in(&platform);
    let tenant = platform.scene.emulator.get("tenant_id");
    for (source, login) in [("azure-cli", "az login --tenant"), ("azd", "azd auth login --tenant-id")] {
        let login = format!("run: {login} {tenant} --scope api://echo/.default");
        platform.refused(&[("identity.source", source)], &of(&variables), 77, &[&login]);
    }
    for (name, script, words) in [
        ("garbage", "echo '<html>'", ["the output of az holds no access token", "it is not az's JSON"]),
        ("huge", "head -c 3000000 /dev/zero | tr '\\0' x", ["is not an access token", "longer than 64 KiB"]),
        ("binary", "printf '\\377\\376'", ["is not an access token", "it is not text"]),
    ] {
        platform.tool("az", script);
        let text = platform.refused(&[("identity.source", "azure-cli")], &of(&variables), 78, &words);
        assert!(!text.contains("xxxx"), "{name}: {text}");
    }
}

#[test]
fn a_tool_that_hangs_is_killed() {
    let platform = Platform::new();
    platform.tool("az", "echo waiting for a keyring >&2; sleep 1000");
    let variables = signed_in(&platform);
    let settings = [("identity.source", "azure-cli"), ("request_timeout", "100ms")];
    let agent = platform.start(&settings, &of(&variables), &["run"]);
    agent.wait_for("; again in");
    let error = &platform.scene.status()["credentials"][0]["error"];
    let what = error["what"].as_str().unwrap();
    assert!(what.contains("gave no access token within 300ms"), "{what}");
    assert!(error["fix"].as_str().unwrap().contains("three times request_timeout"), "{error}");
    assert_eq!(platform.scene.end(agent).0, 69, "what was wanted never came");
    platform.scene.assert_clean();
}

#[test]
fn of_the_machine() {
    let platform = Platform::new();
    let token = platform.access_token();
    platform.scene.secret("the access token", &token);
    let answer = json!({"access_token": token, "expires_in": "3600", "expires_on": LATER.to_string(), "token_type": "Bearer"});
    let imds = Stub::start("200 OK\r\nContent-Type: application/json\r\n", &answer.to_string());
    // A proxy that nobody can use: the metadata service is never asked through one.
    let proxy = [("HTTP_PROXY", "http://127.0.0.1:1"), ("http_proxy", "http://127.0.0.1:1")];
    for source in ["managed-identity", "auto"] {
        let settings = [("identity.source", source), ("identity.imds_url", imds.url.as_str())];
        let (code, text) = platform.exec(&settings, &proxy);
        assert_eq!(code, 0, "{text}");
    }
    let heads = imds.heads();
    let head = heads.iter().find(|head| !head.is_empty()).unwrap();
    assert!(
        head.starts_with(
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Fecho "
        ),
        "{head}"
    );
    assert!(head.to_lowercase().contains("metadata: true"), "{head}");

    let refusing = Stub::start(
        "400 Bad Request\r\n",
        &json!({"error": "invalid_request", "error_description": "Identity not found"}).to_string(),
    );
    let settings = [("identity.source", "managed-identity"), ("identity.imds_url", refusing.url.as_str())];
    platform.refused(
        &settings,
        &[],
        78,
        &["this machine has no managed identity (400)", "Identity not found"],
    );
    platform.scene.assert_clean();
}

#[test]
fn of_the_machine_at_the_emulators_metadata_service() {
    let platform = Platform::with(KEY_AND_TOKEN);
    let imds = platform.scene.emulator.get("imds").to_owned();
    let (code, text) =
        platform.exec(&[("identity.source", "managed-identity"), ("identity.imds_url", &imds)], &[]);
    assert_eq!(code, 0, "{text}");
    assert!(platform.scene.emulator.count("Imds_Token") >= 2);
    assert_eq!(platform.scene.emulator.count("Entra_Token"), 0, "no exchange");
    platform.scene.assert_clean();
}

/// Where the machine's own token is asked for as an assertion, it goes through the exchange as any other.
#[test]
fn of_the_machine_for_federation() {
    let platform = Platform::new();
    let token = platform.id_token();
    platform.scene.secret("the id token", &token);
    let answer = json!({"access_token": token, "expires_in": "3600", "expires_on": LATER.to_string(), "token_type": "Bearer"});
    let imds = Stub::start("200 OK\r\nContent-Type: application/json\r\n", &answer.to_string());
    let settings = [
        ("identity.source", "managed-identity"),
        ("identity.imds_url", imds.url.as_str()),
        ("identity.audience", "api://AzureADTokenExchange"),
    ];
    let (code, text) = platform.exec(&settings, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(imds.heads().iter().any(|head| head.contains("resource=api%3A%2F%2FAzureADTokenExchange ")));
    assert!(platform.scene.emulator.count("Entra_Token") > 0);
    platform.scene.assert_clean();
}

/// Whoever is asked to sign in is not asked any more when the agent is told to end.
#[test]
fn an_agent_that_waits_for_a_person_ends_at_once() {
    let platform = Platform::new();
    let pages = platform.path("pages");
    let browser = platform.tool("my-browser", &format!("echo \"$1\" > '{}'", pages.display()));
    let variables = [("BROWSER", browser.to_str().unwrap())];
    let agent = platform.start(&[("identity.source", "browser")], &variables, &["run"]);
    agent.wait_for("sign in    in the browser that has opened, or open https://");
    let page = poll("the page", || fs::read_to_string(&pages).ok().filter(|page| page.ends_with('\n')));
    let authority = platform.scene.emulator.get("authority");
    let tenant = platform.scene.emulator.get("tenant_id");
    assert!(page.starts_with(&format!("{authority}/{tenant}/oauth2/v2.0/authorize?client_id=")), "{page}");
    let (code, text) = platform.scene.end(agent);
    // Not the code of an end that waited in vain for a call under way.
    assert_eq!(code, 0, "{text}");
    platform.scene.assert_clean();
}
