//! The identities, one row each: how the workspace of a row looks, and what it can give.

use crate::{
    people,
    support::{Emulator, process::Process, scene::Scene, stub::Stub},
};
use serde_json::json;
use std::{os::unix::fs::PermissionsExt as _, path::Path};
use tempfile::TempDir;

/// For whom Entra's id tokens have to be.
const ENTRA: &str = "api://AzureADTokenExchange";

/// One row.
pub(crate) struct Way {
    /// How the README names it.
    pub(crate) row: &'static str,
    /// The source in the configuration.
    pub(crate) source: &'static str,
    /// `user` or `workspace`.
    pub(crate) actor: &'static str,
    /// The kinds, each with the name of the exchange in the table.
    pub(crate) kinds: &'static [(&'static str, &'static str)],
    /// The exchange by name where it is not the one of `[entra]`.
    pub(crate) exchange: Option<&'static str>,
    /// Where an id token opens something; `/echo` means nowhere, so that it is only published.
    pub(crate) id_token_probe: &'static str,
    /// Whether the source gives a token for any audience, or has one for Entra only.
    pub(crate) any_audience: bool,
    /// Makes the workspace.
    pub(crate) outfit: fn(&Scene) -> Outfit,
}

impl Way {
    /// For whom an id token is asked.
    pub(crate) fn audience(&self, emulator: &Emulator) -> String {
        if self.any_audience {
            emulator.get("api_scope").trim_end_matches("/.default").to_owned()
        } else {
            ENTRA.to_owned()
        }
    }

    /// For whom the broker's subject token is asked.
    pub(crate) fn broker_audience(&self, emulator: &Emulator) -> String {
        match self.source {
            // A session is asked for a token for the API, which the broker knows.
            "managed-identity" | "azure-cli" | "azd" | "device-code" | "browser" => self.audience(emulator),
            _ => emulator.get("broker_audience").to_owned(),
        }
    }
}

/// What a workspace consists of.
#[derive(Default)]
pub(crate) struct Outfit {
    /// Settings, as `--set` takes them.
    pub(crate) settings: Vec<(String, String)>,
    /// Environment variables.
    pub(crate) env: Vec<(String, String)>,
    /// What a person does while the agent waits.
    pub(crate) person: Option<fn(&Scene, &Process)>,
    /// A folder that has to be there meanwhile.
    pub(crate) folder: Option<TempDir>,
}

const ASSERTION: &str = "assertion";
const SESSION: &str = "session";
const SAML: &str = "SAML";
const ANYWHERE: &str = "SAML";
const BEHALF: &str = "on behalf of";
const IDENTITY: &str = "itself";
const BROKER: &str = "token exchange";

/// A workspace that gets id tokens for any audience.
const ISSUED: &[(&str, &str)] = &[
    ("access-token", ASSERTION),
    ("id-token", IDENTITY),
    ("subscription-key", ASSERTION),
    ("vault-secret", ASSERTION),
    ("vault-certificate", ASSERTION),
    ("brokered", BROKER),
];
/// A workspace that was given one id token, for Entra.
const GIVEN: &[(&str, &str)] = &[
    ("access-token", ASSERTION),
    ("id-token", IDENTITY),
    ("subscription-key", ASSERTION),
    ("vault-secret", ASSERTION),
    ("vault-certificate", ASSERTION),
];
/// The same in the environment: to publish it there again would be no use.
const PASSED_ON: &[(&str, &str)] = &[
    ("access-token", ASSERTION),
    ("subscription-key", ASSERTION),
    ("vault-secret", ASSERTION),
    ("vault-certificate", ASSERTION),
];
/// A session that has no id tokens.
const SIGNED_IN: &[(&str, &str)] = &[
    ("access-token", SESSION),
    ("subscription-key", SESSION),
    ("vault-secret", SESSION),
    ("vault-certificate", SESSION),
    ("brokered", BROKER),
];
const BY_SAML: &[(&str, &str)] = &[
    ("access-token", SAML),
    ("subscription-key", SAML),
    ("vault-secret", SAML),
    ("vault-certificate", SAML),
    ("brokered", BROKER),
];

