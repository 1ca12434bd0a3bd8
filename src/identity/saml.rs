//! Source `saml`: a SAML assertion, 2.0 or 1.1, that somebody else keeps fresh in a file, or that a command prints.
//!
//! It is read and not verified: its signature is the business of whom we present it to.

mod assertion;

use super::{
    Actor, IdentitySource, Miss, Proof, Subject, Want, command,
    process::{self, Wanted},
    read::secret_file,
};
use crate::{
    clock,
    config::Identity,
    error::{Class, Error, Result},
};
pub use assertion::{Assertion, parse};
use async_trait::async_trait;
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

const ASSERTION: Wanted = Wanted {
    noun: "SAML assertion",
    a_noun: "a SAML assertion",
    form: "the assertion, as XML or in base64, and nothing else",
    deadline: "request_timeout is its deadline",
};

/// An issuer's clock may be that far before ours.
const SKEW: Duration = Duration::from_mins(5);

/// The assertion in a file, read anew at each use, or what a command prints.
pub struct Saml {
    file: Option<PathBuf>,
    argv: Option<Vec<String>>,
    audience: Option<String>,
    deadline: Duration,
}

impl Saml {
    /// The source for `assertion_file`; without one, what `command` prints within `deadline`. An `audience` that is set is
    /// looked for in it.
    pub fn new(config: &Identity, deadline: Duration) -> Self {
        let (file, argv) = (config.assertion_file.clone(), config.command.clone());
        Self { file, argv, audience: config.audience.clone(), deadline }
    }

    async fn assertion(&self, audience: &str) -> Result<Assertion, Miss> {
        if let Some(path) = &self.file {
            let Some(text) = secret_file(path, "assertion_file").await.map_err(Miss::Broken)? else {
                // Somebody named the file, so its absence is a fault and not a reason to try another source.
                return Err(Miss::Broken(
                    Error::new(Class::Config, format!("assertion_file {} does not exist", path.display()))
                        .fix("correct the path, or see why nobody writes the assertion there"),
                ));
            };
            return read(&text, &format!("assertion_file {}", path.display())).map_err(Miss::Broken);
        }
        let filled = self.argv.as_ref().map(|argv| command::filled(argv, audience));
        let Some((program, arguments)) = filled.as_ref().and_then(|argv| argv.split_first()) else {
            return Err(Miss::NotHere("identity.assertion_file is not set".to_owned()));
        };
        let ended = process::run(program, arguments, &ASSERTION, self.deadline).await;
        ended
            .and_then(|ended| {
                read(ended.text(&ASSERTION)?, &format!("the output of {}", process::shown(program)))
            })
            .map_err(Miss::Broken)
    }
}

#[async_trait]
impl IdentitySource for Saml {
    fn name(&self) -> &'static str {
        "saml"
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let assertion = self.assertion(want.audience).await?;
        check(&assertion, self.audience.as_deref(), clock::now()).map_err(Miss::Broken)?;
        let actor = if assertion.claims.user.is_some() { Actor::User } else { Actor::Workspace };
        let subject = Subject { source: self.name(), actor, claims: assertion.claims };
        Ok((subject, Proof::Saml(assertion.xml)))
    }
}

/// Takes `text` for an assertion. `whence` says where it comes from, for the error.
fn read(text: &str, whence: &str) -> Result<Assertion> {
    if text.trim().is_empty() {
        return Err(
            Error::new(Class::Config, format!("{whence} is empty")).fix("it should hold a SAML assertion")
        );
    }
    parse(text).map_err(|why| {
        Error::new(Class::Config, format!("{whence} is not a SAML assertion"))
            .why(why)
            .fix("it should hold one signed Assertion of SAML 2.0 or 1.1, as XML or in base64")
    })
}

/// Whether it can serve at `now`, and for `audience` if one was set: each authorization server has an audience of its own,
/// so what id tokens are asked for says nothing here.
fn check(assertion: &Assertion, audience: Option<&str>, now: SystemTime) -> Result<()> {
    let claims = &assertion.claims;
    let bad =
        |what: &str, why: String| Error::new(Class::Config, format!("the SAML assertion {what}")).why(why);
    let ours = clock::rfc3339(now);
    if claims.exp <= now {
        let ended = clock::rfc3339(claims.exp);
        return Err(bad(
            "has expired",
            format!("it was good until {ended}, and this machine's clock says {ours}"),
        )
        .fix("see why nobody issues a fresh one, or set this machine's clock"));
    }
    if let Some(begin) = assertion.not_before.filter(|begin| *begin > now + SKEW) {
        let begin = clock::rfc3339(begin);
        return Err(bad(
            "is not good yet",
            format!("it is good from {begin}, and this machine's clock says {ours}"),
        )
        .fix("set this machine's clock, or the issuer's"));
    }
    if let Some(audience) = audience.filter(|wanted| !claims.aud.iter().any(|found| found == wanted)) {
        return Err(bad("is for another audience", format!("found {:?}, wanted {audience:?}", claims.aud))
            .fix("have it issued for that audience, or correct identity.audience"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
