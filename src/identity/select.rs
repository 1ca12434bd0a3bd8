//! Which source, and `auto`.

use super::{
    IdentitySource, Miss, Proof, Subject, TokenSource, Want, buildkite::Buildkite, checks::Checked,
    circleci::CircleCi, cli::Runner, command::Command, env::Env, file::File, github_actions::GitHubActions,
    gitlab::GitLab, gitpod::Gitpod, ona::Ona, prebuild::NotInPrebuild,
};
use crate::{
    config::{Config, GITLAB_VARIABLE, ID_TOKEN_VARIABLE, Identity, Source},
    http::Client,
};
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How variables are looked up. The ambient environment is read in one place, by the command line; here it is a value.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The sources of all identities of `config`, by name.
pub fn sources(config: &Config, http: &Client, lookup: &Lookup) -> BTreeMap<String, Arc<dyn IdentitySource>> {
    let source = |(name, identity): (&String, &Identity)| {
        (name.clone(), source(identity, http, lookup, config.request_timeout))
    };
    config.identities.iter().map(source).collect()
}

/// The source that the configuration names. Its tokens are checked: not expired, and for the audience asked. In a prebuild
/// it refuses. `deadline` is for a command that gives a token; requests have that of `http`.
fn source(config: &Identity, http: &Client, lookup: &Lookup, deadline: Duration) -> Arc<dyn IdentitySource> {
    let runner = Runner { lookup: Arc::clone(lookup), deadline };
    let chosen = one(config.source, config, http, &runner);
    Arc::new(NotInPrebuild::new(chosen, lookup))
}

/// One source, by its name.
fn one(source: Source, config: &Identity, http: &Client, runner: &Runner) -> Box<dyn IdentitySource> {
    let variable = |default: &str| config.variable.clone().unwrap_or_else(|| default.to_owned());
    let (http, runner) = (http.clone(), runner.clone());
    match source {
        Source::Auto => {
            let others = Source::ALL.into_iter().map(|(_, source)| source);
            let others = others.filter(|source| source.is_found_by_itself());
            Box::new(Auto(others.map(|source| one(source, config, &http, &runner)).collect()))
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
        Source::Saml
        | Source::ManagedIdentity
        | Source::AzureCli
        | Source::Azd
        | Source::DeviceCode
        | Source::Browser => todo!("being built"),
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
        identity::testing::{broken, jwt, not_here},
    };
    use serde_json::json;

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
        source(&config, &Client::new(&Options::default()).unwrap(), &lookup, Duration::from_mins(1))
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
                 gitlab: GITLAB_CI is not true; buildkite: BUILDKITE is not true; circleci: CIRCLECI is not true"
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
