//! Waiting without timers of the kernel's: in naps, so that a jump is seen within one. Each nap is a wake-up.

use super::{Ring, system::Armed};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, Sleep, sleep};

/// The longest nap. Tokio's clock stands still while the machine is suspended, so a jump is seen so late at most.
const LONGEST: Duration = Duration::from_secs(30);
/// Clocks that are merely being adjusted drift apart by less than this between two looks.
const DRIFT: Duration = Duration::from_secs(1);

/// Naps.
pub(super) struct Naps {
    sleep: Pin<Box<Sleep>>,
    armed: Armed,
    /// The last look at both clocks.
    seen: (SystemTime, Instant),
}

impl Naps {
    /// Needs a tokio runtime around it.
    pub(super) fn new(now: SystemTime) -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), armed: Armed::Not, seen: (now, Instant::now()) }
    }

    /// See [`Clock::poll_ring`](super::Clock::poll_ring).
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        now: SystemTime,
        until: Option<SystemTime>,
    ) -> Poll<Ring> {
        let seen = (now, Instant::now());
        let expected = self.seen.0 + seen.1.duration_since(self.seen.1);
        self.seen = seen;
        if apart(expected, now) > DRIFT {
            self.armed = Armed::Not;
            return Poll::Ready(Ring::Jumped);
        }
        if until.is_some_and(|until| until <= now) {
            return Poll::Ready(Ring::Due);
        }
        if self.armed != Armed::Until(until) {
            let wait = until.and_then(|until| until.duration_since(now).ok());
            self.sleep.as_mut().reset(seen.1 + wait.unwrap_or(LONGEST).min(LONGEST));
            self.armed = Armed::Until(until);
        }
        let rung = self.sleep.as_mut().poll(context).map(|()| Ring::Due);
        if rung.is_ready() {
            self.armed = Armed::Not;
        }
        rung
    }
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_several_naps_and_a_short_one_is_exact() {
        let start = SystemTime::UNIX_EPOCH + 1000 * S;
        let began = Instant::now();
        let mut naps = Naps::new(start);
        let mut rings = Vec::new();
        while rings.last() != Some(&(70 * S)) {
            let ring = poll_fn(|context| naps.poll(context, start + began.elapsed(), Some(start + 70 * S)));
            assert_eq!(ring.await, Ring::Due);
            rings.push(began.elapsed());
        }
        assert_eq!(rings, [30 * S, 60 * S, 70 * S]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_another_way_than_the_other_has_jumped() {
        let start = SystemTime::UNIX_EPOCH + 1000 * S;
        for now in [start + 60 * S, start - 60 * S] {
            let mut naps = Naps::new(start);
            assert_eq!(poll_fn(|context| naps.poll(context, now, None)).await, Ring::Jumped);
            let again = tokio::time::timeout(S, poll_fn(|context| naps.poll(context, now, None)));
            assert!(again.await.is_err(), "once");
        }
    }
}
