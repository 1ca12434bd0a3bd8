//! The forms of values: each function takes a text and gives the value, or what is allowed and a good example.

use super::{
    Kind, Source,
    cloud::Cloud,
    duration,
    endpoint::{self, Rule},
    keys,
};
use std::{ops::RangeInclusive, time::Duration};
use url::Url;

/// Why a text is not usable.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What to say instead of `KEY is "VALUE"`, after the key: where the value must not be shown, or is not the point.
    pub what: Option<String>,
    /// What is allowed, as the end of a sentence.
    pub allowed: String,
    /// A value that would pass; `None` takes the setting's usual example.
    pub example: Option<String>,
}

impl Complaint {
    /// Only what is allowed.
    pub fn new(allowed: impl Into<String>) -> Self {
        Self { what: None, allowed: allowed.into(), example: None }
    }

    /// With other words than `is "VALUE"`.
    #[must_use]
    pub fn what(mut self, what: impl Into<String>) -> Self {
        self.what = Some(what.into());
        self
    }

    /// With an example closer to what was written.
    #[must_use]
    pub fn example(mut self, example: impl Into<String>) -> Self {
        self.example = Some(example.into());
        self
    }
}

/// A form's answer.
pub type Read<T> = Result<T, Complaint>;

/// One of these words.
pub fn one_of<T: Copy>(text: &str, all: &[(&str, T)]) -> Read<T> {
    if let Some((_, value)) = all.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let complaint = Complaint::new(format!("allowed are {}", names.join(", ")));
    let word = text.to_ascii_lowercase();
    // Half of a name is nearer to it than any other name: `github` means `github-actions`, not `gitlab`.
    let begun = names.iter().copied().find(|name| name.split('-').next() == Some(&word));
    Err(match begun.or_else(|| keys::nearest(&word, names)) {
        Some(near) => complaint.example(near),
        None => complaint,
    })
}

/// A credential kind.
pub fn kind(text: &str) -> Read<Kind> {
    one_of(text, &Kind::ALL)
}

/// An identity source.
pub fn source(text: &str) -> Read<Source> {
    one_of(text, &Source::ALL)
}

/// A cloud.
pub fn cloud(text: &str) -> Read<Cloud> {
    one_of(text, &Cloud::ALL)
}

/// A duration within `range`.
pub fn duration_in(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Read<Duration> {
    move |text| {
        let (least, most) = (duration::show(*range.start()), duration::show(*range.end()));
        let allowed = format!("allowed is {least} to {most}, a whole number with ms, s, m or h");
        match duration::parse(text) {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(Complaint::new(allowed)),
        }
    }
}

/// A GUID in the usual form with hyphens; given back in lower case.
pub fn guid(text: &str) -> Read<String> {
    if is_guid(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Complaint::new("allowed is a GUID: 8-4-4-4-12 hexadecimal digits"))
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5
        && parts
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(part, length)| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A tenant: its GUID or one of its verified domains.
///
/// `common`, `organizations` and `consumers` name no tenant; federation needs one.
pub fn tenant(text: &str) -> Read<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if is_guid(text) || (text.len() <= 253 && text.contains('.') && text.split('.').all(label)) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Complaint::new("allowed are the tenant's GUID and a domain of it"))
}

/// An Entra scope for an application: one resource and `/.default`.
pub fn default_scope(text: &str) -> Read<String> {
    let complaint = Complaint::new("allowed is one resource followed by /.default");
    match text.strip_suffix("/.default").map(|resource| resource.trim_end_matches('/')) {
        Some(resource) if is_word(resource) => Ok(text.to_owned()),
        None if is_word(text) => Err(complaint.example(format!("{}/.default", text.trim_end_matches('/')))),
        _ => Err(complaint),
    }
}

/// A scope of an access token: what the exchange takes is its own business, so only its form is looked at. One that is
/// nearly Entra's is not meant to be another's.
pub fn scope(text: &str) -> Read<String> {
    if text.split(' ').all(is_word) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new("allowed are one scope or several, with a space between"))
}

/// `true` or `false`.
pub fn flag(text: &str) -> Read<bool> {
    one_of(text, &[("true", true), ("false", false)])
}

/// A list of words, as JSON.
pub fn words(text: &str) -> Read<Vec<String>> {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(words) if words.iter().all(|word| is_word(word)) && !words.is_empty() => Ok(words),
        _ => Err(Complaint::new("allowed is a list of texts without spaces")),
    }
}

