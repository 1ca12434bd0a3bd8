//! Source `circleci`: the id token that `circleci run oidc get` prints, or without that CLI the one in a variable, whose
//! audience the organisation has fixed. <https://circleci.com/docs/oidc-tokens-with-custom-claims>

use super::{
    IdToken, Miss, TokenSource, claims,
    cli::{Runner, no_tool},
};
use async_trait::async_trait;
use zeroize::Zeroizing;

const MARK: &str = "CIRCLECI";
const TOOL: &str = "circleci";

/// The second form of token: its subject says which branch the job runs for.
const VARIABLE: &str = "CIRCLE_OIDC_TOKEN_V2";

/// A `CircleCI` job, known by `CIRCLECI=true`.
pub struct CircleCi(Runner);

impl CircleCi {
    /// The source that runs `circleci`.
    pub fn new(runner: Runner) -> Self {
        Self(runner)
    }
}

#[async_trait]
impl TokenSource for CircleCi {
    fn name(&self) -> &'static str {
        "circleci"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        if !self.0.is_true(MARK) {
            return Err(Miss::NotHere(format!("{MARK} is not true")));
        }
        if let Some(tool) = self.0.on_path(&[TOOL]) {
            let claims = serde_json::json!({ "aud": audience }).to_string();
            return self.0.id_token(&tool, &["run", "oidc", "get", "--claims", &claims]).await;
        }
        let Some(text) = self.0.variable(VARIABLE).map(Zeroizing::new) else {
            let fix =
                format!("use an image with the CircleCI CLI; {VARIABLE} would do too, and is not set either");
            return Err(no_tool("CircleCI", MARK, TOOL, &fix));
        };
        claims::read(&text, &format!("the variable {VARIABLE}")).map_err(Miss::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{broken, jwt, not_here, runner, stand_in};
    use serde_json::json;

    #[tokio::test]
    async fn the_tool_before_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "organisation", "exp": 1}));
        let mut variables = vec![(MARK, "true"), ("PATH", folder.path().to_str().unwrap())];
        let error = broken(CircleCi::new(runner(&variables)).fetch("a").await);
        assert!(error.to_string().contains("CIRCLE_OIDC_TOKEN_V2"), "{error}");

        variables.push((VARIABLE, &token));
        let source = CircleCi::new(runner(&variables));
        let found = source.fetch("a").await.map_err(|_| "no token").unwrap();
        assert_eq!(found.claims.aud, ["organisation"]);

        // A tool that fails does not make us somebody else.
        stand_in(folder.path(), TOOL, "echo \"$*\" >&2; exit 1");
        let why = broken(source.fetch("a\"b").await).why;
        assert_eq!(why.as_deref(), Some(r#"run oidc get --claims {"aud":"a\"b"}"#));
        assert_eq!(not_here(CircleCi::new(runner(&variables[1..])).fetch("a").await), "CIRCLECI is not true");
    }
}
