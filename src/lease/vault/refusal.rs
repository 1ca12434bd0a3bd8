//! What a Key Vault's refusals mean: pure, from status, headers and body to something a person can act on.
//!
//! Bodies look like `{"error":{"code","message","innererror":{"code"}}}`
//! (<https://learn.microsoft.com/azure/key-vault/general/rest-error-codes>). Only these parts are ever repeated, shortened
//! and with whatever looks like a token masked.

use super::Object;
use crate::{
    error::{Class, Error},
    http::answer::{printable, wait},
};
use serde::Deserialize;
use std::time::SystemTime;
use url::{Host, Url};

/// Longest text that we repeat from an answer, in characters.
const LONGEST: usize = 600;

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) object: Object,
    pub(super) name: &'a str,
    pub(super) vault: &'a Url,
}

impl Asked<'_> {
    fn host(&self) -> &str {
        self.vault.host_str().unwrap_or_default()
    }

    /// The vault's own name, as `az --vault-name` takes it; an address has none.
    fn vault_name(&self) -> &str {
        match self.vault.host() {
            Some(Host::Domain(host)) => host.split('.').next().unwrap_or(host),
            _ => "VAULT",
        }
    }

    /// As in "… was not given".
    fn called(&self) -> String {
        format!("the {} {} of the vault {}", self.object, self.name, self.host())
    }

    /// The least built-in role that can read it. For a certificate it takes two actions, and one role has both.
    fn role(&self) -> &'static str {
        match self.object {
            Object::Secret => "Key Vault Secrets User",
            Object::Certificate => "Key Vault Certificate User",
        }
    }

    /// `az keyvault secret VERB --vault-name V --name N`.
    fn az(&self, verb: &str) -> String {
        format!("az keyvault {} {verb} --vault-name {} --name {}", self.object, self.vault_name(), self.name)
    }
}

/// The parts of an answer that are looked at.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) retry_after: Option<&'a str>,
    pub(super) body: &'a [u8],
}

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Detail,
}

#[derive(Default, Deserialize)]
struct Detail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(rename = "innererror")]
    inner: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
}

/// The refusal in words.
pub(super) fn read(asked: &Asked<'_>, answer: &Answer<'_>, now: SystemTime) -> Error {
    let body: Body = serde_json::from_slice(answer.body).unwrap_or_default();
    let inner = body.error.inner.map(|inner| inner.code).unwrap_or_default();
    // The message goes first to whoever reads the roles out of it, and is made printable for people.
    let message = body.error.message;
    let code = if inner.is_empty() { &body.error.code } else { &inner };
    let why = match (code.as_str(), message.as_str()) {
        ("", "") => format!("status {}", answer.status),
        (code, "") => format!("status {}: {}", answer.status, printable(code, LONGEST)),
        (code, message) => {
            format!("status {}, {}: {}", answer.status, printable(code, 60), printable(message, LONGEST))
        }
    };
    let (class, what, fix) = match answer.status {
        401 => unauthorized(asked, &message),
        403 => forbidden(asked, &inner, &message),
        404 => (
            Class::Config,
            format!("{} does not exist", asked.called()),
            format!(
                "check name and version; if it was deleted it may wait to be recovered: {}",
                asked.az("recover")
            ),
        ),
        409 => (
            Class::TryAgain,
            format!("{} is being changed", asked.called()),
            "nothing: it is tried again".to_owned(),
        ),
        429 => (
            Class::TryAgain,
            format!("the vault {} is asked too often", asked.host()),
            "nothing: it is tried again; a vault's limits hold for all its callers together".to_owned(),
        ),
        408 | 500.. => (
            Class::Unavailable,
            format!("the vault {} failed", asked.host()),
            "nothing: it is tried again".to_owned(),
        ),
        300..=399 => (
            Class::Config,
            format!("{} sends us elsewhere, and no token goes there", asked.host()),
            "check that the credential's vault is the vault's own URL".to_owned(),
        ),
        _ => (
            Class::Config,
            format!("{} was not given", asked.called()),
            "check the credential's vault, name and version".to_owned(),
        ),
    };
    let retry_after = answer.retry_after.and_then(|text| wait(text, now));
    Error::new(class, what).why(why).fix(fix).retry_after(retry_after)
}

type Verdict = (Class, String, String);

fn unauthorized(asked: &Asked<'_>, message: &str) -> Verdict {
    let host = asked.host();
    if message.contains("AKV10032") {
        let fix = format!(
            "set the exchange's tenant_id to the vault's tenant: az keyvault show --name {} --query properties.tenantId",
            asked.vault_name()
        );
        return (Class::Config, format!("the vault {host} belongs to another tenant"), fix);
    }
    let fix = "compare the exchange's cloud with the vault's, and the clocks";
    (Class::Denied, format!("the vault {host} does not accept the token"), fix.to_owned())
}

