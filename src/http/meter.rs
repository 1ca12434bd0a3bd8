//! Counts the requests of a piece of work, for whoever has to answer for them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

tokio::task_local! {
    /// Of the work that is being polled. Nothing has to be handed through the stages for it, and a request made elsewhere
    /// (the emulator's, a test's) is nobody's.
    static METER: Meter;
}

/// A counter of requests; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU32>);

impl Meter {
    /// Does `work`, counting what it sends.
    pub async fn over<T>(&self, work: impl Future<Output = T>) -> T {
        METER.scope(self.clone(), work).await
    }

    /// What was counted since this was last asked.
    pub fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }

    /// A request is about to be made.
    pub(super) fn count() {
        // Outside of any metered work there is nothing to count for.
        let _ = METER.try_with(|meter| meter.0.fetch_add(1, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_client_counts_what_it_is_asked_to_send_whatever_becomes_of_it() {
        use crate::http::{Client, Options};
        let client = Client::new(&Options::default()).unwrap();
        // Nobody listens on a port that has just been free.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        drop(listener);
        let meter = Meter::default();
        for expected in [1, 1] {
            let request = http::Request::get(&url).body(bytes::Bytes::new()).unwrap();
            assert!(meter.over(client.send(request)).await.is_err());
            assert_eq!(meter.take(), expected);
        }
    }

    #[tokio::test]
    async fn each_counts_its_own() {
        let (one, other) = (Meter::default(), Meter::default());
        let work = async {
            Meter::count();
            tokio::task::yield_now().await;
            Meter::count();
        };
        tokio::join!(one.over(work), other.over(async { Meter::count() }));
        Meter::count();
        assert_eq!((one.take(), other.take()), (2, 1));
        assert_eq!(one.take(), 0, "taken");
    }
}
