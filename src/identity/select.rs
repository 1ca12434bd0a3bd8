//! Which source, and `auto`.

use super::{IdToken, IdentitySource, Miss, checks::Checked, env::Env, file::File, ona::Ona};
use crate::{
    config::{Identity, Source},
    http::Client,
};
use async_trait::async_trait;
use std::sync::Arc;

/// How variables are looked up. The ambient environment is read in one place, by the command line; here it is a value.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The source that the configuration names. Its tokens are checked: not expired, and for the audience asked.
pub fn source(config: &Identity, http: &Client, lookup: &Lookup) -> Arc<dyn IdentitySource> {
    let file = || File::new(config.token_file.clone());
    let env = || Env::new(config.variable.clone(), Arc::clone(lookup));
    let ona = || Ona::new(&config.url, config.bearer_file.clone(), http.clone());
    match config.source {
        Source::File => Arc::new(Checked(file())),
        Source::Env => Arc::new(Checked(env())),
        Source::Ona => Arc::new(Checked(ona())),
        Source::Auto => Arc::new(Auto(vec![
            Box::new(Checked(file())),
            Box::new(Checked(env())),
            Box::new(Checked(ona())),
        ])),
    }
}

/// The first source that is here, in this order, from what somebody said on purpose to what the platform has:
///
/// 1. `file`, if `identity.token_file` or `AZURE_FEDERATED_TOKEN_FILE` is set
/// 2. `env`, if the variable (`APIM_AGENT_ID_TOKEN`) is set
/// 3. `ona`, if its bearer file exists
///
/// A source that is here and broken ends the search: its failure must not turn us into somebody else.
struct Auto(Vec<Box<dyn IdentitySource>>);

#[async_trait]
impl IdentitySource for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        let mut looked_for = Vec::new();
        for source in &self.0 {
            match source.fetch(audience).await {
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
            audience: "a".to_owned(),
            url: "https://127.0.0.1:1/".parse().unwrap(),
            bearer_file: folder.path().join("bearer"),
            token_file: with_file.then(|| folder.path().join("token")),
            variable: "ID".to_owned(),
        };
        let lookup: Lookup = Arc::new(move |name| variable.clone().filter(|_| name == "ID"));
        source(&config, &Client::new(&Options::default()).unwrap(), &lookup)
    }

    #[tokio::test]
    async fn auto_takes_the_first_that_is_here() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), token("file")).unwrap();
        for (with_file, sub) in [(true, "file"), (false, "env")] {
            let found = auto(&folder, with_file, Some(token("env"))).fetch("a").await;
            assert_eq!(found.map_err(|_| "no token").unwrap().claims.sub, sub);
        }
    }

    #[tokio::test]
    async fn auto_says_what_it_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let looked_for = not_here(auto(&folder, false, None).fetch("a").await);
        let bearer = folder.path().join("bearer").display().to_string();
        assert_eq!(
            looked_for,
            format!(
                "file: identity.token_file (or AZURE_FEDERATED_TOKEN_FILE) is not set; \
                 env: the variable ID is not set; ona: there is no bearer_file {bearer}"
            )
        );
    }

    #[tokio::test]
    async fn auto_stops_at_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = broken(auto(&folder, true, Some(token("env"))).fetch("a").await);
        assert!(error.what.ends_with("does not exist"), "{error}");
        let error = broken(auto(&folder, false, Some(token("env"))).fetch("another").await);
        assert_eq!(error.what, "the id token from source env is for another audience");
    }
}
