//! The forms of values as JSON Schema says them. A pattern accepts all that `crate::config` accepts; what needs more
//! than the text itself (another setting, a list of names that shells act on) is left to `apim-agent`.

use crate::config::{Kind, Source};
use serde_json::{Value, json};

/// How a setting's value is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Any text that is not empty.
    Text,
    /// A text without spaces.
    Word,
    /// A list of those.
    Words,
    /// A program and its arguments.
    Argv,
    /// `true` or `false`.
    Flag,
    /// `90s`.
    Duration,
    Guid,
    /// A GUID or a domain.
    Tenant,
    /// An https URL, with a base path if need be.
    Https,
    /// One without.
    HttpsHost,
    /// The first, or plain http to this machine.
    HttpsOrLoopback,
    /// Plain http to the metadata service.
    Imds,
    /// One resource and `/.default`.
    DefaultScope,
    /// Words, with a space between.
    Scope,
    /// The name of a variable.
    Variable,
    /// The ARM id of an API Management service.
    Service,
    /// A path at the gateway.
    Probe,
    /// A Key Vault.
    Vault,
    /// An object in it.
    VaultName,
    /// A version of that.
    VaultVersion,
    Cloud,
    Source,
    /// A credential's kind.
    Kind,
    /// An exchange's.
    ExchangeKind,
    /// How the agent proves to a token endpoint who it is.
    ClientAuth,
}

const GUID: &str = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
const LABEL: &str = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?";
const LOOPBACK: &str = r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?";
/// A host, and no user before it: a password would hide there.
const HOST: &str = r"[^\s/?#@\\]+";

/// What a subscription opens.
pub(super) const SUBSCRIPTION_SCOPE: &str = r#"^/(?:apis|(?:apis|products)/[^\s*#&+:<>?/\\%"]{1,256})$"#;

impl Form {
    /// The schema of a value in this form, without its description.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Flag => json!({"type": "boolean"}),
            Self::Words => json!({"type": "array", "items": text(r"^\S+$"), "minItems": 1}),
            // The program is not empty, an argument may be.
            Self::Argv => {
                json!({"type": "array", "items": {"type": "string", "not": token()}, "minItems": 1})
            }
            Self::Cloud => one_of(&["public", "us-government", "china"]),
            Self::Source => one_of(&Source::ALL.map(|(name, _)| name)),
            Self::Kind => one_of(&Kind::ALL.map(|(name, _)| name)),
            Self::ExchangeKind => one_of(&["entra", "on-behalf-of", "saml-bearer", "token-exchange"]),
            Self::ClientAuth => one_of(&["none", "private-key-jwt", "mtls"]),
            _ => text(&self.pattern()),
        }
    }

    fn pattern(self) -> String {
        let https = format!(r"{}://{HOST}", any_case("https"));
        match self {
            Self::Duration => "^[0-9]+(?:ms|s|m|h)$".to_owned(),
            Self::Guid => format!("^{GUID}$"),
            Self::Tenant => format!(r"^(?:{GUID}|{LABEL}(?:\.{LABEL})+)$"),
            Self::Https => format!(r"^{https}(?:/[^\s?#]*)?$"),
            Self::HttpsHost => format!("^{https}/*$"),
            Self::HttpsOrLoopback => format!(r"^(?:{https}|http://{LOOPBACK})(?:/[^\s?#]*)?$"),
            Self::Imds => format!(r"^http://(?:169\.254\.169\.254(?::[0-9]+)?|{LOOPBACK})/?$"),
            Self::DefaultScope => r"^\S+/\.default$".to_owned(),
            Self::Scope => r"^\S+(?: \S+)*$".to_owned(),
            Self::Variable => "^[A-Za-z_][0-9A-Za-z_]{0,127}$".to_owned(),
            Self::Service => format!(
                r"^/{}/{GUID}/{}/[^\s/]{{1,90}}/{}/{}/{}/[A-Za-z](?:[0-9A-Za-z-]{{0,48}}[0-9A-Za-z])?/?$",
                any_case("subscriptions"),
                any_case("resourceGroups"),
                any_case("providers"),
                any_case("Microsoft.ApiManagement"),
                any_case("service"),
            ),
            Self::Probe => r"^/(?!/)[^\s?#\\]*$".to_owned(),
            Self::Vault => format!(r"^(?:(?!.*--)[A-Za-z][0-9A-Za-z-]{{1,22}}[0-9A-Za-z]|{https}/*)$"),
            Self::VaultName => "^[0-9A-Za-z-]{1,127}$".to_owned(),
            Self::VaultVersion => "^[0-9A-Fa-f]{32}$".to_owned(),
            _ if matches!(self, Self::Word) => r"^\S+$".to_owned(),
            _ => r"\S".to_owned(),
        }
    }
}

fn one_of(names: &[&str]) -> Value {
    json!({"enum": names})
}

/// A text of that pattern, and no token: an editor then says so where one is pasted, before it is saved.
fn text(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern, "not": token()})
}

fn token() -> Value {
    json!({"$ref": "#/definitions/token"})
}

/// The pattern of `word` in any case; JSON Schema's patterns have no flags.
fn any_case(word: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphabetic() => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        '.' => r"\.".to_owned(),
        c => c.to_string(),
    };
    word.chars().map(letter).collect()
}
