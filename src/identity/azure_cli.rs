//! Source `azure-cli`: the session of the Azure CLI, by `az account get-access-token`.
//! <https://learn.microsoft.com/cli/azure/account#az-account-get-access-token>

use super::{
    claims,
    cli::Runner,
    developer_cli::{DeveloperCli, Found, Tool},
};
use crate::{clock, secret::Secret};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// `az`.
pub struct Az;

/// Whoever has signed in with `az login`: mostly a person, but it may be a service principal.
pub type AzureCli = DeveloperCli<Az>;

impl Tool for Az {
    const NAME: &'static str = "azure-cli";
    const PROGRAM: &'static str = "az";
    const LOGIN: &'static str = "login";
    const TENANT: &'static str = "--tenant";

    fn arguments(scope: &str) -> Vec<&str> {
        vec!["account", "get-access-token", "--output", "json", "--scope", scope]
    }

    fn profile(runner: &Runner) -> Option<PathBuf> {
        let folder = runner.variable("AZURE_CONFIG_DIR").map(PathBuf::from);
        let folder = folder.or_else(|| Some(Path::new(&runner.variable("HOME")?).join(".azure")));
        Some(folder?.join("azureProfile.json"))
    }

    /// A session without a subscription counts as one there.
    fn is_signed_in(profile: &Value) -> bool {
        profile["subscriptions"].as_array().is_none_or(|accounts| !accounts.is_empty())
    }

    /// `expires_on` came with version 2.54; `expiresOn`, which all have, is a local time of an unknown zone, so without the
    /// former the token itself has to say it.
    fn read(printed: &str) -> Result<Found, &'static str> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Printed {
            access_token: String,
            #[serde(rename = "expires_on")]
            expires_on: Option<u64>,
            token_type: Option<String>,
        }
        let printed: Printed = serde_json::from_str(printed).map_err(|_| "it is not az's JSON")?;
        let token = Secret::new(printed.access_token);
        if token.expose().is_empty() {
            return Err("its accessToken is empty");
        }
        // Proof-of-possession tokens need a key of az's with each use.
        if printed.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("Bearer")) {
            return Err("its tokenType is not Bearer");
        }
        let own = || claims::of_access_token(token.expose()).map(|(claims, _)| claims.exp);
        let expires_at = printed
            .expires_on
            .map(clock::from_unix)
            .or_else(own)
            .ok_or("it has no expires_on, which az has from 2.54 on, and the token does not say it")?;
        Ok(Found { token, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{jwt, runner};
    use serde_json::json;

    #[test]
    fn the_answers_of_old_and_new() {
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 7, "scp": "x"}));
        let of = |answer: Value| Az::read(&answer.to_string()).map(|found| clock::unix(found.expires_at));
        let local = "2026-11-24 13:00:00.000000";
        for (answer, outcome) in [
            (
                json!({"accessToken": "opaque", "expiresOn": local, "expires_on": 1_795_482_000, "tokenType": "Bearer"}),
                Ok(1_795_482_000),
            ),
            (json!({"accessToken": token, "expiresOn": local, "tokenType": "Bearer"}), Ok(7)),
            (
                json!({"accessToken": "opaque", "expiresOn": local, "tokenType": "Bearer"}),
                Err("it has no expires_on, which az has from 2.54 on, and the token does not say it"),
            ),
            (json!({"accessToken": "", "expires_on": 1}), Err("its accessToken is empty")),
            (
                json!({"accessToken": "x", "expires_on": 1, "tokenType": "pop"}),
                Err("its tokenType is not Bearer"),
            ),
            (json!({"token": "x"}), Err("it is not az's JSON")),
        ] {
            assert_eq!(of(answer), outcome);
        }
    }

    #[test]
    fn where_it_keeps_its_profile() {
        let profile = |variables: &[(&str, &str)]| Az::profile(&runner(variables));
        assert_eq!(profile(&[("HOME", "/h")]), Some("/h/.azure/azureProfile.json".into()));
        assert_eq!(
            profile(&[("HOME", "/h"), ("AZURE_CONFIG_DIR", "/c")]),
            Some("/c/azureProfile.json".into())
        );
        assert_eq!(profile(&[]), None);
    }
}
