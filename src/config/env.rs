//! The environment as a value. Only what settings can come from is kept: an environment holds other people's secrets.

use super::keys;
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
