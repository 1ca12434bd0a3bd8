//! One credential's state: which values it has, which call is under way for it, and what comes next.

use super::{
    super::{
        budget::{Budget, CREDENTIAL},
        schedule::{self, Term},
    },
    Index,
    release::Release,
    retry::{Fault, Retry, set_back},
};
use std::time::{Duration, SystemTime};

/// What the machine needs to know of a credential.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// How long the value before stays good after its successor was published.
    pub grace: Duration,
    /// Whether values can be ended one by one.
    pub retires: bool,
    /// Whether the agent is ready only with it.
    pub required: bool,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    Issue,
    Probe,
    Retire,
}

/// The value before the one that was accepted last, at the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Former {
    /// There is none, or it has been ended.
    Gone,
    /// Still good. Its grace begins with the publication of its successor.
    Good,
    /// Still good, and to be ended from then on.
    EndsAt(SystemTime),
}

/// One credential's state.
#[derive(Clone, Debug)]
pub struct Slot {
    spec: Spec,
    current: Option<Term>,
    /// Issued, and not accepted by the gateway yet.
    pending: Option<Term>,
    flight: Option<Flight>,
    /// So far the clock has been set back during the issue under way, which may have looked at it before.
    set_back: Duration,
    former: Former,
    renew_at: Option<SystemTime>,
    /// The current value has not been published yet.
    fresh: bool,
    /// Somebody asked for a new value.
    wanted: bool,
    /// The value that was accepted last ran out then, and no successor has come yet. It is still good at the service.
    lapsed_at: Option<SystemTime>,
    /// Getting a new value: issue and probe.
    renewal: Retry,
    /// Ending the former value. On a track of its own: it must not keep a credential from being renewed.
    retirement: Retry,
    /// No call at all before this: the floor after any failure, and what a service asked for.
    rest_until: Option<SystemTime>,
    /// No two issues come closer than the floor, whatever the reason for the second.
    issue_after: Option<SystemTime>,
    /// Of requests, for all but its release.
    budget: Budget,
    /// It is not wanted any more, while the others go on.
    leaving: bool,
    /// Nothing is asked for before that one has gone: what both mint at the service may bear the same name.
    after: Option<Index>,
    /// So long a release waits for a call that may mint something.
    patient_until: Option<SystemTime>,
    pub(super) release: Release,
}

/// What others may see.
impl Slot {
    /// The value that is published, or will be with the next publication.
    pub fn current(&self) -> Option<&Term> {
        self.current.as_ref()
    }

    /// When it is renewed.
    pub fn renews_at(&self) -> Option<SystemTime> {
        self.renew_at
    }

    /// Whether the value before the current one is still good.
    pub fn is_retiring(&self) -> bool {
        self.former != Former::Gone
    }

    /// Until when the value before the current one is kept good; `None` when there is none, or its grace has not begun.
    pub fn grace_until(&self) -> Option<SystemTime> {
        match self.former {
            Former::EndsAt(at) => Some(at),
            Former::Gone | Former::Good => None,
        }
    }

    /// When the last value ran out, while no successor has come.
    pub fn lapsed_at(&self) -> Option<SystemTime> {
        self.lapsed_at
    }

    /// Failures since the last success, of whatever is tried at present.
    pub fn failures(&self) -> u32 {
        self.tracks().map(Retry::failures).fold(0, u32::saturating_add)
    }

    /// When the next attempt after a failure may start.
    pub fn retries_at(&self) -> Option<SystemTime> {
        let failing = self.tracks().filter(|retry| retry.failures() > 0);
        failing.filter_map(|retry| retry.not_before().max(self.rest_until)).min()
    }

    /// Whether a new value is on its way.
    pub fn is_renewing(&self) -> bool {
        self.pending.is_some() || self.flight == Some(Flight::Issue)
    }

    /// Whether a call for this credential is under way.
    pub fn is_in_flight(&self) -> bool {
        self.flight.is_some() || self.release.is_under_way()
    }

