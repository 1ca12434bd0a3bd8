//! The table of all settings: names, variables, and the words for messages about them.

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its name: `gateway.url`; below `[credentials.NAME]` only the last part.
    pub name: &'static str,
    /// Well-known variables that set it besides its own one (see [`variable`]).
    pub aliases: &'static [&'static str],
    /// A good value, for messages.
    pub example: &'static str,
}

impl Key {
    /// Whether it is a list of texts, as its example shows: an array in the file, and as JSON the same text in variables
    /// and flags.
    pub fn is_list(&self) -> bool {
        self.example.starts_with('[')
    }

    /// Whether it is `true` or `false`, as its example shows: in the file without quotes.
    pub fn is_flag(&self) -> bool {
        matches!(self.example, "true" | "false")
    }
}

const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, aliases: &[], example }
}

/// Every setting outside the [`SECTIONS`].
pub const KEYS: &[Key] = &[
    key("workspace", "payments-dev"),
    key("cloud", "public"),
    key("ca_file", "/etc/ssl/contoso-ca.pem"),
    key("runtime_dir", "/dev/shm/apim-agent"),
    key("request_timeout", "10s"),
    key("revoke_timeout", "8s"),
    key("identity.source", "auto"),
    key("identity.audience", "api://AzureADTokenExchange"),
    key("identity.url", "https://app.gitpod.io"),
    key("identity.bearer_file", "/usr/local/gitpod/secrets/token"),
    Key {
        name: "identity.token_file",
        aliases: &["AZURE_FEDERATED_TOKEN_FILE"],
        example: "/var/run/secrets/azure/tokens/azure-identity-token",
    },
    key("identity.variable", "APIM_AGENT_ID_TOKEN"),
    key("identity.command", COMMAND),
    key("identity.assertion_file", "/run/secrets/saml-assertion"),
    key("identity.tenant_id", "contoso.onmicrosoft.com"),
    key("identity.client_id", "00000000-0000-0000-0000-000000000000"),
    key("identity.authority", "https://login.microsoftonline.com"),
    Key {
        name: "identity.imds_url",
        aliases: &["AZURE_POD_IDENTITY_AUTHORITY_HOST"],
        example: "http://169.254.169.254",
    },
    Key { name: "entra.tenant_id", aliases: &["AZURE_TENANT_ID"], example: "contoso.onmicrosoft.com" },
    Key {
        name: "entra.client_id",
        aliases: &["AZURE_CLIENT_ID"],
        example: "00000000-0000-0000-0000-000000000000",
    },
    Key {
        name: "entra.authority",
        aliases: &["AZURE_AUTHORITY_HOST"],
        example: "https://login.microsoftonline.com",
    },
    key("arm.url", "https://management.azure.com"),
    key("arm.scope", "https://management.azure.com/.default"),
    key("gateway.url", "https://contoso.azure-api.net"),
    key("gateway.service", SERVICE),
    key("gateway.probe", "/orders/health"),
];

const COMMAND: &str = r#"["gp", "idp", "token", "--audience", "{audience}"]"#;
const SERVICE: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso";

/// A table of tables: `[credentials.NAME]`.
#[derive(Debug)]
pub struct Section {
    /// The outer table, such as `credentials`.
    pub name: &'static str,
    /// The settings of one entry.
    pub keys: &'static [Key],
    /// A good name for an entry, for messages.
    pub example: &'static str,
}

/// Names that entries may have: all besides this one, which stands for the plain tables (`[identity]`, `[entra]`,
/// `[gateway]`).
pub const DEFAULT: &str = "default";

/// The tables of tables.
pub const SECTIONS: &[Section] = &[
    Section { name: "identities", example: "person", keys: IDENTITY_KEYS },
    Section { name: "exchanges", example: "fabrikam", keys: EXCHANGE_KEYS },
    Section { name: "gateways", example: "partner", keys: GATEWAY_KEYS },
    Section { name: "credentials", example: "orders", keys: CREDENTIAL_KEYS },
];

/// The settings of one entry under `[identities.NAME]`: those of `[identity]`.
pub const IDENTITY_KEYS: &[Key] = &[
    key("source", "device-code"),
    key("audience", "api://AzureADTokenExchange"),
    key("url", "https://app.gitpod.io"),
    key("bearer_file", "/usr/local/gitpod/secrets/token"),
    key("token_file", "/var/run/secrets/azure/tokens/azure-identity-token"),
    key("variable", "PARTNER_ID_TOKEN"),
    key("command", COMMAND),
    key("assertion_file", "/run/secrets/saml-assertion"),
    key("tenant_id", "contoso.onmicrosoft.com"),
    key("client_id", "00000000-0000-0000-0000-000000000000"),
    key("authority", "https://login.microsoftonline.com"),
    key("imds_url", "http://169.254.169.254"),
];

