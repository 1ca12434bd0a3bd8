//! Which source, and `auto`.

use super::{
    IdentitySource, Miss, Proof, Subject, TokenSource, Want,
    azd::Azd,
    azure_cli::AzureCli,
    browser::Browser,
    buildkite::Buildkite,
    checks::Checked,
    circleci::CircleCi,
    cli::Runner,
    command::Command,
    device_code::DeviceCode,
    env::Env,
    file::File,
    github_actions::GitHubActions,
    gitlab::GitLab,
    gitpod::Gitpod,
    managed_identity::{ASSET_TAG, ManagedIdentity},
    ona::Ona,
    prebuild::NotInPrebuild,
    prompt::Person,
    saml::Saml,
    session::Session,
};
use crate::{
    config::{self, Config, DEFAULT, GITLAB_VARIABLE, ID_TOKEN_VARIABLE, Identity, Source},
    http::Client,
};
use async_trait::async_trait;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// How variables are looked up. The ambient environment is read in one place, by the command line; here it is a value.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The sources of all identities of `config`, by name. Those that need a person ask `person`.
pub fn sources(
    config: &Config,
    http: &Client,
    lookup: &Lookup,
    person: &Person,
) -> BTreeMap<String, Arc<dyn IdentitySource>> {
    let source = |(name, identity): (&String, &Identity)| {
        let surroundings = Surroundings {
            entra: entra_of(config, name),
            http,
            runner: Runner { lookup: Arc::clone(lookup), deadline: config.request_timeout },
            person,
            asset_tag: Path::new(ASSET_TAG),
        };
        (name.clone(), source(identity, &surroundings))
    };
    config.identities.iter().map(source).collect()
}

/// Where the tokens of an identity go, and so where its person signs in: the directory of the first exchange that begins with
/// it, else that of `[entra]`.
fn entra_of<'a>(config: &'a Config, identity: &str) -> Option<&'a config::Entra> {
    let mut of_identity = config.exchanges.values().filter(|exchange| exchange.identity == identity);
    let own = of_identity.find_map(|exchange| exchange.method.entra());
    own.or_else(|| config.exchanges.get(DEFAULT)?.method.entra())
}

/// What sources are made of besides their own settings.
struct Surroundings<'a> {
    entra: Option<&'a config::Entra>,
    http: &'a Client,
    /// Its deadline is for a command that gives a token; requests have that of `http`.
    runner: Runner,
    person: &'a Person,
    /// Where the firmware says whose machine it is.
    asset_tag: &'a Path,
}

/// The source that the configuration names. Id tokens are checked: not expired, and for the audience asked. In a prebuild it
/// refuses.
fn source(config: &Identity, around: &Surroundings<'_>) -> Arc<dyn IdentitySource> {
    let chosen = one(config.source, config, around);
    Arc::new(NotInPrebuild::new(chosen, &around.runner.lookup))
}

/// One source, by its name.
fn one(source: Source, config: &Identity, around: &Surroundings<'_>) -> Box<dyn IdentitySource> {
    let variable = |default: &str| config.variable.clone().unwrap_or_else(|| default.to_owned());
    let tenant = || config.tenant_id.clone().or_else(|| Some(around.entra?.tenant_id.clone()));
    let (http, runner, person) = (around.http.clone(), around.runner.clone(), around.person.clone());
    let named = config.source == source;
    match source {
        Source::Auto => {
            let others = Source::ALL.into_iter().map(|(_, source)| source);
            let others = others.filter(|source| source.is_found_by_itself());
            Box::new(Auto(others.map(|source| one(source, config, around)).collect()))
        }
        Source::Command => checked(Command::new(config.command.clone(), runner.deadline)),
        Source::File => checked(File::new(config.token_file.clone())),
        Source::Env => checked(Env::new(variable(ID_TOKEN_VARIABLE), runner.lookup)),
        Source::Ona => checked(Ona::new(config.url.as_ref(), config.bearer_file.clone(), http, runner)),
        Source::Gitpod => checked(Gitpod::new(config.url.as_ref(), http, runner)),
        Source::GithubActions => checked(GitHubActions::new(runner, http)),
        Source::Gitlab => checked(GitLab::new(variable(GITLAB_VARIABLE), runner)),
        Source::Buildkite => checked(Buildkite::new(runner)),
        Source::Circleci => checked(CircleCi::new(runner)),
        Source::Saml => Box::new(Saml::new(config, runner.deadline)),
        Source::ManagedIdentity => {
            Box::new(ManagedIdentity::new(config, named, around.asset_tag, http, runner))
        }
        Source::AzureCli => Box::new(AzureCli::new(runner, tenant())),
        Source::Azd => Box::new(Azd::new(runner, tenant())),
        Source::DeviceCode => Box::new(Session::new(DeviceCode, config, around.entra, person, http)),
        Source::Browser => {
            Box::new(Session::new(Browser::new(runner.lookup), config, around.entra, person, http))
        }
    }
}

