//! One deadline for all the steps of a request.

use super::{failure, origin::Origin};
use crate::error::Result;
use std::{future::Future, time::Duration};
use tokio::time::{Instant, timeout_at};

/// A point in time, and how long it was away at the start: for the message.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    budget: Duration,
}

impl Deadline {
    pub(super) fn after(budget: Duration) -> Self {
        Self { at: Instant::now() + budget, budget }
    }

    /// `work`, or an error that says what was being done when the time was up.
    pub(super) async fn run<T>(
        self,
        origin: &Origin,
        doing: &str,
        work: impl Future<Output = T>,
    ) -> Result<T> {
        timeout_at(self.at, work).await.map_err(|_| failure::timed_out(origin, doing, self.budget))
    }
}
