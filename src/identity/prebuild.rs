//! Prebuilds get no credential: their disk becomes a snapshot that others start from. Whatever the source, in one place.

use super::{IdentitySource, Miss, Proof, Subject, Want, read::secret_file, select::Lookup};
use crate::error::{Class, Error, Result};
use async_trait::async_trait;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where a codespace keeps what was decided about it.
const CODESPACES_FILE: &str = "/workspaces/.codespaces/shared/environment-variables.json";

/// What `ACTION_NAME` says while a prebuild is made; in a codespace that starts from one it says `createFromPrebuild`.
/// Neither is documented: github/codespaces-precache showed the file, and scripts of Homebrew and others rely on the value.
const CODESPACES_ACTION: &str = "createPrebuildTemplate";

/// A source that refuses in a prebuild.
///
/// Ona's prebuilds cannot be told by anything that is documented inside the environment. There only its API knows (the
/// environment's role), and the service in `gitpod/` is not started by the `prebuild` trigger.
pub(super) struct NotInPrebuild<S> {
    source: S,
    lookup: Lookup,
    codespaces_file: PathBuf,
}

impl<S> NotInPrebuild<S> {
    pub(super) fn new(source: S, lookup: &Lookup) -> Self {
        Self { source, lookup: lookup.clone(), codespaces_file: CODESPACES_FILE.into() }
    }
}

#[async_trait]
impl<S: IdentitySource> IdentitySource for NotInPrebuild<S> {
    fn name(&self) -> &'static str {
        self.source.name()
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        refuse(&self.lookup, &self.codespaces_file).await.map_err(Miss::Broken)?;
        self.source.prove(want).await
    }
}

/// Refuses in a prebuild, before anything is begun: among several credentials one that fails for another reason would keep
/// the agent waiting there.
pub async fn check(lookup: &Lookup) -> Result<()> {
    refuse(lookup, Path::new(CODESPACES_FILE)).await
}

async fn refuse(lookup: &Lookup, codespaces_file: &Path) -> Result<()> {
    match sign(lookup, codespaces_file).await {
        None => Ok(()),
        Some((sign, fix)) => Err(Error::new(Class::Denied, "this is a prebuild, which gets no credentials")
            .why(format!("{sign}; what is on its disk becomes a snapshot that others start from"))
            .fix(fix)),
    }
}

/// What says that this is a prebuild, and where the agent should be started instead.
async fn sign(lookup: &Lookup, codespaces_file: &Path) -> Option<(String, &'static str)> {
    let is = |name: &str, value: &str| lookup(name).is_some_and(|found| found == value);
    // <https://www.gitpod.io/docs/configure/workspaces/tasks>: prebuilds run `before`, `init` and `prebuild`.
    if is("GITPOD_HEADLESS", "true") {
        return Some((
            "GITPOD_HEADLESS is true".to_owned(),
            "start apim-agent in a task's `command`, which prebuilds do not run",
        ));
    }
    if !is("CODESPACES", "true") {
        return None;
    }
    let fix = "start apim-agent in postStartCommand, which prebuilds do not run";
    if is("ACTION_NAME", CODESPACES_ACTION) {
        return Some((format!("ACTION_NAME is {CODESPACES_ACTION}"), fix));
    }
    let says_so = says_so(codespaces_file).await;
    says_so.then(|| (format!("{} says {CODESPACES_ACTION}", codespaces_file.display()), fix))
}

/// Whether the file has that `ACTION_NAME`. One that cannot be read says nothing: it is not documented, and a codespace
/// must not lose its credentials by a change of it.
async fn says_so(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "ACTION_NAME")]
        action_name: String,
    }
    match secret_file(path, "the codespace's file").await {
        Ok(text) => text
            .and_then(|text| serde_json::from_str::<File>(&text).ok())
            .is_some_and(|file| file.action_name == CODESPACES_ACTION),
        Err(error) => {
            tracing::warn!("cannot tell whether this is a prebuild: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{
        checks::Checked,
        env::Env,
        testing::{broken, lookup, not_here},
    };

    async fn fetch(variables: &[(&str, &str)], file: &Path) -> Result<(Subject, Proof), Miss> {
        let lookup = lookup(variables);
        let source = Checked(Env::new("NOT_SET".to_owned(), lookup.clone()));
        let want = Want { audience: "a", scope: None };
        NotInPrebuild { source, lookup, codespaces_file: file.to_owned() }.prove(&want).await
    }

    #[tokio::test]
    async fn prebuilds_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (made, none) = (folder.path().join("made"), folder.path().join("none"));
        std::fs::write(&made, r#"{"SECRET": "hidden", "ACTION_NAME": "createPrebuildTemplate"}"#).unwrap();
        let cases = [
            (&[("GITPOD_HEADLESS", "true")][..], &none, "GITPOD_HEADLESS is true"),
            (&[("CODESPACES", "true"), ("ACTION_NAME", CODESPACES_ACTION)], &none, "ACTION_NAME is"),
            (&[("CODESPACES", "true")], &made, "made says createPrebuildTemplate"),
        ];
        for (variables, file, words) in cases {
            let error = broken(fetch(variables, file).await);
            assert_eq!((error.class, error.exit_code()), (Class::Denied, 77));
            assert!(!error.to_string().contains("hidden") && error.why.unwrap().contains(words));
        }
    }

    #[tokio::test]
    async fn workspaces_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let cases = [
            (&[][..], r#"{"ACTION_NAME": "createPrebuildTemplate"}"#),
            (&[("GITPOD_HEADLESS", "false"), ("ACTION_NAME", CODESPACES_ACTION)], "{}"),
            (&[("CODESPACES", "true")], r#"{"ACTION_NAME": "createFromPrebuild"}"#),
            (&[("CODESPACES", "true")], "no JSON"),
        ];
        for (variables, content) in cases {
            std::fs::write(&file, content).unwrap();
            assert_eq!(not_here(fetch(variables, &file).await), "the variable NOT_SET is not set");
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        not_here(fetch(&[("CODESPACES", "true")], &file).await);
    }
}
