//! From Entra's codes to what a person should do. Pure; the table that grows.
//!
//! Whether a code is `Denied` or `Config` follows the question who has to act: somebody with rights in the directory,
//! or whoever wrote our configuration.

mod person;

use super::aadsts::{Flow, Presented};
use crate::error::Class::{self, Config, Denied, TryAgain, Unavailable};
use serde_json::json;

/// AADSTS700024: the assertion is not within its valid time.
pub(super) const OUTSIDE_ITS_TIME: u32 = 700_024;

/// What is known of a code.
pub(super) struct Known {
    pub(super) class: Class,
    pub(super) fix: String,
}

/// Codes that say: no federated credential of the application matches the token.
pub(super) fn is_about_the_match(code: u32) -> bool {
    matches!(code, 70_021 | 700_211 | 700_212 | 700_213 | 7_002_121 | 7_002_138 | 70_025)
}

/// The tables: what is peculiar to the flow, then what holds for all.
pub(super) fn known(code: u32, presented: &Presented) -> Option<Known> {
    person::known(code, presented).or_else(|| common(code, presented))
}

fn common(code: u32, presented: &Presented) -> Option<Known> {
    let Presented { tenant_id, client_id, scope, claims, .. } = presented;
    let (class, fix) = match code {
        70_021 => (
            Denied,
            format!("if its federated credential was made minutes ago, wait; else add one: {}", command(presented)),
        ),
        7_002_138 => (Denied, format!("the match is case-sensitive; add the exact one: {}", command(presented))),
        _ if is_about_the_match(code) => {
            (Denied, format!("add the matching federated credential: {}", command(presented)))
        }
        OUTSIDE_ITS_TIME => (
            Denied,
            "set this machine's clock (timedatectl), or see why the source gives a token that is out of its time".to_owned(),
        ),
        50_027 => (Config, "Entra cannot read the token as a JWT: check identity.source and what it gives".to_owned()),
        700_027 | 7_000_272 | 50_013 => (
            Denied,
            format!(
                "check that {} serves the keys its tokens are signed with (RS256), at /.well-known/openid-configuration",
                claims.iss
            ),
        ),
        501_661 => (Unavailable, format!("{} must be reachable from the internet, for Entra to fetch its keys", claims.iss)),
        700_016 => (Config, format!("check entra.client_id ({client_id}) and entra.tenant_id ({tenant_id})")),
        7_000_112 => (Denied, format!("the application {client_id} is disabled: have it enabled in the directory")),
        7_000_215 | 7_000_216 | 7_000_218 => (
            Denied,
            format!("check that entra.client_id ({client_id}) is the application with the federated credential"),
        ),
        90_002 | 900_023 => (Config, format!("check entra.tenant_id ({tenant_id}) and the cloud (entra.authority)")),
        500_011 => (
            Config,
            format!("check the scope {scope}: its API must exist in tenant {tenant_id}, as an enterprise application"),
        ),
        70_011 | 1_002_012 => (Config, format!("correct the scope {scope}: one resource, then /.default")),
        65_001 => (Denied, format!("have an administrator consent: az ad app permission admin-consent --id {client_id}")),
        501_051 | 50_105 => (Denied, format!("have an app role of the API behind {scope} assigned to {client_id}")),
        53_003 => (Denied, "a Conditional Access policy for workload identities blocks this: have it changed".to_owned()),
        90_033 => (Unavailable, "Entra says that it will pass: wait".to_owned()),
        50_196 => (TryAgain, "Entra saw the same request too often: wait".to_owned()),
        _ => return None,
    };
    Some(Known { class, fix })
}

/// By the OAuth error (RFC 6749, 5.2 and 4.1.2.1; `OpenID` Connect Core, 3.1.2.6), for codes that are not in the table.
pub(super) fn by_error(error: &str, flow: Flow) -> (Class, &'static str) {
    match error {
        "invalid_grant" | "unsupported_grant_type" if flow == Flow::SamlBearer => {
            (Denied, person::ONLY_AD_FS)
        }
        "interaction_required" | "login_required" | "consent_required" if flow != Flow::ClientAssertion => {
            (Denied, "a person has to sign in again, and consent or meet what the policies of this API want")
        }
        "invalid_request" | "invalid_scope" | "invalid_resource" | "unsupported_grant_type" => {
            (Config, "check entra.tenant_id, entra.client_id and the credential's scope")
        }
        "interaction_required" | "login_required" => (
            Denied,
            "a policy wants a person here: have workload identities excepted from it (Conditional Access)",
        ),
        "consent_required" => (Denied, "have an administrator consent to the application's permissions"),
        "temporarily_unavailable" | "server_error" => (Unavailable, "wait: it is Entra's fault"),
        _ => (Denied, "look the AADSTS code up at https://login.microsoftonline.com/error"),
    }
}

/// The command that adds the federated credential which would have matched.
fn command(presented: &Presented) -> String {
    let parameters = json!({
        "name": "apim-agent",
        "issuer": presented.claims.iss,
        "subject": presented.claims.sub,
        "audiences": [presented.audience],
    });
    let id = quoted(&presented.client_id);
    format!(
        "az ad app federated-credential create --id {id} --parameters {}",
        quoted(&parameters.to_string())
    )
}

/// One word for the shell. The claims are somebody else's text, and this line is there to be pasted.
fn quoted(text: &str) -> String {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_shell() {
        assert_eq!(quoted("0a-1"), "0a-1");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
    }
}
