//! Identities for tests that prove whatever they are told to.

use crate::{
    clock,
    http::testing::Seen,
    identity::{Actor, IdentitySource, Miss, Proof, Subject, Want, claims, testing::jwt},
    secret::Secret,
};
use async_trait::async_trait;
use serde_json::json;
use std::sync::{Arc, Mutex};

/// What an identity shows.
pub(crate) enum Shows {
    IdToken,
    Saml(&'static str),
    Session(Actor),
}

/// An identity, and what was wanted of it: audience and scope.
pub(crate) struct Identity {
    shows: Shows,
    sub: &'static str,
    pub(crate) wanted: Mutex<Vec<(String, Option<String>)>>,
}

/// An identity with this subject.
pub(crate) fn identity(sub: &'static str, shows: Shows) -> Arc<Identity> {
    Arc::new(Identity { shows, sub, wanted: Mutex::default() })
}

#[async_trait]
impl IdentitySource for Identity {
    fn name(&self) -> &'static str {
        "told"
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        self.wanted.lock().unwrap().push((want.audience.to_owned(), want.scope.map(str::to_owned)));
        let claims = json!({"iss": "https://issuer.example", "sub": self.sub, "aud": want.audience, "exp": 9_999_999_999_u64});
        let token = jwt(&claims);
        let (actor, proof) = match self.shows {
            Shows::IdToken => (Actor::Workspace, Proof::IdToken(Secret::new(token.clone()))),
            Shows::Saml(xml) => (Actor::User, Proof::Saml(Secret::new(xml.to_owned()))),
            Shows::Session(actor) => {
                let session = format!("session-of-{}", self.sub);
                let expires_at = clock::from_unix(9_999_999_999);
                (actor, Proof::Session { token: Secret::new(session), expires_at, refresh_at: None })
            }
        };
        Ok((Subject { source: "told", actor, claims: claims::parse(&token).unwrap() }, proof))
    }
}

/// The parameters of a request, in order.
pub(crate) fn form(seen: &Seen) -> Vec<(String, String)> {
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

/// One of them, which is there once.
pub(crate) fn field(seen: &Seen, name: &str) -> Option<String> {
    let mut values = form(seen).into_iter().filter(|(found, _)| found == name).map(|(_, value)| value);
    let value = values.next();
    assert_eq!(values.next(), None, "{name} comes twice");
    value
}
