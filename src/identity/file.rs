//! Source `file`: an id token that somebody else keeps fresh in a file, such as Kubernetes.

use super::{IdToken, Miss, TokenSource, claims, read::secret_file};
use crate::error::{Class, Error};
use async_trait::async_trait;
use std::path::PathBuf;

/// The id token in `token_file`, read anew at each fetch.
pub struct File {
    /// `None`: the setting is not there, and so the source is not.
    path: Option<PathBuf>,
}

impl File {
    /// The source for the file at `path`.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }
}

#[async_trait]
impl TokenSource for File {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn fetch(&self, _audience: &str) -> Result<IdToken, Miss> {
        let Some(path) = &self.path else {
            return Err(Miss::NotHere(
                "identity.token_file (or AZURE_FEDERATED_TOKEN_FILE) is not set".to_owned(),
            ));
        };
        let Some(text) = secret_file(path, "token_file").await.map_err(Miss::Broken)? else {
            // Somebody named the file, so its absence is a fault and not a reason to try another source.
            return Err(Miss::Broken(
                Error::new(Class::Config, format!("token_file {} does not exist", path.display()))
                    .why("identity.token_file or AZURE_FEDERATED_TOKEN_FILE names it")
                    .fix("correct the path, or see why nobody writes the token there"),
            ));
        };
        claims::read(&text, &format!("token_file {}", path.display())).map_err(Miss::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{broken, jwt, not_here};
    use serde_json::json;

    #[tokio::test]
    async fn read_anew_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = File::new(Some(path.clone()));
        for sub in ["first", "second"] {
            let token = jwt(&json!({"iss": "i", "sub": sub, "aud": "a", "exp": 1}));
            std::fs::write(&path, format!(" {token}\n")).unwrap();
            let found = source.fetch("a").await.map_err(|_| "no token").unwrap();
            assert_eq!((found.claims.sub.as_str(), found.token.expose()), (sub, token.as_str()));
        }
    }

    #[tokio::test]
    async fn each_fault_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let fetch = || async { broken(File::new(Some(path.clone())).fetch("a").await).to_string() };
        assert!(fetch().await.contains("does not exist"));
        for (content, words) in [
            ("", "/token is empty"),
            ("\n", "/token is empty"),
            ("hello", "is not an id token: it is not a JWT"),
            (&"x".repeat(70_000), "it is longer than 64 KiB"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert!(fetch().await.contains(words), "{}", fetch().await);
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(fetch().await.contains("it is not text"));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(fetch().await.contains("it is not a regular file"));
        assert!(not_here(File::new(None).fetch("a").await).contains("AZURE_FEDERATED_TOKEN_FILE"));
    }
}