    /// Whether a call is under way that may create or change something at the service.
    pub fn is_changing(&self) -> bool {
        matches!(self.flight, Some(Flight::Issue | Flight::Retire))
    }

    /// Whether it has been released for good: everything that was minted, with nothing under way that may mint more.
    pub fn is_released(&self) -> bool {
        self.release.is_done() && !self.is_changing()
    }

    /// Whether the agent is ready only with it.
    pub fn is_required(&self) -> bool {
        self.spec.required
    }

    /// Whether it has a value, or has shown that it does not get one at once.
    pub fn has_been_tried(&self) -> bool {
        self.current.is_some() || self.renewal.failures() > 0
    }

    /// Whether the last try for a new value failed for a reason that waiting does not mend.
    pub fn is_refused(&self) -> bool {
        self.renewal.is_refused()
    }

    /// Whether it is not wanted any more and is being released, or has been, while the others go on.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether nothing of it is left, so that its index may be given to another one.
    pub fn is_gone(&self) -> bool {
        self.leaving && self.release.is_done() && self.flight.is_none()
    }

    fn tracks(&self) -> impl Iterator<Item = &Retry> {
        [&self.renewal, &self.retirement, self.release.retry()].into_iter()
    }
}

/// What the machine does with it.
impl Slot {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            spec,
            current: None,
            pending: None,
            flight: None,
            set_back: Duration::ZERO,
            former: Former::Gone,
            renew_at: None,
            fresh: false,
            wanted: false,
            lapsed_at: None,
            renewal: Retry::default(),
            retirement: Retry::default(),
            rest_until: None,
            issue_after: None,
            budget: Budget::new(CREDENTIAL),
            leaving: false,
            after: None,
            patient_until: None,
            release: Release::default(),
        }
    }

    /// One that begins when that other one has gone.
    pub(super) fn following(spec: Spec, after: Option<Index>) -> Self {
        Self { after, ..Self::new(spec) }
    }

    /// The call that comes next, and from when; never before `now`.
    pub(super) fn next(&self, now: SystemTime) -> Option<(Flight, SystemTime)> {
        if self.flight.is_some() || self.leaving || self.after.is_some() {
            return None;
        }
        // `None` is the earliest time of all.
        let from = |due: Option<SystemTime>, retry: &Retry| {
            due.max(retry.not_before()).max(self.rest_until).max(Some(now)).unwrap_or(now)
        };
        if self.pending.is_some() {
            return Some((Flight::Probe, from(None, &self.renewal)));
        }
        let issue = |due: Option<SystemTime>| (Flight::Issue, from(due.max(self.issue_after), &self.renewal));
        if self.current.is_none() {
            return Some(issue(None));
        }
        if self.fresh {
            // The next issue may end what the sink still holds.
            return None;
        }
        let renewal = issue(self.renew_at.filter(|_| !self.wanted));
        let Former::EndsAt(due) = self.former else { return Some(renewal) };
        let retirement = (Flight::Retire, from(Some(due), &self.retirement));
        // A renewal takes the former value's place, so it waits for the end of the grace. Once that is over and the
        // former value cannot be ended, it waits no longer: the lessor then replaces the former value itself.
        let waits = self.retirement.failures() == 0 || retirement.1 < renewal.1;
        Some(if waits { retirement } else { renewal })
    }

    /// When one of its values runs out. A value that is being asked about is looked at when the answer comes.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        let idle = self.pending.as_ref().filter(|_| self.flight.is_none());
        self.current.iter().chain(idle).map(|term| term.expires_at).min()
    }

    /// Forgets the current value if it has run out. Whether it has.
    pub(super) fn lapse(&mut self, now: SystemTime) -> bool {
        let lapsed = self.current.is_some_and(|term| term.expires_at <= now);
        if lapsed {
            self.current = None;
            self.renew_at = None;
            self.fresh = false;
            self.lapsed_at = Some(now);
            if self.is_retiring() {
                self.former = Former::Good;
            }
        }
        lapsed
    }

    /// Forgets an idle new value if it has run out. Whether it has.
    pub(super) fn discard(&mut self, dice: u64, now: SystemTime) -> bool {
        let stale = self.flight.is_none() && self.pending.is_some_and(|term| term.expires_at <= now);
        stale && self.void(dice, now)
    }

    /// Forgets a new value that nobody will accept any more. Whether there was one.
    pub(super) fn void(&mut self, dice: u64, now: SystemTime) -> bool {
        let had = self.pending.take().is_some();
        if had {
            // It counts as a failure, or values that live too short would be drawn without a pause.
            self.renewal.fail(now, Fault::PLAIN, schedule::CAP, self.left(now), dice);
        }
        had
    }

    /// So many requests have been made for it.
    pub(super) fn spend(&mut self, requests: u32, now: SystemTime) {
        self.budget.spend(requests, now);
    }

    /// When its own budget allows a call.
    pub(super) fn budgeted(&self) -> Option<SystemTime> {
        self.budget.free_at()
    }

    pub(super) fn take_off(&mut self, flight: Flight, now: SystemTime) {
        self.flight = Some(flight);
        if flight == Flight::Issue {
            self.set_back = Duration::ZERO;
            self.issue_after = Some(now + schedule::FLOOR);
        }
    }

    /// The answer to `flight` is there. Whether such a call was under way at all.
    pub(super) fn land(&mut self, flight: Flight) -> bool {
        let expected = self.flight == Some(flight);
        if expected {
            self.flight = None;
        }
        expected
    }

    pub(super) fn issued(&mut self, term: Term) {
        self.pending = Some(term.set_back(self.set_back));
        self.renewal.go_on();
    }

    /// The gateway accepts the new value. Whether it still lives; it may have run out meanwhile.
    pub(super) fn accepted(&mut self, now: SystemTime) -> bool {
        let Some(term) = self.pending.take_if(|term| term.expires_at > now) else { return false };
        let has_former = self.spec.retires && (self.current.is_some() || self.lapsed_at.is_some());
        self.former = if has_former { Former::Good } else { Former::Gone };
        self.current = Some(term);
        self.renew_at = None;
        self.fresh = true;
        self.wanted = false;
        self.lapsed_at = None;
        self.renewal.succeed();
        self.retirement.succeed();
        self.budget.fill();
        true
    }

    pub(super) fn retired(&mut self) {
        self.former = Former::Gone;
        self.retirement.succeed();
    }

    /// The call under way has failed.
    pub(super) fn failed(&mut self, fault: Fault, dice: u64, now: SystemTime) {
        let Some(flight) = self.flight.take() else { return };
        let left = self.left(now);
        let (retry, cap) = match flight {
            Flight::Issue => (&mut self.renewal, schedule::CAP),
            Flight::Probe => (&mut self.renewal, schedule::PROBE_CAP),
            Flight::Retire => (&mut self.retirement, schedule::CAP),
        };
        retry.fail(now, fault, cap, left, dice);
        // What a service asks for holds for all of this credential's calls. But a renewal that waits for the sake of a
        // retirement keeps half of the life that is left to it.
        let bound = if flight == Flight::Retire { left.map(|left| left / 2) } else { left };
        let rest = fault.retry_after.map_or(schedule::FLOOR, |wait| schedule::asked(wait, bound));
        self.rest_until = Some(now + rest);
    }

    /// The current values have been published.
    pub(super) fn published(&mut self, dice: u64, now: SystemTime) {
        if let Some(term) = self.current.filter(|_| self.fresh) {
            self.fresh = false;
            let renew_at = schedule::renew_at(&term, dice);
            self.renew_at = Some(renew_at);
            if self.former == Former::Good {
                self.former = Former::EndsAt(schedule::grace_ends_at(now, self.spec.grace, renew_at, &term));
            }
        }
    }

    /// Somebody asks for a new value: a reason to try soon, but never below the floor or before a service's own word.
    /// One that is on its way already is the answer.
    pub(super) fn refresh(&mut self, now: SystemTime) {
        self.renewal.hurry(now + schedule::FLOOR);
        self.wanted |= !(self.is_renewing() || self.fresh);
    }

    /// After a suspend or a jump of the clock: a renewal that has come due by it is spread, unless the value has gone too.
    pub(super) fn jumped(&mut self, dice: u64, now: SystemTime) {
        let left = self.left(now).filter(|left| !left.is_zero() && !self.wanted);
        if let (Some(left), Some(renew_at)) = (left, &mut self.renew_at) {
            *renew_at = schedule::after_a_jump(*renew_at, left, now, dice);
        }
    }

    /// What it failed for may have been mended: a reason to try again at once, but not before the floor after the
    /// failure is over, nor before a service's own word.
    pub(super) fn hurry(&mut self, now: SystemTime) {
        self.renewal.hurry(now);
    }

    /// From now on by this one, which says the same of how values are minted.
    pub(super) fn respecify(&mut self, spec: Spec) {
        self.spec = spec;
    }
}

