//! Kind `id-token`: the workspace's own OIDC token, for an audience that the gateway's policy (`validate-jwt`) trusts. No
//! exchange takes part. It cannot be revoked and merely expires.

use super::{
    Lease, Lessor, Released, Value,
    probe::{Presented, Probe},
};
use crate::{
    clock,
    error::Result,
    exchange::proof::{Fitting, prove, unfit},
    identity::{IdentitySource, Proof, Want},
};
use async_trait::async_trait;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Issues id tokens for one audience.
pub struct IdToken {
    identity: Arc<dyn IdentitySource>,
    audience: String,
    probe: Option<Probe>,
    /// Whether a token has ever been handed out.
    issued: AtomicBool,
}

impl IdToken {
    /// For `audience`. Without a `probe` a token counts as accepted once it is issued.
    pub fn new(identity: Arc<dyn IdentitySource>, audience: &str, probe: Option<Probe>) -> Self {
        Self { identity, audience: audience.to_owned(), probe, issued: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Lessor for IdToken {
    async fn issue(&self) -> Result<Lease> {
        if let Some(probe) = &self.probe {
            probe.warm().await;
        }
        // From now on, whenever it was made: some sources hand the same token out until it is nearly over, and what is
        // left of its life decides when the next one is due.
        let issued_at = clock::now();
        let (subject, proof) =
            prove(&*self.identity, &Want { audience: &self.audience, scope: None }).await?;
        let Proof::IdToken(token) = proof else {
            return Err(unfit("a credential of kind id-token", Fitting::IdToken, subject.source, &proof));
        };
        self.issued.store(true, Ordering::Relaxed);
        Ok(Lease { value: Value::Text(token), issued_at, expires_at: subject.claims.exp, refresh_at: None })
    }

    async fn probe(&self, lease: &Lease) -> Result<()> {
        lease.show(self.probe.as_ref(), Presented::Token).await
    }

    fn has_begun(&self) -> bool {
        // It is only read: nothing is made that could be left behind.
        false
    }

    async fn release(&self) -> Result<Released> {
        let issued = self.issued.load(Ordering::Relaxed);
        Ok(if issued { Released::Expires } else { Released::Nothing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{Class, Error},
        exchange::testing::{Identity, Shows, identity},
        http::testing::{Reply, Server},
        identity::{Actor, claims},
    };

    fn lessor(identity: &Arc<Identity>, probe: Option<Probe>) -> IdToken {
        IdToken::new(Arc::clone(identity) as Arc<dyn IdentitySource>, "https://gw.example", probe)
    }

    #[tokio::test]
    async fn the_token_is_the_workspaces_own_and_lives_until_its_exp() {
        let workspace = identity("ws", Shows::IdToken);
        let lessor = lessor(&workspace, None);
        assert_eq!(lessor.release().await.unwrap(), Released::Nothing);
        let lease = lessor.issue().await.unwrap();
        let claims = claims::parse(lease.text().unwrap().expose()).unwrap();
        assert_eq!(
            (claims.aud.as_slice(), claims.exp),
            (["https://gw.example".to_owned()].as_slice(), lease.expires_at)
        );
        assert_eq!(*workspace.wanted.lock().unwrap(), [("https://gw.example".to_owned(), None)]);
        lessor.probe(&lease).await.expect("no probe path");
        assert!(!lessor.retires());
        assert_eq!(lessor.release().await.unwrap(), Released::Expires);
    }

    #[tokio::test]
    async fn it_is_probed_as_a_bearer_token() {
        let gateway = Server::start(|number, _| match number {
            0 => Reply::json(200, "{}"),
            _ => Reply::json(401, r#"{"statusCode":401,"message":"Invalid JWT."}"#),
        })
        .await;
        let probe = Probe::new(&gateway.url, "/echo", gateway.client());
        let lessor = lessor(&identity("ws", Shows::IdToken), Some(probe));
        let lease = lessor.issue().await.unwrap();
        lessor.probe(&lease).await.unwrap();
        let bearer = format!("authorization: Bearer {}", lease.text().unwrap().expose());
        assert!(gateway.seen()[0].head.contains(&bearer), "{}", gateway.seen()[0].head);
        let error: Error = lessor.probe(&lease).await.unwrap_err();
        assert_eq!(error.class, Class::Denied);
        assert!(!error.to_string().contains(lease.text().unwrap().expose()));
    }

    #[tokio::test]
    async fn other_proofs_are_no_id_tokens() {
        for shows in [Shows::Saml("<a/>"), Shows::Session(Actor::User)] {
            let lessor = lessor(&identity("ada", shows), None);
            let error = lessor.issue().await.err().unwrap();
            assert_eq!(error.class, Class::Config);
            assert_eq!(error.what, "a credential of kind id-token cannot use the identity source told");
            assert!(error.fix.unwrap().starts_with("name an identity whose source is ona, gitpod"));
            assert_eq!(lessor.release().await.unwrap(), Released::Nothing);
        }
    }
}
