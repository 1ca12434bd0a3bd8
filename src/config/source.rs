//! The identity sources by name.

use std::fmt;

/// The identity sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The first of the others that is there, in their order below.
    Auto,
    /// What a command prints.
    Command,
    /// A file, such as a projected Kubernetes token.
    File,
    /// An environment variable.
    Env,
    /// Ona: its HTTP API, or its CLI.
    Ona,
    /// Gitpod Classic: the CLI `gp`.
    Gitpod,
    /// GitHub Actions: the runner's token service.
    GithubActions,
    /// GitLab CI: a variable of the job's `id_tokens`.
    Gitlab,
    /// Buildkite: the CLI `buildkite-agent`.
    Buildkite,
    /// `CircleCI`: the CLI `circleci`, or a variable.
    Circleci,
    /// A SAML 2.0 assertion from a file or a command.
    Saml,
    /// The Azure machine's managed identity.
    ManagedIdentity,
    /// A person's session of the Azure CLI `az`.
    AzureCli,
    /// A person's session of the Azure Developer CLI `azd`.
    Azd,
    /// A person signs in on another device.
    DeviceCode,
    /// A person signs in in this machine's browser.
    Browser,
}

impl Source {
    /// All of them with their names in the configuration; after `auto` in the order in which it looks for them: from what
    /// somebody said on purpose to what the platform has.
    pub const ALL: [(&'static str, Self); 16] = [
        ("auto", Self::Auto),
        ("command", Self::Command),
        ("file", Self::File),
        ("env", Self::Env),
        ("ona", Self::Ona),
        ("gitpod", Self::Gitpod),
        ("github-actions", Self::GithubActions),
        ("gitlab", Self::Gitlab),
        ("buildkite", Self::Buildkite),
        ("circleci", Self::Circleci),
        ("saml", Self::Saml),
        ("managed-identity", Self::ManagedIdentity),
        ("azure-cli", Self::AzureCli),
        ("azd", Self::Azd),
        ("device-code", Self::DeviceCode),
        ("browser", Self::Browser),
    ];

    /// Whether `auto` looks for it. One that would ask a person for something waits until it is named.
    pub fn is_found_by_itself(self) -> bool {
        !matches!(self, Self::Auto | Self::DeviceCode | Self::Browser)
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, source)| *source == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for (name, source) in Source::ALL {
            assert_eq!(source.to_string(), name);
            assert_eq!(serde_json::to_value(source).unwrap(), name);
        }
    }
}