/// A Key Vault: its name, which the cloud makes a URL of, or its URL.
/// <https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#vault-name-and-object-name>
pub fn vault(cloud: Cloud) -> impl Fn(&str) -> Read<Url> {
    move |text| {
        if text.contains("://") {
            return endpoint::read(Rule::HttpsHost)(text);
        }
        let is_name = (3..=24).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !text.ends_with('-')
            && !text.contains("--");
        if is_name {
            return endpoint::read(Rule::HttpsHost)(&format!("https://{text}.{}", cloud.vault_suffix()));
        }
        Err(Complaint::new(
            "allowed are a vault's name (3 to 24 letters, digits and hyphens) and its https URL",
        ))
    }
}

/// The name of an object in a Key Vault.
pub fn vault_name(text: &str) -> Read<String> {
    if (1..=127).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new("allowed are 1 to 127 letters, digits and hyphens"))
}

/// The version of an object in a Key Vault.
pub fn vault_version(text: &str) -> Read<String> {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new("allowed are 32 hexadecimal digits; without it the current version is taken"))
}

/// What a subscription opens: a product, an API, or all APIs.
/// <https://learn.microsoft.com/rest/api/apimanagement/subscription/create-or-update>
pub fn subscription_scope(text: &str) -> Read<String> {
    // The characters that APIM forbids in ids, and those that would change the path.
    let id = |id: &str| {
        (1..=256).contains(&id.len()) && is_word(id) && !id.contains(|c| "*#&+:<>?/\\%\"".contains(c))
    };
    let is_fine = text == "/apis"
        || text.strip_prefix("/products/").is_some_and(id)
        || text.strip_prefix("/apis/").is_some_and(id);
    if is_fine {
        return Ok(text.to_owned());
    }
    Err(Complaint::new("allowed are /products/ID, /apis/ID and /apis (all APIs)")
        .example("/products/starter"))
}

/// The ARM resource id of an APIM service.
pub fn service_id(text: &str) -> Read<String> {
    let complaint = || {
        Complaint::new(
            "allowed is the service's ARM id, as shown by: az apim show --name NAME --resource-group GROUP --query id",
        )
    };
    let text = text.strip_suffix('/').unwrap_or(text);
    let parts: Vec<&str> = text.split('/').collect();
    let ["", subscriptions, subscription, groups, group, providers, provider, services, service] =
        parts.as_slice()
    else {
        return Err(complaint());
    };
    // ARM compares the fixed parts without regard to case, and so its tools print them in any.
    let fixed = [
        (subscriptions, "subscriptions"),
        (groups, "resourceGroups"),
        (providers, "providers"),
        (provider, "Microsoft.ApiManagement"),
        (services, "service"),
    ];
    let is_fine = fixed.iter().all(|(found, wanted)| found.eq_ignore_ascii_case(wanted))
        && is_guid(subscription)
        && (1..=90).contains(&group.chars().count())
        && group.chars().all(|c| c.is_alphanumeric() || "._-()".contains(c))
        && !group.ends_with('.')
        && (1..=50).contains(&service.len())
        && service.starts_with(|c: char| c.is_ascii_alphabetic())
        && service.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !service.ends_with('-');
    if is_fine { Ok(text.to_owned()) } else { Err(complaint()) }
}

/// A path at the gateway that needs no more than the credential.
pub fn probe_path(text: &str) -> Read<String> {
    // A second slash would make the next part a host; a query could hold a key.
    let is_fine =
        text.starts_with('/') && !text.starts_with("//") && is_word(text) && !text.contains(['?', '#', '\\']);
    if is_fine {
        Ok(text.to_owned())
    } else {
        Err(Complaint::new("allowed is a path from /, without ? and #"))
    }
}

/// The workspace's name: it becomes part of a folder's name and of display names at APIM.
pub fn workspace(text: &str) -> Read<String> {
    let text = text.trim();
    if (1..=128).contains(&text.chars().count()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new("allowed are 1 to 128 characters without control characters"))
}

/// An audience: one word.
pub fn audience(text: &str) -> Read<String> {
    if is_word(text) {
        Ok(text.to_owned())
    } else {
        Err(Complaint::new("allowed is one audience, without spaces"))
    }
}

/// A program and its arguments: a JSON array of texts, as [`super::document`] also makes of an array in the file.
///
/// A single text is refused rather than split: where it is split would be a guess, or a shell's business.
pub fn argv(text: &str) -> Read<Vec<String>> {
    let complaint = |allowed: &str| Err(Complaint::new(allowed));
    let Ok(words) = serde_json::from_str::<Vec<String>>(text) else {
        return complaint(
            "allowed is a list of texts, the program and each of its arguments; no shell reads it",
        );
    };
    if words.iter().any(|word| looks_like_token(word)) {
        return Err(Complaint::new(
            "no secret belongs in the configuration; everybody can see a command line",
        )
        .what("holds a token"));
    }
    if words.first().is_none_or(|program| program.trim().is_empty()) {
        return complaint("its first text has to be a program");
    }
    if words.iter().any(|word| word.contains('\0')) {
        return complaint("no program can be given the character NUL");
    }
    Ok(words)
}

