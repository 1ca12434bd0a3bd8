//! The environment as a value. Only what settings can come from is kept: an environment holds other people's secrets.

use super::{Entry, keys};
use std::{collections::BTreeMap, ffi::OsString, fmt};

/// The variables that settings can come from. Made of `std::env::vars_os()` at the edge, or of pairs in tests.
#[derive(Clone, Default)]
pub struct Env {
    values: BTreeMap<String, String>,
    not_text: Vec<String>,
}

impl Env {
    /// The value of `name`. An empty variable counts as not set: containers and CI systems often pass empty ones.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Without the variables of entries (`APIM_AGENT_CREDENTIALS_NAME_KIND`), save those of the entries that `settings` name.
    /// Where no file is read, such a variable speaks of an entry that is not there, and is no slip of the pen.
    #[must_use]
    pub fn without_entries_but(&self, settings: &[Entry]) -> Self {
        let entries: Vec<String> =
            keys::SECTIONS.iter().map(|section| keys::variable(section.name) + "_").collect();
        let named = settings.iter().filter_map(|setting| {
            let (section, name, _) = keys::entry_path(&setting.path)?;
            Some(keys::variable(&format!("{}.{name}.", section.name)))
        });
        let named: Vec<String> = named.collect();
        let begins = |name: &str, with: &[String]| with.iter().any(|start| name.starts_with(start));
        let stays = |name: &str| !begins(name, &entries) || begins(name, &named);
        let mut env = self.clone();
        env.values.retain(|name, _| stays(name));
        env.not_text.retain(|name| stays(name));
        env
    }

    /// The names of all variables kept, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Variables that are ours by name and whose value is not UTF-8.
    pub fn not_text(&self) -> &[String] {
        &self.not_text
    }
}

/// Names only: a variable of ours may turn out to be the one with the id token.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Whether a setting may come from the variable `name`. The id token's own variable is none of these: it is a secret.
fn is_wanted(name: &str) -> bool {
    let ours = name.starts_with(keys::PREFIX) && name != super::ID_TOKEN_VARIABLE;
    ours || keys::WORKSPACE_FALLBACKS.contains(&name)
        || keys::KEYS.iter().any(|key| key.aliases.contains(&name))
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut env = Self::default();
        for (name, value) in pairs {
            let Ok(name) = name.into().into_string() else { continue };
            if is_wanted(&name) {
                match value.into().into_string() {
                    Ok(value) => _ = env.values.insert(name, value),
                    Err(_) => env.not_text.push(name),
                }
            }
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_there_are_no_entries_but_those_that_are_named() {
        let names = [
            "APIM_AGENT_CREDENTIALS_KEY_PROBE",
            "APIM_AGENT_CREDENTIALS_KEYS_PROBE",
            "APIM_AGENT_CREDENTIALS_ORDERS_SCOPE",
            "APIM_AGENT_GATEWAYS_PARTNER_URL",
            "APIM_AGENT_GATEWAY_URL",
        ];
        let env: Env = names.into_iter().map(|name| (name, "x")).collect();
        let left = env.without_entries_but(&[Entry::flag("--emulator", "credentials.key.env", "K")]);
        let left: Vec<_> = left.names().collect();
        assert_eq!(left, ["APIM_AGENT_CREDENTIALS_KEY_PROBE", "APIM_AGENT_GATEWAY_URL"]);
    }

    #[test]
    fn keeps_only_what_settings_can_come_from() {
        let env: Env = [
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_SECRET", "hidden"),
            ("APIM_AGENT_ID_TOKEN", "hidden"),
            ("APIM_AGENT_GATEWAY_URL", "u"),
            ("GITPOD_ENVIRONMENT_ID", ""),
            ("HOME", "hidden"),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            env.names().collect::<Vec<_>>(),
            ["APIM_AGENT_GATEWAY_URL", "AZURE_TENANT_ID", "GITPOD_ENVIRONMENT_ID"]
        );
        assert_eq!(env.get("AZURE_TENANT_ID"), Some("t"));
        assert_eq!(env.get("GITPOD_ENVIRONMENT_ID"), None, "empty counts as not set");
        assert_eq!(
            format!("{env:?}"),
            r#"{"APIM_AGENT_GATEWAY_URL", "AZURE_TENANT_ID", "GITPOD_ENVIRONMENT_ID"}"#
        );
    }
}
