//! Kind `access-token`: an Entra token for an API behind the gateway. It cannot be revoked and merely expires.
//! (Of an exchange that can revoke, access tokens are [brokered](super::brokered).)

use super::{
    Lease, Lessor, Released, Value,
    probe::{Presented, Probe},
};
use crate::{clock, error::Result, exchange::Exchange};
use async_trait::async_trait;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Issues tokens for one scope.
pub struct AccessToken {
    exchange: Arc<dyn Exchange>,
    scope: String,
    probe: Option<Probe>,
    /// Whether a token has ever been handed out.
    issued: AtomicBool,
}

impl AccessToken {
    /// For `scope`, such as `api://orders/.default`. Without a `probe` a token counts as accepted once it is issued.
    pub fn new(exchange: Arc<dyn Exchange>, scope: &str, probe: Option<Probe>) -> Self {
        Self { exchange, scope: scope.to_owned(), probe, issued: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Lessor for AccessToken {
    async fn issue(&self) -> Result<Lease> {
        if let Some(probe) = &self.probe {
            probe.warm().await;
        }
        // Taken before the request: a token must not pass for younger than it is.
        let issued_at = clock::now();
        let token = self.exchange.exchange(Some(&self.scope)).await?;
        self.issued.store(true, Ordering::Relaxed);
        Ok(Lease {
            value: Value::Text(token.token),
            issued_at,
            expires_at: token.expires_at,
            refresh_at: token.refresh_at,
        })
    }

    async fn probe(&self, lease: &Lease) -> Result<()> {
        lease.show(self.probe.as_ref(), Presented::Token).await
    }

    fn has_begun(&self) -> bool {
        // Whatever Entra has issued by then, it takes nothing back.
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
    use crate::lease::fake::FakeExchange;

    #[tokio::test]
    async fn each_value_is_a_fresh_token_and_the_end_is_told_honestly() {
        let exchange = Arc::new(FakeExchange::default());
        let lessor =
            AccessToken::new(Arc::clone(&exchange) as Arc<dyn Exchange>, "api://orders/.default", None);
        assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
        let one = lessor.issue().await.expect("token");
        let two = lessor.issue().await.expect("token");
        assert!(one.text().unwrap().expose() != two.text().unwrap().expose());
        assert!(one.expires_at > one.issued_at);
        lessor.probe(&two).await.expect("no probe path");
        assert!(!lessor.retires());
        assert_eq!(lessor.release().await.expect("no call"), Released::Expires);
        assert_eq!(exchange.scopes(), ["api://orders/.default"; 2]);
    }
}
