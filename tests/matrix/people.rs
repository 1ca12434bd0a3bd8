//! The person: signs in where the agent asks for it, and has signed in to the tools of a laptop.

use crate::support::{Emulator, process::Process, scene::Scene};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;
use url::{Url, form_urlencoded};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn encode(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Reads the code off the agent's output and types it where it is to be typed.
pub(crate) fn types_the_code(scene: &Scene, agent: &Process) {
    let text = agent.wait_until("the code", |text| text.contains("and enter "));
    let words: Vec<_> = text.split_whitespace().collect();
    let at = words.windows(2).position(|pair| pair == ["and", "enter"]).unwrap();
    let (page, code) = (words[at - 1], words[at + 2].trim_end_matches(['.', ',']));
    let form = encode(&[("otc", code), ("decision", "approve")]);
    let answer = scene.emulator.call("POST", page, &[FORM], &form);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// A browser in which the person is signed in: it follows the redirects.
pub(crate) const BROWSER: &str =
    r#"exec curl --silent --show-error --location --cacert "$CA" --output /dev/null "$1""#;

/// What `az` and `azd` keep: a refresh token, in a file of theirs. The environment of their stand-ins, and the file's folder.
pub(crate) fn session(scene: &Scene) -> (Vec<(String, String)>, TempDir) {
    let emulator = &scene.emulator;
    let refresh = refresh_token(emulator);
    scene.secret("a refresh token", &refresh);
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = folder.path().join("refresh-token");
    std::fs::write(&file, refresh).unwrap();
    let tokens = format!("{}/{}/oauth2/v2.0/token", emulator.get("authority"), emulator.get("tenant_id"));
    let env = [
        ("CA", emulator.get("ca_file")),
        ("TOKENS", &tokens),
        ("REFRESH", file.to_str().unwrap()),
        ("CLIENT", emulator.get("client_id")),
    ];
    (env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), folder)
}

/// Signs in by authorization code, as the tool's own sign-in does.
fn refresh_token(emulator: &Emulator) -> String {
    let redirect = "http://localhost:49152";
    let scope = "openid offline_access https://management.azure.com/.default";
    let query = encode(&[
        ("client_id", emulator.get("client_id")),
        ("response_type", "code"),
        ("redirect_uri", redirect),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", scope),
    ]);
    let base = format!("{}/{}/oauth2/v2.0", emulator.get("authority"), emulator.get("tenant_id"));
    let answer = emulator.call("GET", &format!("{base}/authorize?{query}"), &[], "");
    let location = Url::parse(answer.headers["location"].to_str().unwrap()).unwrap();
    let (_, code) = location.query_pairs().find(|(name, _)| name == "code").unwrap();
    let form = encode(&[
        ("client_id", emulator.get("client_id")),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", redirect),
        ("code_verifier", VERIFIER),
    ]);
    let answer = emulator.call("POST", &format!("{base}/token"), &[FORM], &form).json();
    let Value::String(token) = &answer["refresh_token"] else { panic!("no refresh token: {answer}") };
    token.clone()
}

/// Asks Entra with the refresh token for the scope in `$scope`; leaves the token in `$token`.
const ASK: &str = r#"
answer=$(curl --silent --show-error --fail --cacert "$CA" --data grant_type=refresh_token --data client_id="$CLIENT" \
    --data-urlencode refresh_token@"$REFRESH" --data-urlencode scope="$scope" "$TOKENS") || exit 1
token=$(printf %s "$answer" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
"#;

/// `az account get-access-token --scope SCOPE --output json …`.
pub(crate) fn az() -> String {
    format!(
        r#"while [ $# -gt 0 ]; do [ "$1" = --scope ] && scope=$2; shift; done
{ASK}
printf '{{"accessToken": "%s", "expires_on": %s, "tokenType": "Bearer", "tenant": "t", "subscription": "s"}}\n' "$token" $(($(date +%s) + 3000))"#
    )
}

/// `azd auth token --output json --scope SCOPE …`.
pub(crate) fn azd() -> String {
    format!(
        r#"while [ $# -gt 0 ]; do [ "$1" = --scope ] && scope=$2; shift; done
{ASK}
printf '{{"token": "%s", "expiresOn": "%s"}}\n' "$token" "$(date -u -d '+50 min' +%Y-%m-%dT%H:%M:%SZ)""#
    )
}

/// A profile that says that somebody is signed in.
pub(crate) fn profiles(home: &Path) {
    for (folder, name, text) in [
        (".azure", "azureProfile.json", r#"{"subscriptions": [{"id": "s", "isDefault": true}]}"#),
        (".azd", "auth.json", r#"{"auth": {"account": {"currentUser": {"homeAccountID": "a.t"}}}}"#),
    ] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
        std::fs::write(home.join(folder).join(name), text).unwrap();
    }
}