/// The settings of one entry under `[exchanges.NAME]`. `[entra]`, `[arm]` and `cloud` make the one that is the default.
pub const EXCHANGE_KEYS: &[Key] = &[
    key("kind", "entra"),
    key("identity", "person"),
    key("subject_audience", "api://broker"),
    key("cloud", "us-government"),
    key("tenant_id", "fabrikam.onmicrosoft.us"),
    key("client_id", "00000000-0000-0000-0000-000000000000"),
    key("authority", "https://login.microsoftonline.us"),
    key("arm_url", "https://management.usgovcloudapi.net"),
    key("arm_scope", "https://management.usgovcloudapi.net/.default"),
    key("assertion_scope", "api://orders/access_as_user"),
    key("token_endpoint", "https://contoso.azure-api.net/broker/token"),
    key("revocation_endpoint", "https://contoso.azure-api.net/broker/revoke"),
    key("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    key("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    key("resource", r#"["https://api.contoso.com/orders"]"#),
    key("audience", r#"["orders"]"#),
    key("actor", "person"),
    key("client_auth", "none"),
    key("certificate_file", "client.crt"),
    key("key_file", "client.key"),
];

/// The settings of one entry under `[gateways.NAME]`: those of `[gateway]`.
pub const GATEWAY_KEYS: &[Key] =
    &[key("url", "https://fabrikam.azure-api.net"), key("service", SERVICE), key("probe", "/orders/health")];

/// The settings of one entry under `[credentials.NAME]`.
pub const CREDENTIAL_KEYS: &[Key] = &[
    key("kind", "access-token"),
    key("scope", "api://orders/.default"),
    key("env", "ORDERS_TOKEN"),
    key("required", "true"),
    key("lifetime", "1h"),
    key("grace", "60s"),
    key("probe", "/orders/health"),
    key("gateway", "partner"),
    key("exchange", "fabrikam"),
    key("identity", "person"),
    key("audience", "https://contoso.azure-api.net"),
    key("vault", "contoso"),
    key("secret", "partner-key"),
    key("certificate", "partner-client"),
    key("version", "4387e9f3d6e14c459867679a90fd0f79"),
];

/// The tables of the file.
pub const TABLES: &[&str] =
    &["identity", "entra", "arm", "gateway", "identities", "exchanges", "gateways", "credentials"];

/// Variables that say where the file is, and that make one credential where none is configured.
pub const CONFIG: &str = "APIM_AGENT_CONFIG";
/// See [`CONFIG`].
pub const SCOPE: &str = "APIM_AGENT_SCOPE";
/// See [`CONFIG`].
pub const ENV: &str = "APIM_AGENT_ENV";

/// Variables that name the workspace when no setting does, in order.
pub const WORKSPACE_FALLBACKS: &[&str] = &["GITPOD_ENVIRONMENT_ID", "GITPOD_WORKSPACE_ID"];

/// Variables of ours that are published rather than read: a shell that sourced the env file has them.
pub const PUBLISHED: &[&str] = &["APIM_AGENT_GENERATION", "APIM_AGENT_EXPIRES_AT"];

/// What all variables of ours begin with.
pub const PREFIX: &str = "APIM_AGENT_";

/// The variable of the setting `path`: `gateway.url` is `APIM_AGENT_GATEWAY_URL`.
pub fn variable(path: &str) -> String {
    let tail = path.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    PREFIX.chars().chain(tail).collect()
}

/// The setting at `path`, such as `gateway.url` or `credentials.orders.kind`.
pub fn find(path: &str) -> Option<&'static Key> {
    let (keys, name) = match entry_path(path) {
        Some((section, _, name)) => (section.keys, name),
        None => (KEYS, path),
    };
    keys.iter().find(|key| key.name == name)
}

/// The section of that name.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Splits `credentials.orders.kind` into its section, `orders` and `kind`.
pub fn entry_path(path: &str) -> Option<(&'static Section, &str, &str)> {
    let (name, rest) = path.split_once('.')?;
    let (entry, leaf) = rest.rsplit_once('.')?;
    Some((section(name)?, entry, leaf))
}

/// The candidate that `word` most likely meant: at most a third of its letters (and at least one) are wrong.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, substitutions, and swaps of two neighbours, each counting one.
/// Long words are cut, so that hostile input costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                substituted.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_the_key_in_capitals() {
        assert_eq!(variable("workspace"), "APIM_AGENT_WORKSPACE");
        assert_eq!(variable("entra.tenant_id"), "APIM_AGENT_ENTRA_TENANT_ID");
        assert_eq!(variable("credentials.my-api.kind"), "APIM_AGENT_CREDENTIALS_MY_API_KIND");
    }

    #[test]
    fn finds_settings_and_those_of_credentials() {
        assert_eq!(find("entra.tenant_id").map(|key| key.name), Some("entra.tenant_id"));
        assert_eq!(find("credentials.orders.kind").map(|key| key.name), Some("kind"));
        assert_eq!(find("gateways.partner.url").map(|key| key.name), Some("url"));
        assert!(find("credentials.kind").is_none());
        assert!(find("kind").is_none());
    }

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("kind", "knid", 1), ("gatway", "gateway", 1), ("url", "uri", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("gatway", TABLES.iter().copied()), Some("gateway"));
        assert_eq!(nearest("tls", TABLES.iter().copied()), None);
    }

    #[test]
    fn the_entries_of_a_section_have_the_settings_of_its_plain_table() {
        for (table, keys) in [("identity", IDENTITY_KEYS), ("gateway", GATEWAY_KEYS)] {
            let plain = KEYS.iter().filter_map(|key| key.name.split_once('.'));
            let plain: Vec<_> = plain.filter(|(of, _)| *of == table).map(|(_, leaf)| leaf).collect();
            assert_eq!(keys.iter().map(|key| key.name).collect::<Vec<_>>(), plain);
        }
    }

    #[test]
    fn no_two_settings_share_a_variable() {
        let mut names: Vec<String> = KEYS.iter().map(|key| variable(key.name)).collect();
        names.extend(KEYS.iter().flat_map(|key| key.aliases).map(|&name| name.to_owned()));
        names.extend([CONFIG, SCOPE, ENV].map(str::to_owned));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
