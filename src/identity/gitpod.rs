//! Source `gitpod`: the id token that Gitpod Classic's `gp idp token` prints.

use super::{
    IdToken, Miss, TokenSource,
    cli::{Runner, no_tool},
};
use crate::error::Error;
use async_trait::async_trait;

const MARK: &str = "GITPOD_WORKSPACE_ID";

/// What `gp` says whatever went wrong on the way: it hands the empty answer to a parser of tokens.
const HIDDEN: &str = "invalid number of segments";

/// Gitpod Classic, known by `GITPOD_WORKSPACE_ID`.
pub struct Gitpod(Runner);

impl Gitpod {
    /// The source that runs `gp`.
    pub fn new(runner: Runner) -> Self {
        Self(runner)
    }
}

#[async_trait]
impl TokenSource for Gitpod {
    fn name(&self) -> &'static str {
        "gitpod"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        if self.0.variable(MARK).is_none() {
            return Err(Miss::NotHere(format!("{MARK} is not set")));
        }
        let Some(gp) = self.0.on_path(&["gp"]) else {
            return Err(no_tool(
                "Gitpod Classic",
                MARK,
                "gp",
                "put /usr/bin back on the PATH, where the workspace has gp",
            ));
        };
        let token = self.0.id_token(&gp, &["idp", "token", "--audience", audience]).await;
        token.map_err(|miss| match miss {
            Miss::Broken(error) => Miss::Broken(explained(error, audience)),
            Miss::NotHere(what) => Miss::NotHere(what),
        })
    }
}

/// What `gp` should have said.
fn explained(error: Error, audience: &str) -> Error {
    if !error.why.as_ref().is_some_and(|why| why.contains(HIDDEN)) {
        return error;
    }
    let why = format!(
        "gp says \"{HIDDEN}\" whenever its request for the token failed, and hides the reason: Gitpod did not answer within \
         5 s, or does not give this workspace a token"
    );
    error
        .why(why)
        .fix(format!("see whether it goes away, and else run by hand: gp idp token --audience {audience}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Class,
        identity::testing::{broken, jwt, not_here, runner, stand_in},
    };
    use serde_json::json;

    #[tokio::test]
    async fn asks_gp_with_the_audience() {
        let folder = tempfile::tempdir().unwrap();
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
        stand_in(folder.path(), "gp", &format!("[ \"$*\" = 'idp token --audience a' ] && echo {token}"));
        let source = Gitpod::new(runner(&[(MARK, "acme-1"), ("PATH", folder.path().to_str().unwrap())]));
        let found = source.fetch("a").await.map_err(|_| "no token").unwrap();
        assert_eq!(found.token.expose(), token);
    }

    #[tokio::test]
    async fn here_and_without_gp() {
        assert_eq!(not_here(Gitpod::new(runner(&[])).fetch("a").await), "GITPOD_WORKSPACE_ID is not set");
        let error = broken(Gitpod::new(runner(&[(MARK, "acme-1"), ("PATH", "/no/such")])).fetch("a").await);
        assert_eq!(error.what, "Gitpod Classic gives no id token: gp is not on the PATH");
    }

    #[test]
    fn the_error_that_hides_all_others() {
        let error = Error::new(Class::Unavailable, "gp gave no id token: it exited with 1");
        let error = explained(error.why("token contains an invalid number of segments"), "api://x");
        assert!(error.why.unwrap().contains("hides the reason"));
        assert!(error.fix.unwrap().ends_with("gp idp token --audience api://x"));
    }
}
