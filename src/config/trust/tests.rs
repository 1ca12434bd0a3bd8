use super::*;
use crate::config::{Env, document};
use std::os::unix::fs::PermissionsExt as _;

const SERVICE: &str = "/subscriptions/b9e8d7c6-0a1b-4c2d-8e3f-4a5b6c7d8e44/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso";

fn layers(file: &str, env: &[(&str, &str)]) -> Layers {
    let env: Env = env.iter().copied().collect();
    Layers::resolve(document::parse("apim-agent.toml", file), &env, &[], "host")
}

/// The settings of a file that need trust.
fn keys_of(file: &str) -> Vec<String> {
    needs(&layers(file, &[])).into_iter().map(|need| need.key).collect()
}

const EVIL: &str = "\"https://evil.example\"";

/// Of each setting a harmless value and one that is not; `None` where there are none of those.
const CASES: &[(&str, Option<&str>, Option<&str>)] = &[
    ("workspace", Some("\"x\""), None),
    ("cloud", Some("\"china\""), None),
    ("ca_file", None, Some("\"/etc/ssl/certs/ca-certificates.crt\"")),
    ("runtime_dir", Some("\"/dev/shm/x\""), None),
    ("request_timeout", Some("\"1s\""), None),
    ("revoke_timeout", Some("\"1s\""), None),
    ("identity.source", Some("\"azure-cli\""), None),
    ("identity.audience", Some("\"sts.example\""), None),
    ("identity.url", Some("\"https://app.gitpod.io/\""), Some(EVIL)),
    ("identity.bearer_file", Some("\"/usr/local/gitpod/secrets/token\""), Some("\"/home/me/.ssh/id_rsa\"")),
    (
        "identity.token_file",
        Some("\"/var/run/secrets/azure/tokens/azure-identity-token\""),
        Some("\"/home/me/.config/gh/hosts.yml\""),
    ),
    ("identity.variable", Some("\"GITLAB_OIDC_TOKEN\""), Some("\"GITHUB_TOKEN\"")),
    ("identity.command", None, Some("[\"true\"]")),
    ("identity.assertion_file", None, Some("\"assertion\"")),
    ("identity.tenant_id", Some("\"evil.example\""), None),
    ("identity.client_id", Some("\"00000000-0000-0000-0000-000000000000\""), None),
    ("identity.authority", Some("\"https://login.microsoftonline.us\""), Some(EVIL)),
    ("identity.imds_url", Some("\"http://169.254.169.254\""), Some("\"http://127.0.0.1:8080\"")),
    ("entra.tenant_id", Some("\"evil.example\""), None),
    ("entra.client_id", Some("\"00000000-0000-0000-0000-000000000000\""), None),
    ("entra.authority", Some("\"https://login.microsoftonline.com\""), Some(EVIL)),
    ("arm.url", Some("\"https://management.azure.com/\""), Some(EVIL)),
    ("arm.scope", Some("\"https://graph.microsoft.com/.default\""), None),
    ("gateway.url", Some(EVIL), None), // nothing is made for it here
    ("gateway.service", Some("\"x\""), None),
    ("gateway.probe", Some("\"/x\""), None),
    ("exchanges.*.kind", Some("\"token-exchange\""), None),
    ("exchanges.*.identity", Some("\"x\""), None),
    ("exchanges.*.subject_audience", Some("\"sts.example\""), None),
    ("exchanges.*.cloud", Some("\"china\""), None),
    ("exchanges.*.tenant_id", Some("\"evil.example\""), None),
    ("exchanges.*.client_id", Some("\"x\""), None),
    ("exchanges.*.authority", Some("\"https://login.partner.microsoftonline.cn\""), Some(EVIL)),
    ("exchanges.*.arm_url", Some("\"https://management.usgovcloudapi.net\""), Some(EVIL)),
    ("exchanges.*.arm_scope", Some("\"https://graph.microsoft.com/.default\""), None),
    ("exchanges.*.assertion_scope", Some("\"x\""), None),
    (
        "exchanges.*.token_endpoint",
        Some("\"https://login.microsoftonline.com/t/oauth2/v2.0/token\""),
        Some(EVIL),
    ),
    ("exchanges.*.revocation_endpoint", Some("\"https://login.microsoftonline.com/x\""), Some(EVIL)),
    ("exchanges.*.subject_token_type", Some("\"x\""), None),
    ("exchanges.*.requested_token_type", Some("\"x\""), None),
    ("exchanges.*.resource", Some("[\"x\"]"), None),
    ("exchanges.*.audience", Some("[\"x\"]"), None),
    ("exchanges.*.actor", Some("\"x\""), None),
    ("exchanges.*.client_auth", Some("\"mtls\""), None),
    ("exchanges.*.certificate_file", None, Some("\"client.crt\"")),
    ("exchanges.*.key_file", None, Some("\"client.key\"")),
    ("credentials.*.kind", Some("\"id-token\""), None),
    ("credentials.*.scope", Some("\"https://graph.microsoft.com/.default\""), None),
    ("credentials.*.env", Some("\"X\""), None),
    ("credentials.*.required", Some("false"), None),
    ("credentials.*.lifetime", Some("\"1h\""), None),
    ("credentials.*.grace", Some("\"1s\""), None),
    ("credentials.*.probe", Some("\"/x\""), None),
    ("credentials.*.gateway", Some("\"x\""), None),
    ("credentials.*.exchange", Some("\"x\""), None),
    ("credentials.*.identity", Some("\"x\""), None),
    ("credentials.*.audience", Some("\"api://AzureADTokenExchange\""), None),
    ("credentials.*.vault", None, Some("\"contoso\"")), // the value of a secret is its owner's
    ("credentials.*.secret", Some("\"x\""), None),
    ("credentials.*.certificate", Some("\"x\""), None),
    ("credentials.*.version", Some("\"x\""), None),
];

