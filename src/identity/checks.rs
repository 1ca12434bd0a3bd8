//! What is checked of every id token, wherever it comes from.

use super::{Actor, IdToken, IdentitySource, Miss, Proof, Subject, TokenSource, Want};
use crate::{
    clock,
    error::{Class, Error, Result},
};
use async_trait::async_trait;
use std::time::{Duration, SystemTime};

/// A source whose tokens are looked at before they go on: Entra's answer to a bad one would say less.
pub(super) struct Checked<S>(pub(super) S);

#[async_trait]
impl<S: TokenSource> IdentitySource for Checked<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let token = self.0.fetch(want.audience).await?;
        check(&token, self.name(), want.audience, clock::now()).map_err(Miss::Broken)?;
        let subject = Subject { source: self.name(), actor: Actor::Workspace, claims: token.claims };
        Ok((subject, Proof::IdToken(token.token)))
    }
}

/// Whether `token` can serve at `now` for `audience`.
fn check(token: &IdToken, source: &str, audience: &str, now: SystemTime) -> Result<()> {
    let claims = &token.claims;
    if let Ok(ago) = now.duration_since(claims.exp) {
        let ago = Duration::from_secs(ago.as_secs());
        return Err(Error::new(Class::Config, format!("the id token from source {source} has expired"))
            .why(format!(
                "it expired at {}, {ago:?} ago by this machine's clock ({})",
                clock::rfc3339(claims.exp),
                clock::rfc3339(now)
            ))
            .fix("see why the source gives no fresh one, or set this machine's clock"));
    }
    if !claims.aud.iter().any(|found| found == audience) {
        return Err(Error::new(Class::Config, format!("the id token from source {source} is for another audience"))
            .why(format!("found {:?}, wanted {audience:?}", claims.aud))
            .fix("have the token issued for that audience, or set identity.audience to the token's if Entra expects it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{claims, testing::jwt};
    use serde_json::json;

    #[test]
    fn an_expired_one_and_one_for_another_audience() {
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": ["a", "b"], "exp": 1_000}));
        let token = claims::read(&token, "x").unwrap();
        let at = |audience, now| check(&token, "file", audience, clock::from_unix(now));

        assert!(at("a", 999).is_ok() && at("b", 0).is_ok());
        let error = at("a", 1_090).unwrap_err();
        assert_eq!(error.what, "the id token from source file has expired");
        assert_eq!(
            error.why.unwrap(),
            "it expired at 1970-01-01T00:16:40Z, 90s ago by this machine's clock (1970-01-01T00:18:10Z)"
        );
        assert!(at("a", 1_000).is_err(), "exp is the first moment at which it must not be accepted");
        let error = at("c", 999).unwrap_err();
        assert_eq!(
            (error.class, error.why.as_deref()),
            (Class::Config, Some("found [\"a\", \"b\"], wanted \"c\""))
        );
    }
}
