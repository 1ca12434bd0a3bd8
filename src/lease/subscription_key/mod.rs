//! Kind `subscription-key`: a subscription of the workspace's own, with keys that we draw.
//!
//! | when | requests to ARM |
//! |---|---|
//! | first value | one PUT with both keys: the first, and the next one, which the gateway so learns long before its turn |
//! | each rotation | none to hand out the next key; one PATCH when the grace of the one before is over |
//! | a key that the gateway never accepted | one PATCH |
//! | the end | one DELETE |

#[cfg(test)]
mod announced_tests;
pub mod naming;
pub mod record;
#[cfg(test)]
mod tests;

use super::{
    Lease, Lessor, Released, Value,
    announce::{Announce, Mint, unannounced},
    arm::{Arm, Change, New},
    arm_error::{Effect, Fault},
    probe::{Presented, Probe},
    random,
};
use crate::{
    clock,
    error::{Class, Error, Result},
    secret::Secret,
};
use async_trait::async_trait;
use record::{Record, Side, Step};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A stale version is tried again this often within one call; the lifecycle goes on from there.
const TRIES: u32 = 5;

/// First pause after a stale version; doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Create, a date for a leftover, hand out, and once more for one that was deleted meanwhile.
const MOST_STEPS: usize = 6;

/// Which subscription, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `/products/ID`, `/apis/ID` or `/apis`.
    pub scope: String,
    /// The credential's name in the configuration.
    pub name: String,
    /// The workspace's name.
    pub workspace: String,
    /// How long a published key is good for.
    pub lifetime: Duration,
}

/// Issues the keys of one subscription.
pub struct SubscriptionKey {
    arm: Arc<Arm>,
    probe: Option<Probe>,
    wanted: Wanted,
    /// Never held across an await, so a call that is cut short leaves it whole.
    record: Mutex<Record>,
    /// Who the user is, for the display name; known since the first exchange.
    user: Mutex<Option<String>>,
    /// What may exist is written down there.
    announce: Arc<dyn Announce>,
    /// Creates under way.
    creating: AtomicUsize,
    pause: Duration,
}

/// A create that is under way for as long as this lives: it may be called off at any await.
struct Creating<'a>(&'a AtomicUsize);

