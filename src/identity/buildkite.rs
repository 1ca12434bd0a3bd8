//! Source `buildkite`: the id token that `buildkite-agent oidc request-token` prints.
//! <https://buildkite.com/docs/agent/v3/cli-oidc>

use super::{
    IdToken, Miss, TokenSource,
    cli::{Runner, no_tool},
};
use async_trait::async_trait;

const MARK: &str = "BUILDKITE";
const TOOL: &str = "buildkite-agent";

/// A Buildkite job, known by `BUILDKITE=true`.
pub struct Buildkite(Runner);

impl Buildkite {
    /// The source that runs `buildkite-agent`.
    pub fn new(runner: Runner) -> Self {
        Self(runner)
    }
}

#[async_trait]
impl TokenSource for Buildkite {
    fn name(&self) -> &'static str {
        "buildkite"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        if !self.0.is_true(MARK) {
            return Err(Miss::NotHere(format!("{MARK} is not true")));
        }
        let Some(tool) = self.0.on_path(&[TOOL]) else {
            let fix =
                "let the job's container have it, as with the Docker plugin's mount-buildkite-agent: true";
            return Err(no_tool("Buildkite", MARK, TOOL, fix));
        };
        self.0.id_token(&tool, &["oidc", "request-token", "--audience", audience]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{broken, not_here, runner, stand_in};

    #[tokio::test]
    async fn only_in_a_job_and_never_without_its_tool() {
        for variables in [&[][..], &[(MARK, "false")]] {
            assert_eq!(not_here(Buildkite::new(runner(variables)).fetch("a").await), "BUILDKITE is not true");
        }
        let folder = tempfile::tempdir().unwrap();
        let source = Buildkite::new(runner(&[(MARK, "true"), ("PATH", folder.path().to_str().unwrap())]));
        let error = broken(source.fetch("a").await);
        assert_eq!(error.what, "Buildkite gives no id token: buildkite-agent is not on the PATH");
        stand_in(folder.path(), TOOL, "echo \"$*\" >&2; exit 1");
        let why = broken(source.fetch("a").await).why;
        assert_eq!(why.as_deref(), Some("oidc request-token --audience a"));
    }
}