/// Each setting with an innocent value and with one of a thief's, in a file in which nothing else needs trust. The kinds,
/// services and vaults that decide about gateways have tests of their own.
#[test]
fn each_setting_with_an_innocent_and_with_a_thiefs_value() {
    let tried: Vec<&str> = CASES.iter().map(|(key, ..)| *key).collect();
    let all: Vec<&str> = table::TABLE.iter().map(|row| row.key).collect();
    assert_eq!(tried, all, "every setting is tried");

    for (key, innocent, evil) in CASES {
        let (table, leaf) = key.rsplit_once('.').map_or((None, *key), |(table, leaf)| (Some(table), leaf));
        // The settings of [identity] and [gateway] are those of named ones too.
        let named = match table {
            Some("identity") => Some("identities.ci"),
            Some("gateway") => Some("gateways.far"),
            _ => None,
        };
        for table in [table, named].into_iter().flatten().map(Some).chain(table.is_none().then_some(None)) {
            let table = table.map(|table| table.replace('*', "x"));
            let header = table.as_ref().map_or_else(String::new, |table| format!("[{table}]\n"));
            let path = table.as_ref().map_or(leaf.to_owned(), |table| format!("{table}.{leaf}"));
            let kind = if *key == "credentials.*.vault" { "kind = \"vault-secret\"\n" } else { "" };
            let file = |value: &str| format!("{header}{kind}{leaf} = {value}\n");
            if let Some(value) = innocent {
                assert!(keys_of(&file(value)).is_empty(), "{path} = {value} is harmless");
            }
            if let Some(value) = evil {
                assert_eq!(
                    keys_of(&file(value)),
                    std::slice::from_ref(&path),
                    "{path} = {value} needs trust"
                );
            }
        }
    }
}

#[test]
fn a_host_that_only_looks_like_azures_is_not_azures() {
    for url in [
        "https://login.microsoftonline.com.evil.example",
        "https://evil.login.microsoftonline.com",
        "https://login.microsoftonline.com:8443",
        "http://login.microsoftonline.com",
        "https://login-microsoftonline.com",
        "https://management.azure.com",
        "https://127.0.0.1",
    ] {
        assert!(!place::is_of(table::Operator::Entra, url), "{url}");
    }
    assert!(place::is_of(table::Operator::Entra, "HTTPS://Login.MicrosoftOnline.com:443/"));
}

/// What is made for a gateway of the file's, with the gateway's URL and the service's id.
fn at_gateway(top: &str, url: &str, credential: &str) -> Vec<String> {
    keys_of(&format!(
        "{top}\n[gateway]\nurl = \"{url}\"\nservice = \"{SERVICE}\"\nprobe = \"/x\"\n[credentials.a]\nenv = \"A\"\n{credential}\n"
    ))
}

