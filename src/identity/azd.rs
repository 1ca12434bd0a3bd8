//! Source `azd`: the session of the Azure Developer CLI, by `azd auth token`.
//! <https://learn.microsoft.com/azure/developer/azure-developer-cli/reference#azd-auth-token>

use super::{
    cli::Runner,
    developer_cli::{DeveloperCli, Found, Tool},
};
use crate::{clock, secret::Secret};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// `azd`.
pub struct AzureDeveloper;

/// Whoever has signed in with `azd auth login`.
pub type Azd = DeveloperCli<AzureDeveloper>;

impl Tool for AzureDeveloper {
    const NAME: &'static str = "azd";
    const PROGRAM: &'static str = "azd";
    const LOGIN: &'static str = "auth login";
    const TENANT: &'static str = "--tenant-id";

    fn arguments(scope: &str) -> Vec<&str> {
        vec!["auth", "token", "--output", "json", "--no-prompt", "--scope", scope]
    }

    fn profile(runner: &Runner) -> Option<PathBuf> {
        let folder = runner.variable("AZD_CONFIG_DIR").map(PathBuf::from);
        let folder = folder.or_else(|| Some(Path::new(&runner.variable("HOME")?).join(".azd")));
        Some(folder?.join("auth.json"))
    }

    fn is_signed_in(profile: &Value) -> bool {
        profile.as_object().is_none_or(|settings| !settings.is_empty())
    }

    fn read(printed: &str) -> Result<Found, &'static str> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Printed {
            token: String,
            expires_on: String,
        }
        let printed: Printed = serde_json::from_str(printed).map_err(|_| "it is not azd's JSON")?;
        let token = Secret::new(printed.token);
        if token.expose().is_empty() {
            return Err("its token is empty");
        }
        let expires_at = clock::parse_rfc3339(&printed.expires_on).ok_or("its expiresOn is not a time")?;
        Ok(Found { token, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn its_answers() {
        let of = |answer: Value| {
            AzureDeveloper::read(&answer.to_string()).map(|found| clock::rfc3339(found.expires_at))
        };
        let time = "2026-11-24T14:00:00Z";
        assert_eq!(of(json!({"token": "x", "expiresOn": time})), Ok(time.to_owned()));
        for (answer, why) in [
            (json!({"token": "", "expiresOn": time}), "its token is empty"),
            (json!({"token": "x", "expiresOn": "2026-11-24 14:00:00"}), "its expiresOn is not a time"),
            (json!({"accessToken": "x", "expiresOn": time}), "it is not azd's JSON"),
        ] {
            assert_eq!(of(answer), Err(why));
        }
    }
}
