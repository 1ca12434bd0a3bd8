//! What is known of a subscription at ARM and of its two keys: pure, and always a step ahead of the network.
//!
//! A subscription has two keys that are good at the same time. One is published. The other is, by turns,
//!
//! ```text
//! prepared ──issue──► handed out ──probe──► published, the other one becomes the previous
//!    ▲                    ╰─ probe never passed: spent
//!    ╰──────── one PATCH (retire) ◄──────── previous, its grace over
//! ```
//!
//! so the gateway has known a key for a long time when its turn comes, and a rotation costs one request. A key counts as
//! spent from before the request that replaces it is sent: whether that request arrived then does not matter, since the
//! next one replaces the key again.

use crate::secret::Secret;
use std::time::SystemTime;

/// One of the two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `primaryKey`.
    Primary,
    /// `secondaryKey`.
    Secondary,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }
}

/// What [`Record::next_step`] wants done before a key can be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no subscription that we know: create it with two fresh keys.
    Create,
    /// Set a new dead-man's date, and a fresh key on the side given.
    Update(Option<Side>),
    /// This side's key is ready.
    HandOut(Side),
}

/// The record. Empty by default: nothing was ever sent.
#[derive(Default)]
pub struct Record {
    /// The id of the subscription, from before the first request that may create it until it is known to be gone.
    sid: Option<String>,
    /// Whether an answer has confirmed that it exists with our keys.
    live: bool,
    etag: Option<String>,
    /// When its dead-man's date lies: past it, nothing of this subscription may be in use.
    covered_until: Option<SystemTime>,
    primary: Option<Secret>,
    secondary: Option<Secret>,
    /// Handed out last and not accepted yet.
    handed: Option<Side>,
    /// Accepted by the gateway last.
    published: Option<Side>,
    /// Whether ARM was asked about the subscription for the key that was handed out last.
    looked: bool,
}

impl Record {
    /// What has to happen next so that a key can be handed out that is good until `expires_at`.
    ///
    /// It is never the published key's side, and never a key that was handed out before.
    pub fn next_step(&self, expires_at: SystemTime) -> Step {
        if !self.live {
            return Step::Create;
        }
        let side = match self.published {
            Some(published) => published.other(),
            None if self.primary.is_none() && self.secondary.is_some() => Side::Secondary,
            None => Side::Primary,
        };
        if self.prepared(side).is_none() {
            return Step::Update(Some(side));
        }
        // The machine may have slept through the date.
        if self.covered_until.is_none_or(|until| until < expires_at) {
            return Step::Update(None);
        }
        Step::HandOut(side)
    }

    /// The side whose key is to be ended and replaced by a fresh one, now that the published key's grace is over.
    pub fn to_retire(&self) -> Option<Side> {
        let idle = self.published?.other();
        // A key on its way to being published is not the one before it.
        (self.live && self.handed != Some(idle) && self.prepared(idle).is_none()).then_some(idle)
    }

    /// A request that creates `sid` is about to be sent. Says whether it may have existed already.
    pub fn creating(&mut self, sid: &str) -> bool {
        self.sid.replace(sid.to_owned()).is_some()
    }

    /// `sid` exists, with both keys prepared. Without `covered_until` its dead-man's date is unknown and is set before a key is handed out.
    pub fn created(
        &mut self,
        sid: &str,
        primary: Secret,
        secondary: Secret,
        etag: Option<String>,
        covered_until: Option<SystemTime>,
    ) {
        // Named again, since a release may have overtaken the request.
        self.sid = Some(sid.to_owned());
        self.live = true;
        self.etag = etag;
        self.covered_until = covered_until;
        (self.primary, self.secondary) = (Some(primary), Some(secondary));
        (self.handed, self.published) = (None, None);
    }

    /// It does not exist, or not any more.
    pub fn gone(&mut self) {
        *self = Self::default();
    }

    /// A request that changes this side's key is about to be sent: from now on neither the old nor the new key counts.
    pub fn spend(&mut self, side: Side) {
        *self.slot(side) = None;
        if self.handed == Some(side) {
            self.handed = None;
        }
    }

    /// The change has been confirmed.
    pub fn updated(
        &mut self,
        fresh: Option<(Side, Secret)>,
        etag: Option<String>,
        covered_until: SystemTime,
    ) {
        self.etag = etag;
        self.covered_until = Some(covered_until);
        if let Some((side, key)) = fresh {
            *self.slot(side) = Some(key);
        }
    }

    /// Takes the prepared key of `side`: it will never be handed out again.
    pub fn hand_out(&mut self, side: Side) -> Option<Secret> {
        let key = self.slot(side).take()?;
        (self.handed, self.looked) = (Some(side), false);
        Some(key)
    }

    /// The gateway accepts the key that was handed out last.
    pub fn accepted(&mut self) {
        self.published = self.handed.take().or(self.published);
    }

    /// The subscription to look for when the key handed out last is refused: once, and not before one of its keys was
    /// accepted, since until then a gateway that learns late explains it.
    pub fn to_look_for(&mut self) -> Option<String> {
        let doubts = self.published.is_some() && !std::mem::replace(&mut self.looked, true);
        self.sid.clone().filter(|_| doubts)
    }

    /// Whether ARM has confirmed that it exists with our keys.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The id of what may exist at ARM because of us.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// The version of the subscription that we know.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Takes in the version that ARM says there is; `None` when ours has proved stale.
    pub fn set_etag(&mut self, etag: Option<String>) {
        self.etag = etag;
    }