#[test]
fn a_key_may_go_to_the_gateway_of_its_own_service_and_to_no_other() {
    let key = "kind = \"subscription-key\"\nscope = \"/apis\"";
    assert!(at_gateway("", "https://contoso.azure-api.net", key).is_empty());
    assert!(at_gateway("", "https://Contoso.azure-api.net/base", key).is_empty());
    assert!(at_gateway("cloud = \"us-government\"", "https://contoso.azure-api.us", key).is_empty());
    let own = "\nexchange = \"gov\"\n[exchanges.gov]\ncloud = \"us-government\"";
    assert!(at_gateway("", "https://contoso.azure-api.us", &format!("{key}{own}")).is_empty());
    for (top, url) in [
        // Another service, whoever has it.
        ("", "https://evil.azure-api.net"),
        // The same name in another cloud is somebody else's.
        ("", "https://contoso.azure-api.cn"),
        ("cloud = \"china\"", "https://contoso.azure-api.net"),
        ("", "https://contoso.azure-api.net:8443"),
        ("", "https://contoso.azure-api.net.evil.example"),
        ("", "https://contoso.developer.azure-api.net"),
        ("", "https://apis.contoso.com"),
    ] {
        assert_eq!(at_gateway(top, url, key), ["gateway.url"], "{top} {url}");
    }
    // An Azure Resource Manager that is none mints keys for nobody's service.
    let far = "[arm]\nurl = \"https://evil.example\"";
    assert_eq!(at_gateway(far, "https://contoso.azure-api.net", key), ["arm.url", "gateway.url"]);
}

/// Whose audience a token is for, the file says; everybody can have a gateway below azure-api.net.
#[test]
fn no_token_may_go_to_a_gateway_that_the_file_chose() {
    for credential in [
        "scope = \"api://orders/.default\"",
        "kind = \"access-token\"\nscope = \"https://management.azure.com/.default\"",
        "kind = \"id-token\"\naudience = \"api://AzureADTokenExchange\"",
        "kind = \"vault-certificate\"\nvault = \"contoso\"\ncertificate = \"c\"",
        "kind = \"brokered\"\nexchange = \"broker\"",
        "kind = \"a-new-one\"",
    ] {
        assert_eq!(
            at_gateway("", "https://contoso.azure-api.net", credential),
            ["gateway.url"],
            "{credential}"
        );
    }
    let named = "scope = \"x/.default\"\ngateway = \"far\"\n[gateways.far]\nurl = \"https://evil.example\"";
    assert_eq!(
        at_gateway("", "https://h.azure-api.net", named),
        ["gateways.far.url"],
        "the other one gets nothing"
    );
    let file = "[gateway]\nurl = \"https://evil.example\"\n";
    let env = [("APIM_AGENT_SCOPE", "api://orders/.default")];
    assert_eq!(needs(&layers(file, &env)).len(), 1, "a credential of a variable goes there too");
}

#[test]
fn a_gateway_that_somebody_named_may_get_what_the_file_wants() {
    let file = "[gateway]\nurl = \"https://evil.example\"\nprobe = \"/x\"\n[credentials.a]\nscope = \"a/.default\"\nenv = \"A\"\n";
    let env = [("APIM_AGENT_GATEWAY_URL", "https://apis.contoso.com")];
    assert!(needs(&layers(file, &env)).is_empty(), "the variable beats the file");
}

#[test]
fn what_is_to_be_pasted_runs_nothing() {
    for (path, wanted) in [
        ("/a/b-c_d.e", "/a/b-c_d.e"),
        ("/a b/$(id)", "'/a b/$(id)'"),
        ("/it's;id", "'/it'\\''s;id'"),
        ("/a\nid", "'/a\\nid'"),
    ] {
        assert_eq!(in_shell(Path::new(path)), wanted);
    }
}

#[test]
fn vaults() {
    let secret = |vault: &str| {
        keys_of(&format!("[credentials.a]\nkind = \"vault-secret\"\nvault = \"{vault}\"\nsecret = \"s\""))
    };
    let certificate = |vault: &str| {
        keys_of(&format!(
            "[credentials.a]\nkind = \"vault-certificate\"\nvault = \"{vault}\"\ncertificate = \"c\""
        ))
    };
    for azures in ["contoso", "https://contoso.vault.azure.net", "https://contoso.vault.azure.cn"] {
        assert!(certificate(azures).is_empty(), "{azures}");
        assert_eq!(secret(azures), ["credentials.a.vault"], "{azures}: the value is its owner's");
    }
    for other in ["https://evil.example", "https://vault.azure.net", "https://a.b.vault.azure.net"] {
        assert_eq!(certificate(other), ["credentials.a.vault"], "{other}");
    }
}