fn forbidden(asked: &Asked<'_>, inner: &str, message: &str) -> Verdict {
    let called = asked.called();
    let (what, fix) = match inner {
        "SecretDisabled" | "CertificateDisabled" => (
            format!("{called} is disabled"),
            format!("enable it: {} --enabled true; or name another version", asked.az("set-attributes")),
        ),
        // The vault looks at network rules first, so these say nothing of the caller's rights.
        "ForbiddenByFirewall" => (
            format!("the firewall of the vault {} refuses this machine's address", asked.host()),
            format!(
                "allow it: az keyvault network-rule add --name {} --ip-address ADDRESS (the one in the message)",
                asked.vault_name()
            ),
        ),
        "ForbiddenByConnection" => (
            format!("the vault {} is reached through its private endpoint only", asked.host()),
            "run the workspace in a network with the endpoint, or allow public access for its address"
                .to_owned(),
        ),
        "AccessDenied" | "ForbiddenByPolicy" => (format!("{called} may not be read by this application"), {
            let who = value(message, "oid=").unwrap_or("OBJECT-ID");
            let certificate = match asked.object {
                Object::Secret => "",
                Object::Certificate => " --certificate-permissions get",
            };
            format!(
                "az keyvault set-policy --name {} --object-id {who} --secret-permissions get{certificate}",
                asked.vault_name()
            )
        }),
        _ => (format!("{called} may not be read by this application"), assignment(asked, message)),
    };
    (Class::Denied, what, fix)
}

/// The command that gives the right, with what the vault's message tells of the caller and the resource.
fn assignment(asked: &Asked<'_>, message: &str) -> String {
    let who = value(message, "oid=").unwrap_or("OBJECT-ID");
    let scope = value(message, "Resource: '").map_or_else(
        || format!("\"$(az keyvault show --name {} --query id --output tsv)\"", asked.vault_name()),
        |resource| match asked.object {
            // A secret can be given alone. A certificate is two resources, so its role is given at the vault.
            Object::Secret => resource.to_owned(),
            Object::Certificate => vault_of(resource).to_owned(),
        },
    );
    format!(
        "az role assignment create --role \"{}\" --assignee-object-id {who} --assignee-principal-type \
         ServicePrincipal --scope {scope}; it takes some minutes to arrive",
        asked.role()
    )
}

/// The word behind `mark` in a foreign message, if it is one that may stand in a command line.
fn value<'a>(message: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(mark)?;
    let fine = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let word = &rest[..rest.find(|c| !fine(c)).unwrap_or(rest.len())];
    (!word.is_empty() && word.len() <= LONGEST).then_some(word)
}

/// `…/vaults/NAME` of a resource below it.
fn vault_of(resource: &str) -> &str {
    let Some((at, mark)) = resource.match_indices("/vaults/").next() else { return resource };
    let start = at + mark.len();
    let length = resource[start..].find('/').unwrap_or(resource.len() - start);
    &resource[..start + length]
}

/// The vault was not reached: our own transport's or exchange's error.
pub(super) fn unreached(asked: &Asked<'_>, error: Error) -> Error {
    // Each vault has a name of its own in the DNS, so this is how a vault that does not exist looks.
    if error.what == format!("the name {} cannot be resolved", asked.host()) {
        return error
            .fix("check the credential's vault: one that does not exist, or was deleted, has no address");
    }
    error
}

/// The SDK did not even ask: the vault's challenge is none, or not a vault's.
pub(super) fn unasked(asked: &Asked<'_>, why: &str) -> Error {
    Error::new(Class::Config, format!("{} does not answer like a Key Vault, and gets no token", asked.host()))
        .why(printable(why, LONGEST))
        .fix("check the credential's vault: its name, or its URL such as https://contoso.vault.azure.net")
}

