//! The access token for ARM, kept while it is good for a while longer.

use crate::{
    clock,
    error::Result,
    exchange::{AccessToken, Exchange},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::Mutex;

/// A token is not used when less than this is left, or less than a tenth of its life: the request still has to travel,
/// and clocks differ.
const LEAST_LEFT: Duration = Duration::from_secs(5);

struct Cached {
    token: Arc<AccessToken>,
    fetched_at: SystemTime,
}

/// A cached token for one scope. Whoever comes while it is being fetched waits for the same one.
pub struct Bearer {
    exchange: Arc<dyn Exchange>,
    scope: String,
    cached: Mutex<Option<Cached>>,
}

impl Bearer {
    /// Fetches nothing yet.
    pub fn new(exchange: Arc<dyn Exchange>, scope: &str) -> Self {
        Self { exchange, scope: scope.to_owned(), cached: Mutex::default() }
    }

    /// A token that is good for a while.
    pub async fn get(&self) -> Result<Arc<AccessToken>> {
        let mut cached = self.cached.lock().await;
        let fetched_at = clock::now();
        if let Some(cached) = cached.as_ref()
            && is_good(cached.fetched_at, cached.token.expires_at, fetched_at)
        {
            return Ok(Arc::clone(&cached.token));
        }
        let token = Arc::new(self.exchange.exchange(Some(&self.scope)).await?);
        *cached = Some(Cached { token: Arc::clone(&token), fetched_at });
        Ok(token)
    }

    /// Forgets `refused`, unless another one has taken its place already.
    pub async fn discard(&self, refused: &Arc<AccessToken>) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|cached| Arc::ptr_eq(&cached.token, refused)) {
            *cached = None;
        }
    }
}

fn is_good(fetched_at: SystemTime, expires_at: SystemTime, now: SystemTime) -> bool {
    let life = expires_at.duration_since(fetched_at).unwrap_or_default();
    // A clock that was set back would stretch the life; the issuer's view of it is unknown then.
    let monotonic = fetched_at <= now;
    monotonic && expires_at.duration_since(now).is_ok_and(|left| left > LEAST_LEFT.max(life / 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::from_unix, lease::fake::FakeExchange};

    #[test]
    fn a_tenth_of_the_life_and_five_seconds_are_left_unused() {
        let good =
            |life: u64, age: u64| is_good(from_unix(1000), from_unix(1000 + life), from_unix(1000 + age));
        assert!(good(3600, 3239) && !good(3600, 3240));
        assert!(good(20, 14) && !good(20, 15));
        assert!(!good(5, 0), "too short to be kept");
        assert!(!good(3600, 4000), "expired");
        assert!(!is_good(from_unix(1000), from_unix(4600), from_unix(999)), "the clock was set back");
    }

    #[tokio::test]
    async fn everybody_gets_the_same_token_until_it_is_refused() {
        let exchange = Arc::new(FakeExchange::default());
        let bearer = Bearer::new(Arc::clone(&exchange) as Arc<dyn Exchange>, "scope");
        let (one, two) = tokio::join!(bearer.get(), bearer.get());
        let (one, two) = (one.expect("token"), two.expect("token"));
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(exchange.count(), 1);
        bearer.discard(&one).await;
        let three = bearer.get().await.expect("token");
        assert_eq!(exchange.count(), 2);
        // A second refusal of the old token says nothing about the new one.
        bearer.discard(&one).await;
        assert!(Arc::ptr_eq(&three, &bearer.get().await.expect("token")));
        assert_eq!(exchange.count(), 2);
    }
}
