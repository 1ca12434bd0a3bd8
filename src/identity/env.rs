//! Source `env`: an id token in an environment variable, as GitLab's `id_tokens` put it there.

use super::{IdToken, Miss, TokenSource, claims, select::Lookup};
use async_trait::async_trait;
use zeroize::Zeroizing;

/// The id token in a variable. A process's environment does not change, so this serves as long as that token lives.
pub struct Env {
    variable: String,
    lookup: Lookup,
}

impl Env {
    /// The source for `variable`, which is looked up at each fetch.
    pub fn new(variable: String, lookup: Lookup) -> Self {
        Self { variable, lookup }
    }
}

#[async_trait]
impl TokenSource for Env {
    fn name(&self) -> &'static str {
        "env"
    }

    async fn fetch(&self, _audience: &str) -> Result<IdToken, Miss> {
        let Some(text) = (self.lookup)(&self.variable).map(Zeroizing::new) else {
            return Err(Miss::NotHere(format!("the variable {} is not set", self.variable)));
        };
        claims::read(&text, &format!("the variable {}", self.variable)).map_err(Miss::Broken)
    }
}
