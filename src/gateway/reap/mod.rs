//! Deletes the subscriptions that dead workspaces left behind.
//!
//! | file | what |
//! |---|---|
//! | `judge.rs` | which subscriptions may be deleted; pure |
//! | `budget.rs` | how fast; pure |
//! | `page.rs` | the list's pages, and no way out of the list; pure |
//! | `service.rs` | the requests to ARM |
//! | `tally.rs` | what has been done so far |
//!
//! The whole list is read before the first DELETE, since deleting moves the pages of a list that is being read. What
//! is new meanwhile is alive, and what is missed dies at the next run. Each of the dead is then looked at once more and
//! deleted only at the version that was seen dead: one that its workspace renews in between is kept. Nothing has to be
//! remembered, so a run that was cut short goes on by being started again.

mod budget;
mod judge;
mod page;
mod service;
mod tally;

pub use budget::{Budget, Rate};
pub use judge::{Properties, Subscription, Verdict, judge};
pub use service::Service;
pub use tally::{Ended, Tally};

use crate::{
    clock,
    error::{Class, Error, Result},
    lease::random,
};
use futures_util::{StreamExt, stream};
use service::{Current, Deleted};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::sleep};

/// Requests under way at the same time: enough to keep up with the budget where ARM takes half a second for each.
const AT_ONCE: usize = 8;

/// How often something is tried that a retry can mend.
const TRIES: u32 = 4;

/// First pause before that.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that ARM can ask of us.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// So many failures in a row are ARM's, and not those of single subscriptions.
const MOST_FAILURES: u64 = 3 * AT_ONCE as u64;

/// One run.
pub struct Reaper {
    service: Service,
    /// How long one has to be past its end.
    grace: Duration,
    /// First pause before something is tried again; doubles.
    pause: Duration,
    tally: Mutex<Tally>,
    stop: watch::Sender<bool>,
}

/// What became of one of the dead.
enum Fate {
    Deleted,
    Gone,
    Renewed,
    /// It is still there; nobody tried, since the run was to stop.
    Untried,
    Left(Error),
}

impl Reaper {
    /// For what is past its end by `grace` in `service`.
    pub fn new(service: Service, grace: Duration) -> Self {
        Self { service, grace, pause: PAUSE, tally: Mutex::default(), stop: watch::Sender::new(false) }
    }

    /// Pauses so long, instead of a second, before it tries something again for the first time.
    #[must_use]
    pub fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// What has been done so far.
    pub fn tally(&self) -> Tally {
        Tally { throttled: self.service.throttled(), ..self.lock().clone() }
    }

    /// Ends the run after the requests that are under way.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it was told to.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// The dead, by their ids. Deletes nothing.
    ///
    /// Errors: ARM's, after the tries that may mend them; half a list is none.
    pub async fn list(&self) -> Result<BTreeMap<String, Ended>> {
        let mut dead = BTreeMap::new();
        let (first, mut pages) = self.service.pages();
        let mut next = Some(first);
        while let Some(url) = next.filter(|_| !self.is_stopping()) {
            let page = self.patiently(async || self.service.page(&url).await).await?;
            next = pages.after(&page)?;
            self.lock().page(page.value.len(), page.count);
            let as_of = self.as_of();
            for subscription in page.value {
                let verdict = judge(&subscription, as_of);
                self.lock().judged(verdict);
                if let Verdict::Dead(since) = verdict {
                    let name = subscription.properties.display_name.unwrap_or_default();
                    dead.insert(subscription.sid, Ended { name, since });
                }
            }
        }
        // A page that has moved while it was read shows some of them twice.
        self.lock().dead = dead.len() as u64;
        Ok(dead)
    }

    /// Deletes `dead`, as far as they still are.
    ///
    /// Errors: what would meet all of them, such as a missing right. What is left of single ones is in the tally.
    pub async fn delete(&self, dead: BTreeMap<String, Ended>) -> Result<()> {
        let mut fates = stream::iter(dead.into_keys())
            .map(|sid| async move { (self.reap(&sid).await, sid) })
            .buffer_unordered(AT_ONCE);
        let (mut in_a_row, mut fatal) = (0, None);
        while let Some((fate, sid)) = fates.next().await {
            match &fate {
                Fate::Left(error) if fatal.is_none() => {
                    in_a_row += 1;
                    tracing::info!(sid, "left: {error}");
                    if error.class == Class::Denied || in_a_row >= MOST_FAILURES {
                        fatal = Some(error.clone());
                        self.stop();
                    }
                }
                Fate::Left(_) | Fate::Untried => {}
                Fate::Deleted | Fate::Gone | Fate::Renewed => in_a_row = 0,
            }
            self.lock().fate(&fate);
        }
        fatal.map_or(Ok(()), Err)
    }

    /// Deletes one, if it still is dead.
    async fn reap(&self, sid: &str) -> Fate {
        for _ in 0..TRIES {
            if self.is_stopping() {
                return Fate::Untried;
            }
            let outcome = self.patiently(async || self.try_once(sid).await).await;
            match outcome {
                Ok(Some(fate)) => return fate,
                // Somebody has changed it. Whether it lives now is to be seen.
                Ok(None) => {}
                Err(error) => return Fate::Left(error),
            }
        }
        Fate::Left(Error::new(
            Class::TryAgain,
            format!("the subscription {sid} changes as often as it is looked at"),
        ))
    }

    /// `None`: it has changed between the look and the DELETE.
    async fn try_once(&self, sid: &str) -> Result<Option<Fate>> {
        // First what is scarce, so that the look is a moment old when it counts.
        let permit = tokio::select! {
            permit = self.service.permit() => permit,
            () = self.stopped() => return Ok(Some(Fate::Untried)),
        };
        let Some(Current { subscription, etag }) = self.service.look(sid).await? else {
            return Ok(Some(Fate::Gone));
        };
        if !matches!(judge(&subscription, self.as_of()), Verdict::Dead(_)) {
            return Ok(Some(Fate::Renewed));
        }
        Ok(match self.service.delete(sid, &etag, permit).await? {
            Deleted::Done => Some(Fate::Deleted),
            Deleted::Gone => Some(Fate::Gone),
            Deleted::Changed => None,
        })
    }

    /// Tries again what a retry can mend, a few times, unless the run is to stop.
    async fn patiently<T>(&self, work: impl AsyncFn() -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            let error = match work().await {
                Err(error) if error.is_transient() && attempt < TRIES && !self.is_stopping() => error,
                done => return done,
            };
            tracing::debug!(attempt, "{error}");
            let own = random::pause(self.pause * (1 << (attempt - 1)))?;
            let wait = error.retry_after.unwrap_or_default().min(LONGEST_WAIT).max(own);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stopped() => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn stopped(&self) {
        // The sender is ours, so it is not gone before us.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Now, by our clock or by ARM's, whichever is behind, less the grace.
    fn as_of(&self) -> SystemTime {
        let back = self.grace.saturating_add(self.service.ahead());
        clock::now().checked_sub(back).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