/// A JWT by its look: whoever puts one into a setting meant to name the place that holds it.
pub fn looks_like_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.contains('.')
}

/// A text without spaces and control characters.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants() {
        for good in ["contoso.onmicrosoft.com", "7A1D0F3C-5B5E-4C0E-9D58-0D5C1E6F2A11"] {
            assert_eq!(tenant(good), Ok(good.to_ascii_lowercase()));
        }
        for bad in ["common", "organizations", "a..b", "-a.b", "a.b/c", "a.b?c", " a.b", "contoso"] {
            assert!(tenant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn guids() {
        assert!(guid("3f2b8e6a-91c4-4d7e-8a35-6b0f4c9d1e22").is_ok());
        for bad in [
            "",
            "3f2b8e6a91c44d7e8a356b0f4c9d1e22",
            "{3f2b8e6a-91c4-4d7e-8a35-6b0f4c9d1e22}",
            "3f2b8e6a-91c4-4d7e-8a35-6b0f4c9d1e2g",
        ] {
            assert!(guid(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_of_access_tokens() {
        assert!(default_scope("api://orders/.default").is_ok());
        assert!(default_scope("https://management.azure.com//.default").is_ok(), "as az sends it");
        assert_eq!(
            default_scope("api://orders").unwrap_err().example.as_deref(),
            Some("api://orders/.default"),
            "the example is made of what was written"
        );
        for bad in ["", "/.default", "a/.default b/.default", "a /.default"] {
            assert!(default_scope(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_of_subscriptions() {
        for good in ["/products/starter", "/apis/echo;rev=2", "/apis"] {
            assert_eq!(subscription_scope(good).as_deref(), Ok(good));
        }
        for bad in [
            "/products",
            "/products/",
            "/products/a/b",
            "/apis/",
            "products/a",
            "/apis/a?b",
            "/apis/%2e",
            "/users/1",
        ] {
            assert!(subscription_scope(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn service_ids() {
        let id = "/subscriptions/b9e8d7c6-0a1b-4c2d-8e3f-4a5b6c7d8e44/resourceGroups/rg-a_(1)/providers/Microsoft.ApiManagement/service/contoso";
        assert_eq!(service_id(id).as_deref(), Ok(id));
        assert_eq!(service_id(&format!("{id}/")).as_deref(), Ok(id));
        assert!(service_id(&id.to_ascii_lowercase()).is_ok(), "ARM knows no case there");
        for bad in [
            "contoso".to_owned(),
            id.replace("Microsoft.ApiManagement", "Microsoft.Web"),
            id.replace("rg-a_(1)", ""),
            id.replace("rg-a_(1)", "rg."),
            format!("{id}/apis/x"),
            id.replace("contoso", "1contoso"),
            format!("https://management.azure.com{id}"),
        ] {
            assert!(service_id(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn probe_paths() {
        assert!(probe_path("/status-0123456789abcdef").is_ok());
        for bad in
            ["status", "//evil.example/x", "/a?subscription-key=x", "/a#b", "/a b", "/\\evil.example", ""]
        {
            assert!(probe_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands() {
        let words = ["gp", "idp", "token", "--audience", "{audience}"].map(str::to_owned).to_vec();
        assert_eq!(argv(r#"["gp", "idp", "token", "--audience", "{audience}"]"#), Ok(words));
        assert!(argv(r#"["/opt/a b/cli", "", "$(id)"]"#).is_ok(), "words are words, whatever is in them");
        for bad in
            ["gp idp token", "[]", r#"[""]"#, r#"[" "]"#, r#"["a", 1]"#, r#"["a\u0000"]"#, "{}", "\"gp\""]
        {
            assert!(argv(bad).is_err(), "{bad}");
        }
        let complaint = argv(r#"["echo", "eyJh.eyJi.c"]"#).unwrap_err();
        assert_eq!(complaint.what.as_deref(), Some("holds a token"));
    }

    #[test]
    fn the_example_is_the_nearest_choice() {
        assert_eq!(kind("subscription_key").unwrap_err().example.as_deref(), Some("subscription-key"));
        assert_eq!(source("GitHub").unwrap_err().example.as_deref(), Some("github-actions"));
        assert_eq!(kind("banana").unwrap_err().example, None);
        assert_eq!(cloud("Public").unwrap_err().example.as_deref(), Some("public"));
    }
}