impl<'a> Creating<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SubscriptionKey {
    /// Issues what is `wanted`. Without a `probe` a key counts as accepted as soon as it is issued.
    pub fn new(arm: Arc<Arm>, probe: Option<Probe>, wanted: Wanted) -> Self {
        Self {
            arm,
            probe,
            wanted,
            record: Mutex::default(),
            user: Mutex::default(),
            announce: unannounced(),
            creating: AtomicUsize::new(0),
            pause: PAUSE,
        }
    }

    /// The same, with what it mints announced at `announce`.
    #[must_use]
    pub fn announced(mut self, announce: Arc<dyn Announce>) -> Self {
        self.announce = announce;
        self
    }

    /// The subscription does not exist, or not any more.
    fn gone(&self, sid: &str) {
        let mut record = self.record();
        record.gone();
        if self.creating.load(Ordering::Relaxed) == 0 {
            self.announce.ended(Mint::Subscription(sid));
        } else {
            // A create that is under way may still make it.
            record.creating(sid);
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // No code that holds it panics, and it is whole between any two of its methods anyway.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dead-man's date as set now. It covers the key that is being prepared, whose life starts within the life of
    /// the one before.
    fn covered_until(&self, now: SystemTime) -> SystemTime {
        now + 2 * self.wanted.lifetime
    }

    fn display_name(&self, until: SystemTime) -> String {
        let user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        naming::display_name(&self.wanted.workspace, user.as_deref(), until)
    }

    async fn create(&self) -> Result<()> {
        // Opening a connection takes longer than ARM's answer may: it starts together with all the others.
        if let Some(probe) = &self.probe {
            probe.warm().await;
        }
        let token = self.arm.ready().await?;
        let subject = &token.subject.claims;
        let sid = naming::sid(&subject.iss, &subject.sub, &self.wanted.workspace, &self.wanted.name);
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&subject.user);

        let (primary, secondary) = (random::key()?, random::key()?);
        let mut attempt = 1;
        loop {
            let until = self.covered_until(clock::now());
            let display_name = self.display_name(until);
            // Whatever becomes of this process: what may exist from here on is written down before it does.
            self.announce.minting(Mint::Subscription(&sid)).await?;
            let creating = Creating::begin(&self.creating);
            let scope = &self.wanted.scope;
            let new = New { scope, display_name: &display_name, primary: &primary, secondary: &secondary };
            // From here on it may exist, whatever becomes of this call.
            let existed = self.record().creating(&sid);
            match self.arm.create(&sid, &new).await {
                Ok(created) => {
                    // A leftover of an earlier life keeps that life's date, which may be past.
                    let until = created.fresh.then_some(until);
                    self.record().created(&sid, primary, secondary, created.etag, until);
                    return Ok(());
                }
                Err(Fault { effect, error }) => {
                    drop(creating);
                    if effect != Effect::Unknown && !existed {
                        self.gone(&sid);
                    } else {
                        // Named again, since a release may have overtaken the request.
                        self.record().creating(&sid);
                    }
                    // Creations at the same time stumble over each other in the service.
                    if effect != Effect::Stale || attempt == TRIES {
                        return Err(error);
                    }
                }
            }
            self.rest(attempt).await?;
            attempt += 1;
        }
    }

    /// Sets a new date, and a fresh key on `side`. If the subscription proves to be gone, the record says so after.
    async fn update(&self, side: Option<Side>) -> Result<()> {
        let sid = self.record().sid().map(str::to_owned);
        let Some(sid) = sid else { return Ok(()) };
        let fresh = match side {
            Some(side) => Some((side, random::key()?)),
            None => None,
        };
        let mut attempt = 1;
        loop {
            match self.try_update(&sid, fresh.as_ref().map(|(side, key)| (*side, key))).await {
                Ok((etag, until)) => {
                    self.record().updated(fresh, etag, until);
                    return Ok(());
                }
                Err(Fault { effect: Effect::Missing, .. }) => {
                    tracing::warn!(sid, "the subscription was deleted by another hand");
                    self.gone(&sid);
                    return Ok(());
                }
                Err(Fault { effect: Effect::Stale, .. }) if attempt < TRIES => self.record().set_etag(None),
                Err(Fault { error, .. }) => return Err(error),
            }
            self.rest(attempt).await?;
            attempt += 1;
        }
    }

    async fn try_update(
        &self,
        sid: &str,
        key: Option<(Side, &Secret)>,
    ) -> Result<(Option<String>, SystemTime), Fault> {
        let known = self.record().etag().map(str::to_owned);
        let etag = match known {
            Some(etag) => etag,
            None => self.arm.version(sid).await?,
        };
        let until = self.covered_until(clock::now());
        let display_name = self.display_name(until);
        if let Some((side, _)) = key {
            self.record().spend(side);
        }
        let change = Change { key, display_name: &display_name, expiration: until };
        let etag = self.arm.update(sid, &etag, &change).await?;
        Ok((etag, until))
    }

    /// The gateway does not know a key that it has had time to learn: somebody may have deleted the subscription. ARM is
    /// asked once for each key; any other answer leaves it at `error`.
    async fn doubt(&self, error: Error) -> Error {
        let Some(sid) = self.record().to_look_for() else { return error };
        match self.arm.version(&sid).await {
            Err(Fault { effect: Effect::Missing, .. }) => {
                self.gone(&sid);
                Error::new(Class::Void, format!("the subscription {sid} was deleted by another hand"))
                    .why("ARM does not know it, and the gateway refuses its keys")
                    .fix("a new one is created; see who deletes subscriptions of this APIM service")
            }
            Ok(_) | Err(_) => error,
        }
    }

    async fn rest(&self, attempt: u32) -> Result<()> {
        tokio::time::sleep(random::pause(self.pause * (1 << attempt))?).await;
        Ok(())
    }
}

#[async_trait]
impl Lessor for SubscriptionKey {
    async fn issue(&self) -> Result<Lease> {
        for _ in 0..MOST_STEPS {
            let issued_at = clock::now();
            let expires_at = issued_at + self.wanted.lifetime;
            let step = self.record().next_step(expires_at);
            match step {
                Step::Create => self.create().await?,
                Step::Update(side) => self.update(side).await?,
                Step::HandOut(side) => {
                    if let Some(secret) = self.record().hand_out(side) {
                        return Ok(Lease {
                            value: Value::Text(secret),
                            issued_at,
                            expires_at,
                            refresh_at: None,
                        });
                    }
                }
            }
        }
        Err(Error::new(Class::TryAgain, format!("no key of {} stays in place", self.wanted.name))
            .why("the subscription is deleted as often as it is created")
            .fix("look who else deletes subscriptions of this APIM service"))
    }

    async fn probe(&self, lease: &Lease) -> Result<()> {
        if let Some(probe) = &self.probe
            && let Some(key) = lease.text()
            && let Err(error) = probe.check(Presented::Key, key).await
        {
            return Err(if error.class == Class::TryAgain { self.doubt(error).await } else { error });
        }
        self.record().accepted();
        Ok(())
    }

    async fn retire(&self) -> Result<()> {
        let side = self.record().to_retire();
        match side {
            Some(side) => self.update(Some(side)).await,
            None => Ok(()),
        }
    }

    fn retires(&self) -> bool {
        true
    }

    fn has_begun(&self) -> bool {
        self.record().sid().is_some()
    }

    fn adopt(&self, sid: &str) {
        self.record().creating(sid);
    }

    async fn release(&self) -> Result<Released> {
        // Also after a create whose answer never came. The driver lets a create under way land first.
        let sid = self.record().sid().map(str::to_owned);
        let Some(sid) = sid else { return Ok(Released::Nothing) };
        let was_there = self.arm.delete(&sid).await?;
        // One that was confirmed and is not there any more is refused too, whoever deleted it.
        let existed = was_there || self.record().is_live();
        self.gone(&sid);
        Ok(if existed { Released::Revoked } else { Released::Nothing })
    }
}