    fn prepared(&self, side: Side) -> Option<&Secret> {
        match side {
            Side::Primary => self.primary.as_ref(),
            Side::Secondary => self.secondary.as_ref(),
        }
    }

    fn slot(&mut self, side: Side) -> &mut Option<Secret> {
        match side {
            Side::Primary => &mut self.primary,
            Side::Secondary => &mut self.secondary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    /// Created with keys `a` and `b`, covered until second 200.
    fn created() -> Record {
        let mut record = Record::default();
        assert!(!record.creating("ws-1"));
        record.created("ws-1", secret("a"), secret("b"), Some("1".to_owned()), Some(from_unix(200)));
        record
    }

    fn hand_out(record: &mut Record) -> (Side, String) {
        let Step::HandOut(side) = record.next_step(from_unix(100)) else { panic!("nothing is prepared") };
        let key = record.hand_out(side).expect("what the step promised");
        (side, key.expose().to_owned())
    }

    fn retire(record: &mut Record, fresh: &str) -> Side {
        let side = record.to_retire().expect("a previous key");
        record.spend(side);
        record.updated(Some((side, secret(fresh))), Some("2".to_owned()), from_unix(200));
        side
    }

    #[test]
    fn what_may_exist_is_known_before_it_is_confirmed() {
        let mut record = Record::default();
        assert_eq!(record.sid(), None);
        record.creating("ws-1");
        assert_eq!(record.sid(), Some("ws-1"));
        assert_eq!(record.next_step(from_unix(1)), Step::Create, "unconfirmed: create again");
        assert!(record.creating("ws-1"), "the second time it may be there");
        record.gone();
        assert_eq!(record.sid(), None);
    }

    #[test]
    fn a_create_that_lands_after_the_release_is_released_too() {
        let mut record = Record::default();
        record.creating("ws-1");
        record.gone();
        record.created("ws-1", secret("a"), secret("b"), None, Some(from_unix(200)));
        assert_eq!(record.sid(), Some("ws-1"));
    }

    #[test]
    fn sides_alternate_and_each_rotation_prepares_one_key() {
        let mut record = created();
        assert_eq!(hand_out(&mut record), (Side::Primary, "a".to_owned()));
        record.accepted();
        assert_eq!(record.to_retire(), None, "the first key has no predecessor");
        let mut side = Side::Primary;
        let mut expected = "b".to_owned();
        for round in 0..5 {
            let (handed, key) = hand_out(&mut record);
            assert_eq!((handed, &key), (side.other(), &expected), "round {round}");
            assert_eq!(
                record.to_retire(),
                None,
                "the published key survives until its successor is accepted"
            );
            record.accepted();
            expected = format!("fresh {round}");
            assert_eq!(retire(&mut record, &expected), side);
            assert_eq!(record.to_retire(), None, "once is enough");
            side = handed;
        }
    }

    #[test]
    fn a_discarded_key_is_replaced_without_touching_the_published_one() {
        let mut record = created();
        hand_out(&mut record);
        record.accepted();
        hand_out(&mut record);
        // Its probe never passed; the machine asks for another one.
        assert_eq!(record.next_step(from_unix(100)), Step::Update(Some(Side::Secondary)));
        record.spend(Side::Secondary);
        assert_eq!(
            record.next_step(from_unix(100)),
            Step::Update(Some(Side::Secondary)),
            "the answer was lost"
        );
        record.updated(Some((Side::Secondary, secret("c"))), None, from_unix(200));
        assert_eq!(hand_out(&mut record), (Side::Secondary, "c".to_owned()));
        record.accepted();
        assert_eq!(record.to_retire(), Some(Side::Primary));
    }

    #[test]
    fn the_first_key_discarded_leaves_the_second() {
        let mut record = created();
        assert_eq!(hand_out(&mut record).1, "a");
        assert_eq!(record.to_retire(), None, "nothing is published");
        assert_eq!(hand_out(&mut record).1, "b");
        assert_eq!(record.next_step(from_unix(100)), Step::Update(Some(Side::Primary)), "both are spent");
        record.accepted();
        assert_eq!(record.to_retire(), Some(Side::Primary), "the discarded key must not stay good");
    }

    #[test]
    fn a_lost_retirement_is_sent_again_and_hands_out_neither_key() {
        let mut record = created();
        hand_out(&mut record);
        record.accepted();
        hand_out(&mut record);
        record.accepted();
        record.spend(Side::Primary);
        assert_eq!(record.to_retire(), Some(Side::Primary));
        assert_eq!(record.next_step(from_unix(100)), Step::Update(Some(Side::Primary)));
    }

    #[test]
    fn a_prepared_key_waits_for_a_date_that_covers_it() {
        let mut record = created();
        assert_eq!(record.next_step(from_unix(200)), Step::HandOut(Side::Primary));
        assert_eq!(record.next_step(from_unix(201)), Step::Update(None));
        record.updated(None, None, from_unix(300));
        assert_eq!(record.next_step(from_unix(201)), Step::HandOut(Side::Primary));
    }

    #[test]
    fn a_leftover_has_its_date_set_first() {
        let mut record = Record::default();
        record.creating("ws-1");
        record.created("ws-1", secret("a"), secret("b"), None, None);
        assert_eq!(record.next_step(from_unix(1)), Step::Update(None));
    }
}