#[test]
fn what_needs_trust_is_told_with_its_line_and_steers_no_terminal() {
    let file = "\n[identity]\ncommand = [\"sh\", \"-c\", \"id; \\u001b[2J\"]\n";
    let all = needs(&layers(file, &[]));
    let [need] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        need.to_string(),
        "line 3: identity.command = [\"sh\",\"-c\",\"id; \\u001b[2J\"]: it is a program, and runs as you"
    );
}

/// A found file, and where it is noted what is trusted.
fn found(folder: &Path, text: &str) -> Text {
    Text { name: "apim-agent.toml".to_owned(), folder: folder.to_owned(), text: text.to_owned(), found: true }
}

fn settle(file: &Text, places: &Places) -> Result<()> {
    Doubts::about(&layers(&file.text, &[])).settle(file, places)
}

#[test]
fn a_policy_pins_hosts_and_files_and_forbids_what_was_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let places =
        Places { store: Some(Store::below(folder.path().join("state"))), policies: vec![policy.clone()] };
    let text = "[gateway]\nurl = \"https://apis.contoso.com\"\n[credentials.a]\nscope = \"a/.default\"\nenv = \"A\"\n";
    let file = found(folder.path(), text);
    let write = |text: &str| {
        std::fs::write(&policy, text).unwrap();
        std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    let set = |text: &str| {
        write(text);
        settle(&file, &places)
    };
    assert_eq!(set("").unwrap_err().class, Class::Denied);
    set("allow_hosts = [\"*.contoso.com\"]").unwrap();
    assert!(set("allow_hosts = [\"contoso.com\"]").is_err());
    let path = file.lies_at().unwrap();
    set(&format!("allow_files = [{path:?}]")).unwrap();
    let error = set(&format!("allow_files = [{path:?}]\nforbid = [\"gateway.url\"]")).unwrap_err();
    assert!(error.class == Class::Denied && error.what.contains("gateway.url"), "{error}");
    assert_eq!(set("allow_host = []").unwrap_err().class, Class::Config);
}

#[test]
fn what_was_allowed_is_allowed_there_and_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::below(folder.path().join("state"));
    let places = Places { store: Some(store.clone()), policies: Vec::new() };
    let text = "[identity]\ncommand = [\"true\"]\n";
    let file = found(folder.path(), text);
    let path = file.lies_at().unwrap();
    let error = settle(&file, &places).unwrap_err();
    assert!(error.class == Class::Denied && error.to_string().contains("identity.command"), "{error}");

    let now = crate::clock::now();
    store.allow(&path, &Mark::of(&path, text), &needs(&layers(text, &[])), now).unwrap();
    settle(&file, &places).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    settle(&found(&elsewhere, text), &places).unwrap_err();

    let changed = found(folder.path(), &format!("ca_file = \"x\"\n{text}"));
    let error = settle(&changed, &places).unwrap_err().to_string();
    assert!(error.contains("since then changed: ca_file"), "{error}");
    let gateway = |name: &str| {
        format!(
            "{text}[gateway]\nurl = \"https://h\"\n[credentials.{name}]\nscope = \"a/.default\"\nenv = \"A\"\n"
        )
    };
    let one = gateway("one");
    store.allow(&path, &Mark::of(&path, &one), &needs(&layers(&one, &[])), now).unwrap();
    let error = settle(&found(folder.path(), &gateway("two")), &places).unwrap_err().to_string();
    assert!(error.contains("since then changed: gateway.url"), "another credential for it is news: {error}");
    assert_eq!(store.deny(&path).unwrap(), 2);
    store.allow(&path, &Mark::of(&path, text), &needs(&layers(text, &[])), now).unwrap();
    let commented = found(folder.path(), &format!("# {text}{text}"));
    let error = settle(&commented, &places).unwrap_err().to_string();
    assert!(error.contains("none of this has changed"), "{error}");

    assert_eq!(store.deny(&path).unwrap(), 1);
    settle(&file, &places).unwrap_err();
}
