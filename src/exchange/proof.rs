//! What an identity proves, taken as what an exchange can use.

use crate::{
    error::{Class, Error, Result},
    identity::{IdentitySource, Proof, Subject, Want},
};

/// The proof, and whom it is of.
pub(crate) async fn prove(identity: &dyn IdentitySource, want: &Want<'_>) -> Result<(Subject, Proof)> {
    identity.prove(want).await.map_err(|miss| miss.into_error(identity.name()))
}

/// What somebody takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fitting {
    /// An OIDC id token.
    IdToken,
    /// A SAML assertion.
    Saml,
    /// A person's access token.
    Session,
}

impl Fitting {
    fn what(self) -> &'static str {
        match self {
            Self::IdToken => "an id token",
            Self::Saml => "a SAML assertion",
            Self::Session => "the session of a person who has signed in",
        }
    }

    fn sources(self) -> &'static str {
        match self {
            Self::IdToken => "ona, gitpod, github-actions, gitlab, buildkite, circleci, file, env or command",
            Self::Saml => "saml",
            Self::Session => "browser, device-code, azure-cli or azd",
        }
    }
}

/// That `source` proves itself by something else than `who` takes. Nobody but the configuration's author can mend it.
pub(crate) fn unfit(who: &str, fitting: Fitting, source: &str, found: &Proof) -> Error {
    let found = match found {
        Proof::IdToken(_) => "an id token",
        Proof::Saml(_) => "a SAML assertion",
        Proof::Session { .. } => "an access token",
    };
    Error::new(Class::Config, format!("{who} cannot use the identity source {source}"))
        .why(format!("it takes {}, and {source} gives {found}", fitting.what()))
        .fix(format!("name an identity whose source is {}", fitting.sources()))
}