/// Success, and then something that makes no sense. Nothing of it is shown: it may hold the value.
pub(super) fn nonsense(asked: &Asked<'_>) -> Error {
    Error::new(Class::Unavailable, format!("{} cannot be read", asked.called()))
        .why(format!("what {} answered is not a {} in JSON", asked.host(), asked.object))
        .fix("check that the credential's vault is a Key Vault, and that nothing on the way changes its answers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;
    use serde_json::json;

    const OID: &str = "7f0d3b9e-1a2b-4c3d-8e4f-0123456789ab";

    fn told(object: Object, status: u16, body: &str) -> Error {
        let vault = "https://contoso.vault.azure.net/".parse().expect("a URL");
        let asked = Asked { object, name: "partner", vault: &vault };
        let answer = Answer { status, retry_after: Some("7"), body: body.as_bytes() };
        let error = read(&asked, &answer, from_unix(1_795_530_309));
        assert_eq!(error.retry_after.map(|wait| wait.as_secs()), Some(7));
        assert!(error.why.is_some() && error.fix.is_some(), "{error}");
        error
    }

    fn refused(object: Object, status: u16, inner: &str, message: &str) -> Error {
        let body = json!({"error": {"code": "Forbidden", "message": message, "innererror": {"code": inner}}});
        told(object, status, &body.to_string())
    }

    #[test]
    fn a_missing_role_is_told_with_the_command_that_gives_it() {
        let vault = "/subscriptions/s/resourcegroups/g/providers/microsoft.keyvault/vaults/contoso";
        let message = format!(
            "Caller is not authorized to perform action on resource.\r\nCaller: appid=a;oid={OID};iss=i\r\nAction: \
             'x'\r\nResource: '{vault}/secrets/partner'\r\nAssignment: (not found)"
        );
        let error = refused(Object::Secret, 403, "ForbiddenByRbac", &message);
        assert_eq!(error.class, Class::Denied);
        let command = format!(
            "az role assignment create --role \"Key Vault Secrets User\" --assignee-object-id {OID} \
             --assignee-principal-type ServicePrincipal --scope {vault}/secrets/partner;"
        );
        assert!(error.fix.is_some_and(|fix| fix.starts_with(&command)));
        let error = refused(Object::Certificate, 403, "ForbiddenByRbac", &message);
        let fix = error.fix.unwrap_or_default();
        assert!(fix.contains("Key Vault Certificate User") && fix.contains(&format!("{vault};")), "{fix}");
        // A message is no place to put commands in.
        let message = "oid=$(id);\r\nResource: '`id`'";
        let fix = refused(Object::Secret, 403, "ForbiddenByRbac", message).fix.unwrap_or_default();
        assert!(fix.contains("--assignee-object-id OBJECT-ID") && !fix.contains("id`"), "{fix}");
    }

    #[test]
    fn each_refusal_has_its_class_and_its_way_out() {
        for (status, inner, message, class, words, way_out) in [
            (401, "", "AKV10032: Invalid issuer.", Class::Config, "another tenant", "properties.tenantId"),
            (401, "", "AKV10022: Invalid audience.", Class::Denied, "does not accept", "cloud"),
            (403, "SecretDisabled", "Operation get …", Class::Denied, "is disabled", "--enabled true"),
            (403, "ForbiddenByConnection", "Public …", Class::Denied, "private endpoint", "network"),
            (403, "ForbiddenByFirewall", "Client …", Class::Denied, "firewall", "network-rule add"),
            (403, "AccessDenied", "… oid=abc;iss=…", Class::Denied, "may not be read", "--object-id abc"),
            (404, "", "A secret with …", Class::Config, "does not exist", "az keyvault secret recover"),
            (409, "", "", Class::TryAgain, "being changed", "tried again"),
            (429, "", "", Class::TryAgain, "too often", "tried again"),
            (503, "", "", Class::Unavailable, "failed", "tried again"),
            (302, "", "", Class::Config, "elsewhere", "own URL"),
            (400, "", "", Class::Config, "was not given", "version"),
        ] {
            let error = refused(Object::Secret, status, inner, message);
            assert_eq!(error.class, class, "{status} {inner}");
            assert!(error.what.contains(words), "{error}");
            assert!(error.fix.as_ref().is_some_and(|fix| fix.contains(way_out)), "{error}");
        }
    }

    #[test]
    fn a_vault_without_an_address_does_not_exist() {
        let vault = "https://contoso.vault.azure.net/".parse().expect("a URL");
        let asked = Asked { object: Object::Secret, name: "partner", vault: &vault };
        let lost = |what: &str| unreached(&asked, Error::new(Class::Unavailable, what).fix("network"));
        let error = lost("the name contoso.vault.azure.net cannot be resolved");
        assert!(error.is_transient() && error.fix.is_some_and(|fix| fix.contains("does not exist")));
        let error = lost("the name login.microsoftonline.com cannot be resolved");
        assert_eq!(error.fix.as_deref(), Some("network"), "another one's name says nothing of the vault");
    }

    #[test]
    fn foreign_bodies_are_read_with_care() {
        for body in ["", "<html>", "[]", "{\"error\":7}", "{\"error\":{\"innererror\":null}}"] {
            let error = told(Object::Secret, 403, body);
            assert_eq!((error.class, error.why.as_deref()), (Class::Denied, Some("status 403")), "{body}");
        }
        let token = format!("eyJ{}", "a".repeat(60));
        let error = refused(Object::Secret, 403, "X", &format!("\u{1b}[31m {token} {}", "long ".repeat(999)));
        let text = error.to_string();
        assert!(!text.contains(&token) && !text.contains('\u{1b}') && text.len() < 2000, "{text}");
    }
}
