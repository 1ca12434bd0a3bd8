//! The machine's own clock.

use super::{Clock, Ring, kernel::Timers, nap::Naps, now, since_boot};
use std::{
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

/// The machine's own clock. While nothing is due, waiting for it costs nothing.
///
/// Where the kernel's timers cannot be had (no descriptor is left, or a sandbox refuses them) it says so in the log, and waits
/// in naps of half a minute at most: all is done as before, but a jump may be noticed so late.
pub struct System(Source);

/// What a timer is set for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Armed {
    Not,
    /// That time, or a jump alone.
    Until(Option<SystemTime>),
}

enum Source {
    Timers(Timers),
    Naps(Naps),
}

impl System {
    /// Needs a tokio runtime around it.
    pub fn new() -> Self {
        Self(Timers::new(now()).map_or_else(|error| naps(&error), Source::Timers))
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for System {
    fn now(&self) -> SystemTime {
        now()
    }

    fn steady(&self) -> Duration {
        since_boot()
    }

    fn poll_ring(&mut self, context: &mut Context<'_>, until: Option<SystemTime>) -> Poll<Ring> {
        match &mut self.0 {
            Source::Timers(timers) => match ready!(timers.poll(context, now(), until)) {
                Ok(ring) => Poll::Ready(ring),
                Err(error) => {
                    self.0 = naps(&error);
                    // Nobody knows what was missed.
                    Poll::Ready(Ring::Jumped)
                }
            },
            Source::Naps(naps) => naps.poll(context, now(), until),
        }
    }
}

fn naps(error: &std::io::Error) -> Source {
    tracing::warn!("no timers of the kernel's can be had, so the clock is looked at twice a minute: {error}");
    Source::Naps(Naps::new(now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const SHORT: Duration = Duration::from_millis(20);

    async fn ring(clock: &mut System, until: Option<SystemTime>) -> Ring {
        poll_fn(|context| clock.poll_ring(context, until)).await
    }

    #[tokio::test]
    async fn it_rings_when_the_time_has_come_and_can_be_set_again() {
        let mut clock = System::new();
        assert!(matches!(clock.0, Source::Timers(_)), "this machine has none");
        for wait in [SHORT, Duration::ZERO, SHORT] {
            let until = clock.now() + wait;
            while clock.now() < until {
                ring(&mut clock, Some(until)).await;
            }
            assert_eq!(ring(&mut clock, Some(until)).await, Ring::Due, "also when it is over");
        }
        // Times before 1970 and at the end of all dates.
        assert_eq!(ring(&mut clock, Some(SystemTime::UNIX_EPOCH - SHORT)).await, Ring::Due);
        for never in [None, Some(super::super::from_unix(super::super::LATEST))] {
            let rung = tokio::time::timeout(SHORT, ring(&mut clock, never)).await;
            assert!(rung.is_err(), "{rung:?}");
        }
        // A later wait is not ended by an earlier one that was given up.
        let given_up = clock.now() + SHORT;
        let pending = futures_util::poll!(poll_fn(|context| clock.poll_ring(context, Some(given_up))));
        assert!(pending.is_pending());
        assert!(tokio::time::timeout(4 * SHORT, ring(&mut clock, None)).await.is_err());
    }

    #[tokio::test]
    async fn without_timers_it_naps() {
        let mut clock = System(naps(&std::io::Error::from_raw_os_error(24)));
        let until = clock.now() + SHORT;
        while clock.now() < until {
            ring(&mut clock, Some(until)).await;
        }
        assert_eq!(ring(&mut clock, Some(until)).await, Ring::Due);
    }
}