/// All rows.
pub(crate) fn ways() -> Vec<Way> {
    let issued = |row, source, outfit| Way {
        row,
        source,
        actor: "workspace",
        kinds: ISSUED,
        exchange: None,
        id_token_probe: "/workspace",
        any_audience: true,
        outfit,
    };
    let given =
        |row, source, outfit| Way { kinds: GIVEN, any_audience: false, ..issued(row, source, outfit) };
    let person = |row, source, outfit| Way { kinds: SIGNED_IN, actor: "user", ..issued(row, source, outfit) };
    vec![
        issued("`command`", "command", command),
        given("`file`", "file", file),
        Way {
            kinds: PASSED_ON,
            ..given("`env`", "env", |scene| variable(scene, "env", "APIM_AGENT_ID_TOKEN"))
        },
        issued("`ona`", "ona", |_| outfit(&[("identity.source", "ona")])),
        issued("`ona` by its CLI", "ona", ona_cli),
        issued("`gitpod` by its CLI", "gitpod", gitpod_cli),
        issued("`gitpod` by its API", "gitpod", gitpod_api),
        issued("`github-actions`", "github-actions", github_actions),
        Way { kinds: PASSED_ON, ..given("`gitlab`", "gitlab", gitlab) },
        issued("`buildkite`", "buildkite", |scene| {
            tool(scene, "buildkite", "buildkite-agent", "audience=$4", &[("BUILDKITE", "true")])
        }),
        issued("`circleci`", "circleci", |scene| {
            let audience = r#"audience=$(printf %s "$5" | sed 's/.*"aud": *"\([^"]*\)".*/\1/')"#;
            tool(scene, "circleci", "circleci", audience, &[("CIRCLECI", "true")])
        }),
        Way { kinds: BY_SAML, actor: "user", ..issued("`saml`", "saml", saml) },
        Way {
            kinds: &[("access-token", ANYWHERE)],
            actor: "user",
            exchange: Some("elsewhere"),
            ..issued("`saml` at another server", "saml", saml_elsewhere)
        },
        Way {
            actor: "workspace",
            ..person("`managed-identity`", "managed-identity", |scene| machine(scene, None))
        },
        Way {
            kinds: GIVEN,
            any_audience: false,
            ..issued("`managed-identity` as an assertion", "managed-identity", |scene| {
                machine(scene, Some(ENTRA))
            })
        },
        person("`azure-cli`", "azure-cli", |scene| laptop(scene, "azure-cli", "az", &people::az())),
        person("`azd`", "azd", |scene| laptop(scene, "azd", "azd", &people::azd())),
        person("`device-code`", "device-code", |scene| Outfit {
            person: Some(people::types_the_code),
            ..sign_in(scene, "device-code")
        }),
        person("`browser`", "browser", browser),
        Way {
            kinds: &[("access-token", BEHALF), ("subscription-key", BEHALF), ("vault-secret", BEHALF)],
            exchange: Some("behalf"),
            ..person("`browser`, with `ona` acting", "browser", on_behalf_of)
        },
    ]
}

fn outfit(settings: &[(&str, &str)]) -> Outfit {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Outfit { settings: settings.collect(), ..Outfit::default() }
}