/// Its end: with all the others, or while they go on.
impl Slot {
    /// Forgets the values. A probe has no effect and is given up; what may change something is waited for. The release of
    /// one that was leaving goes on.
    pub(super) fn stop(&mut self, now: SystemTime, patience: Duration) {
        let stopped = Self {
            flight: self.flight.filter(|flight| *flight != Flight::Probe),
            patient_until: Some(now + patience),
            ..Self::new(self.spec)
        };
        *self = if self.after.is_some() {
            // It has never asked for anything.
            Self { leaving: self.leaving, release: Release::needless(), ..stopped }
        } else if self.leaving {
            let mut release = std::mem::take(&mut self.release);
            release.hurry(now);
            Self { leaving: true, release, patient_until: self.patient_until, ..stopped }
        } else {
            stopped
        };
    }

    /// Forgets the values, and has it released while the others go on. Whether it had a value.
    pub(super) fn leave(&mut self, now: SystemTime, patience: Duration) -> bool {
        let had = self.current.is_some();
        *self = Self {
            flight: self.flight,
            leaving: true,
            after: self.after,
            patient_until: Some(now + patience),
            ..Self::new(self.spec)
        };
        had
    }

    /// The one to be waited for.
    pub(super) fn after(&self) -> Option<Index> {
        self.after
    }