fn checked(source: impl TokenSource + 'static) -> Box<dyn IdentitySource> {
    Box::new(Checked(source))
}

/// The first source that is here, in the order of [`Source::ALL`]: from what somebody said on purpose to what the platform
/// has.
///
/// A source that is here and broken ends the search: its failure must not turn us into somebody else.
struct Auto(Vec<Box<dyn IdentitySource>>);

#[async_trait]
impl IdentitySource for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let mut looked_for = Vec::new();
        for source in &self.0 {
            match source.prove(want).await {
                Err(Miss::NotHere(what)) => looked_for.push(format!("{}: {what}", source.name())),
                found_or_broken => {
                    tracing::debug!("identity source auto took {}", source.name());
                    return found_or_broken;
                }
            }
        }
        Err(Miss::NotHere(looked_for.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        http::Options,
        identity::testing::{broken, jwt, not_here, person},
    };
    use serde_json::json;
    use std::time::Duration;

    fn token(sub: &str) -> String {
        let exp = clock::unix(clock::now() + Duration::from_hours(1));
        jwt(&json!({"iss": "i", "sub": sub, "aud": "a", "exp": exp}))
    }

    fn auto(
        folder: &tempfile::TempDir,
        with_file: bool,
        variable: Option<String>,
    ) -> Arc<dyn IdentitySource> {
        let config = Identity {
            source: Source::Auto,
            audience: None,
            url: Some("https://127.0.0.1:1/".parse().unwrap()),
            bearer_file: folder.path().join("bearer"),
            token_file: with_file.then(|| folder.path().join("token")),
            variable: Some("ID".to_owned()),
            command: None,
            assertion_file: None,
            tenant_id: None,
            client_id: None,
            authority: "https://127.0.0.1:1/".parse().unwrap(),
            imds_url: None,
        };
        let lookup: Lookup = Arc::new(move |name| variable.clone().filter(|_| name == "ID"));
        let (person, _, _end) = person();
        let around = Surroundings {
            entra: None,
            http: &Client::new(&Options::default()).unwrap(),
            runner: Runner { lookup, deadline: Duration::from_mins(1) },
            person: &person,
            asset_tag: Path::new("/no/such/file"),
        };
        source(&config, &around)
    }

    #[tokio::test]
    async fn auto_takes_the_first_that_is_here() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), token("file")).unwrap();
        for (with_file, sub) in [(true, "file"), (false, "env")] {
            let found = auto(&folder, with_file, Some(token("env")))
                .prove(&Want { audience: "a", scope: None })
                .await;
            assert_eq!(found.map_err(|_| "no token").unwrap().0.claims.sub, sub);
        }
    }

    #[tokio::test]
    async fn auto_says_what_it_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let looked_for =
            not_here(auto(&folder, false, None).prove(&Want { audience: "a", scope: None }).await);
        let bearer = folder.path().join("bearer").display().to_string();
        assert_eq!(
            looked_for,
            format!(
                "command: identity.command is not set; \
                 file: identity.token_file (or AZURE_FEDERATED_TOKEN_FILE) is not set; \
                 env: the variable ID is not set; \
                 ona: there is no bearer_file {bearer}, and GITPOD_ENVIRONMENT_ID is not set; \
                 gitpod: GITPOD_WORKSPACE_ID is not set; \
                 github-actions: ACTIONS_ID_TOKEN_REQUEST_URL is not set; \
                 gitlab: GITLAB_CI is not true; buildkite: BUILDKITE is not true; circleci: CIRCLECI is not true; \
                 saml: identity.assertion_file is not set; \
                 managed-identity: IDENTITY_ENDPOINT is not set, nor is identity.imds_url, and this is no machine of Azure's; \
                 azure-cli: az is not on the PATH; azd: azd is not on the PATH"
            )
        );
    }

    #[tokio::test]
    async fn auto_stops_at_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            broken(auto(&folder, true, Some(token("env"))).prove(&Want { audience: "a", scope: None }).await);
        assert!(error.what.ends_with("does not exist"), "{error}");
        let error = broken(
            auto(&folder, false, Some(token("env"))).prove(&Want { audience: "another", scope: None }).await,
        );
        assert_eq!(error.what, "the id token from source env is for another audience");
    }
}