/// An executable in the workspace's own folder of tools.
fn stand_in(scene: &Scene, name: &str, script: &str) -> String {
    let folder = scene.workspace.home.path().join("tools");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The search path with that folder in front.
fn path(tool: &str) -> (String, String) {
    let folder = Path::new(tool).parent().unwrap().display();
    ("PATH".to_owned(), format!("{folder}:{}", std::env::var("PATH").unwrap()))
}

/// Prints an id token for `$audience`, as the platform's own tool gets it.
fn issuer(scene: &Scene, audience: &str) -> String {
    let emulator = &scene.emulator;
    format!(
        r#"{audience}
curl --silent --show-error --fail --cacert '{}' --header "Authorization: Bearer $(cat '{}')" --json "{{\"audience\": [\"$audience\"]}}" \
    '{}/api/gitpod.v1.IdentityService/GetIDToken' | sed 's/.*"token": *"\([^"]*\)".*/\1/'"#,
        emulator.get("ca_file"),
        emulator.get("identity_token_file"),
        emulator.get("identity")
    )
}

fn tool(scene: &Scene, source: &str, name: &str, audience: &str, env: &[(&str, &str)]) -> Outfit {
    let tool = stand_in(scene, name, &issuer(scene, audience));
    let mut outfit = outfit(&[("identity.source", source)]);
    outfit.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    outfit.env.push(path(&tool));
    outfit
}

fn command(scene: &Scene) -> Outfit {
    let program = stand_in(scene, "my-issuer", &issuer(scene, "audience=$1"));
    let argv = json!([program, "{audience}"]).to_string();
    outfit(&[("identity.source", "command"), ("identity.command", &argv)])
}

fn file(scene: &Scene) -> Outfit {
    outfit(&[("identity.source", "file"), ("identity.token_file", scene.emulator.get("assertion_file"))])
}

fn variable(scene: &Scene, source: &str, name: &str) -> Outfit {
    // Not the one that the leak check knows, which is in no process's environment: for one audience more.
    let script = stand_in(scene, "issue", &issuer(scene, "audience=$1"));
    let output = std::process::Command::new(script).arg(format!(r#"{ENTRA}", "another"#)).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    Outfit { env: vec![(name.to_owned(), token.trim().to_owned())], ..outfit(&[("identity.source", source)]) }
}

fn gitlab(scene: &Scene) -> Outfit {
    let mut outfit = variable(scene, "gitlab", "GITLAB_OIDC_TOKEN");
    outfit.env.push(("GITLAB_CI".to_owned(), "true".to_owned()));
    outfit
}

fn ona_cli(scene: &Scene) -> Outfit {
    let mut outfit = tool(scene, "ona", "ona", "audience=$4", &[("GITPOD_ENVIRONMENT_ID", "e")]);
    // No bearer to be seen, as in a nested container.
    outfit.settings.push(("identity.bearer_file".to_owned(), "no-bearer".to_owned()));
    outfit
}

fn gitpod_cli(scene: &Scene) -> Outfit {
    tool(scene, "gitpod", "gp", "audience=$4", &[("GITPOD_WORKSPACE_ID", "w")])
}

fn gitpod_api(scene: &Scene) -> Outfit {
    let emulator = &scene.emulator;
    let supervisor = emulator.get("supervisor").trim_start_matches("http://");
    let env = [
        ("GITPOD_WORKSPACE_ID", emulator.get("workspace_id")),
        ("GITPOD_HOST", "https://gitpod.io"),
        ("SUPERVISOR_ADDR", supervisor),
    ];
    let mut outfit = outfit(&[("identity.source", "gitpod"), ("identity.url", emulator.get("identity"))]);
    outfit.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    outfit
}

/// The runner's token service, in front of the emulator's issuer.
fn github_actions(scene: &Scene) -> Outfit {
    let script = stand_in(scene, "issue", &issuer(scene, "audience=$1"));
    let service = Stub::serve(|_| {
        move |request: &str| {
            let audience = request.split("audience=").nth(1).unwrap().split([' ', '&']).next().unwrap();
            let audience = percent_encoding::percent_decode_str(audience).decode_utf8().unwrap().into_owned();
            let output = std::process::Command::new(&script).arg(audience).output().unwrap();
            let token = String::from_utf8(output.stdout).unwrap();
            (
                "200 OK\r\nContent-Type: application/json\r\n".to_owned(),
                json!({"value": token.trim()}).to_string(),
            )
        }
    });
    let env = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", service.url)),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-bearer-of-the-runner".to_owned()),
    ];
    Outfit {
        env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..outfit(&[("identity.source", "github-actions")])
    }
}

fn saml(scene: &Scene) -> Outfit {
    outfit(&[
        ("identity.source", "saml"),
        ("identity.assertion_file", scene.emulator.get("saml_assertion_file")),
    ])
}

fn saml_elsewhere(scene: &Scene) -> Outfit {
    let emulator = &scene.emulator;
    let endpoint = format!("{}/{}/oauth2/v2.0/token", emulator.get("authority"), emulator.get("tenant_id"));
    let mut outfit = saml(scene);
    outfit.settings.extend(
        [("kind", "saml-bearer"), ("token_endpoint", &endpoint), ("client_id", emulator.get("client_id"))]
            .map(|(key, value)| (format!("exchanges.elsewhere.{key}"), value.to_owned())),
    );
    outfit
}

fn machine(scene: &Scene, audience: Option<&str>) -> Outfit {
    let emulator = &scene.emulator;
    let mut settings = vec![
        ("identity.source", "managed-identity"),
        ("identity.imds_url", emulator.get("imds")),
        ("identity.client_id", emulator.get("managed_identity")),
    ];
    settings.extend(audience.map(|audience| ("identity.audience", audience)));
    outfit(&settings)
}

fn laptop(scene: &Scene, source: &str, name: &str, script: &str) -> Outfit {
    people::profiles(scene.workspace.home.path());
    let tool = stand_in(scene, name, script);
    let mut outfit = outfit(&[("identity.source", source)]);
    let (env, folder) = people::session(scene);
    outfit.env = env;
    outfit.env.push(path(&tool));
    outfit.folder = Some(folder);
    outfit
}

fn sign_in(scene: &Scene, source: &str) -> Outfit {
    outfit(&[("identity.source", source), ("identity.authority", scene.emulator.get("authority"))])
}

fn browser(scene: &Scene) -> Outfit {
    let browser = stand_in(scene, "browser", people::BROWSER);
    Outfit {
        env: vec![
            ("BROWSER".to_owned(), browser),
            ("CA".to_owned(), scene.emulator.get("ca_file").to_owned()),
        ],
        ..sign_in(scene, "browser")
    }
}

/// A person signs in to the workspace's application, which asks in the person's name.
fn on_behalf_of(scene: &Scene) -> Outfit {
    let emulator = &scene.emulator;
    let mut outfit = browser(scene);
    outfit.settings = Vec::new();
    let scope = format!("api://{}/access_as_user", emulator.get("client_id"));
    let person = [("source", "browser"), ("authority", emulator.get("authority"))];
    let person = person.map(|(key, value)| (format!("identities.person.{key}"), value.to_owned()));
    let behalf = [
        ("kind", "on-behalf-of"),
        ("identity", "person"),
        ("tenant_id", emulator.get("tenant_id")),
        ("client_id", emulator.get("client_id")),
        ("authority", emulator.get("authority")),
        ("arm_url", emulator.get("arm")),
        ("assertion_scope", &scope),
    ];
    let behalf = behalf.map(|(key, value)| (format!("exchanges.behalf.{key}"), value.to_owned()));
    outfit.settings.extend(person.into_iter().chain(behalf));
    outfit
}