    /// It has gone.
    pub(super) fn go_ahead(&mut self) {
        self.after = None;
    }

    /// When the release starts. A call under way that may mint something is waited for with patience: a deletion that
    /// comes before the creation leaves it behind.
    pub(super) fn releases_at(&self, now: SystemTime) -> Option<SystemTime> {
        if self.after.is_some() {
            return None;
        }
        let patient_until = self.patient_until.filter(|_| self.is_changing());
        self.release.starts_at(now).map(|at| patient_until.map_or(at, |until| until.max(at)))
    }

    /// A call that was under way when the end began has ended, well or badly.
    pub(super) fn land_late(&mut self, flight: Option<Flight>) {
        if self.flight.is_some() && flight.is_none_or(|flight| self.flight == Some(flight)) {
            let may_have_minted = self.is_changing();
            self.flight = None;
            if may_have_minted {
                self.release.overtaken();
            }
        }
    }

    /// The clock has been set back by `by`.
    pub(super) fn set_back(&mut self, by: Duration) {
        for term in self.current.iter_mut().chain(&mut self.pending) {
            *term = term.set_back(by);
        }
        self.set_back += by;
        if let Former::EndsAt(at) = self.former {
            self.former = Former::EndsAt(at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH));
        }
        let planned = [
            &mut self.renew_at,
            &mut self.lapsed_at,
            &mut self.rest_until,
            &mut self.issue_after,
            &mut self.patient_until,
        ];
        for at in planned {
            set_back(at, by);
        }
        self.renewal.set_back(by);
        self.retirement.set_back(by);
        self.release.set_back(by);
        self.budget.set_back(by);
    }

    fn left(&self, now: SystemTime) -> Option<Duration> {
        self.current.and_then(|term| term.expires_at.duration_since(now).ok())
    }
}
