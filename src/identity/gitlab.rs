//! Source `gitlab`: the id token that GitLab CI puts into a variable which the job names under `id_tokens`.
//! <https://docs.gitlab.com/ci/secrets/id_token_authentication/>

use super::{IdToken, Miss, TokenSource, claims, cli::Runner};
use crate::error::{Class, Error};
use async_trait::async_trait;
use zeroize::Zeroizing;

const MARK: &str = "GITLAB_CI";

/// A GitLab job, known by `GITLAB_CI=true`. Its token is made at the job's start and serves as long as that one lives.
pub struct GitLab {
    variable: String,
    runner: Runner,
}

impl GitLab {
    /// The source for `variable`, which is looked up at each fetch.
    pub fn new(variable: String, runner: Runner) -> Self {
        Self { variable, runner }
    }
}

#[async_trait]
impl TokenSource for GitLab {
    fn name(&self) -> &'static str {
        "gitlab"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        if !self.runner.is_true(MARK) {
            return Err(Miss::NotHere(format!("{MARK} is not true")));
        }
        let variable = &self.variable;
        let Some(text) = self.runner.variable(variable).map(Zeroizing::new) else {
            return Err(Miss::Broken(
                Error::new(Class::Config, format!("GitLab gives no id token: the variable {variable} is not set"))
                    .why(format!("{MARK} says that this is GitLab, where a job has to ask for a token"))
                    .fix(format!(
                        "in the job: id_tokens: {{ {variable}: {{ aud: \"{audience}\" }} }}, or set identity.variable to \
                         the name that it has there"
                    )),
            ));
        };
        claims::read(&text, &format!("the variable {variable}")).map_err(Miss::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{broken, jwt, not_here, runner};
    use serde_json::json;

    #[tokio::test]
    async fn a_job_has_to_ask_for_its_token() {
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
        let source = |variables: &[(&str, &str)]| GitLab::new("AZURE".to_owned(), runner(variables));
        assert_eq!(not_here(source(&[("AZURE", &token)]).fetch("a").await), "GITLAB_CI is not true");
        for variables in [&[(MARK, "true")][..], &[(MARK, "true"), ("AZURE", "")]] {
            let error = broken(source(variables).fetch("api://x").await);
            assert_eq!(error.class, Class::Config);
            assert!(
                error.fix.unwrap().starts_with(r#"in the job: id_tokens: { AZURE: { aud: "api://x" } }"#)
            );
        }
        let found = source(&[(MARK, "true"), ("AZURE", &token)]).fetch("a").await;
        assert_eq!(found.map_err(|_| "no token").unwrap().token.expose(), token);
    }
}
