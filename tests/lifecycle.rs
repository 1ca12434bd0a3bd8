//! The state machine under a manual clock: a random world answers, and the promises hold at every step.

use apim_agent::lifecycle::{
    machine::{Action, Event, Fault, Machine, Phase, Spec},
    schedule::{FLOOR, Term},
};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

const REVOKE_TIMEOUT: Duration = Duration::from_secs(8);

/// How the world answers one call, `after` so many seconds.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Good { life: u64, refresh_in: Option<u64>, after: u64 },
    Bad { transient: bool, retry_after: Option<u64>, after: u64 },
}

impl Answer {
    fn after(self) -> Duration {
        match self {
            Self::Good { after, .. } | Self::Bad { after, .. } => Duration::from_secs(after),
        }
    }
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let refresh_in = proptest::option::weighted(0.2, 0u64..5000);
    // Some values have expired when they arrive.
    let good = (0u64..5000, refresh_in, 0u64..40).prop_map(|(life, refresh_in, after)| Answer::Good {
        life,
        refresh_in,
        after,
    });
    let bad = (any::<bool>(), proptest::option::of(0u64..400), 0u64..40)
        .prop_map(|(transient, retry_after, after)| Answer::Bad { transient, retry_after, after });
    proptest::collection::vec(prop_oneof![3 => good, 2 => bad], 1..200)
}

/// What happens to the agent from outside.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Refresh,
    Disturb,
    SetBack(u64),
    /// Time passes, and nothing happens in it.
    Suspend(u64),
    /// The configuration loses one of the credentials, by its place among those that are wanted.
    Leave(usize),
    /// It gains one.
    Join,
    /// One is changed: it leaves, and another one of its name follows.
    Change(usize),
}

fn turns() -> impl Strategy<Value = Vec<(u64, Turn)>> {
    let turn = prop_oneof![
        2 => Just(Turn::Refresh),
        1 => Just(Turn::Disturb),
        1 => (1u64..100_000).prop_map(Turn::SetBack),
        1 => (1u64..10_000).prop_map(Turn::Suspend),
        1 => any::<usize>().prop_map(Turn::Leave),
        1 => Just(Turn::Join),
        2 => any::<usize>().prop_map(Turn::Change),
    ];
    proptest::collection::vec((0u64..6_000, turn), 0..8)
}

struct Flying {
    lands_at: SystemTime,
    action: Action,
    answer: Answer,
}

/// One credential as the world knows it: one of the configuration's, also when its index is given to another one. Times are real ones, whatever the agent's clock shows.
#[derive(Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // facts that do not depend on each other
struct Credential {
    current: Option<SystemTime>,
    pending: Option<SystemTime>,
    sink: Option<SystemTime>,
    /// A value was accepted, so its key works at the gateway until a successor's retirement.
    accepted: bool,
    former_is_good: bool,
    /// When the current value was first published.
    published_at: Option<SystemTime>,
    rests_until: Option<SystemTime>,
    release_rests_until: Option<SystemTime>,
    issued_at: Option<SystemTime>,
    /// There is something at the service that only a release takes away.
    exists: bool,
    /// What it mints bears this name at the service.
    name: usize,
    leaving: bool,
}

/// Plays the driver: carries out actions against scripted answers and checks every promise on the way.
struct World {
    now: SystemTime,
    /// How much the agent's clock is behind.
    behind: Duration,
    machine: Machine,
    graces: Vec<Duration>,
    script: VecDeque<Answer>,
    /// Whether the next writes and wipes of the sink succeed.
    sink_script: VecDeque<bool>,
    flying: Vec<Flying>,
    credentials: Vec<Credential>,
    /// The next new name.
    names: usize,
    generation: u64,
    wipe_failed: bool,
    stopped: bool,
    finished: bool,
    steps: u32,
}

impl World {
    fn new(specs: Vec<Spec>, script: Vec<Answer>, seed: u64) -> Self {
        Self {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            behind: Duration::ZERO,
            graces: specs.iter().map(|spec| spec.grace).collect(),
            names: specs.len(),
            credentials: (0..specs.len()).map(|name| Credential { name, ..Credential::default() }).collect(),
            machine: Machine::new(specs, REVOKE_TIMEOUT, seed),
            script: script.into(),
            sink_script: VecDeque::new(),
            flying: Vec::new(),
            generation: 0,
            wipe_failed: false,
            stopped: false,
            finished: false,
            steps: 0,
        }
    }

    fn feed(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            self.steps += 1;
            for action in self.machine.step(event, self.now - self.behind) {
                queue.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        assert!(!self.finished, "{action:?} after the end");
        match action {
            Action::Issue(index) | Action::Probe(index) | Action::Retire(index) => {
                assert!(!self.stopped, "nothing is started after the stop");
                self.take_off(index, action);
            }
            Action::Release(index) => self.take_off(index, action),
            Action::Promote(index) => {
                let credential = &mut self.credentials[index];
                credential.current = credential.pending.take();
                credential.former_is_good = credential.accepted;
                credential.accepted = true;
                credential.published_at = None;
            }
            Action::Drop(index) => self.credentials[index].current = None,
            Action::Discard(index) => self.credentials[index].pending = None,
            Action::Publish(generation) => return Some(self.publish(generation)),
            Action::Wipe => return Some(self.wipe()),
            Action::Finish => self.finished = true,
        }
        None
    }

    fn publish(&mut self, generation: u64) -> Event {
        assert_eq!(generation, self.generation + 1, "no number is burnt");
        if !self.sink_script.pop_front().unwrap_or(true) {
            return Event::PublishFailed;
        }
        self.generation = generation;
        self.wipe_failed = false;
        for credential in &mut self.credentials {
            assert!(credential.current.is_none_or(|end| end > self.now), "published an expired value");
            assert!(!credential.leaving || credential.current.is_none(), "published what has left");
            credential.sink = credential.current;
            if credential.published_at.is_none() {
                credential.published_at = credential.current.map(|_| self.now);
            }
        }
        Event::Published
    }

    fn wipe(&mut self) -> Event {
        let holds_what_expired = |credential: &Credential| credential.sink.is_some_and(|end| end <= self.now);
        // What has left may have been in a set that could not be written anew.
        let due = self.stopped || self.wipe_failed || self.credentials.iter().any(holds_what_expired);
        assert!(due, "wiped what was good");
        self.wipe_failed = !self.sink_script.pop_front().unwrap_or(true);
        if self.wipe_failed {
            return Event::WipeFailed;
        }
        self.credentials.iter_mut().for_each(|credential| credential.sink = None);
        Event::Wiped
    }

    fn take_off(&mut self, index: usize, action: Action) {
        let release = is_release(action);
        let same =
            |flying: &&Flying| index_of(flying.action) == index && is_release(flying.action) == release;
        assert!(!self.flying.iter().any(|flying| same(&flying)), "two requests in flight for {index}");
        let renews_at = self.machine.slots()[index].renews_at().map(|at| at + self.behind);
        let credential = &mut self.credentials[index];
        let rest = if release { credential.release_rests_until } else { credential.rests_until };
        assert!(rest.is_none_or(|at| at <= self.now), "{action:?} too soon after a failure");
        match action {
            Action::Issue(_) => {
                assert!(!credential.leaving, "issues for what has left");
                let last = credential.issued_at.replace(self.now);
                assert!(last.is_none_or(|at| at + FLOOR <= self.now), "issues without a pause");
            }
            Action::Retire(_) => {
                assert!(credential.former_is_good, "there is nothing to retire");
                let published = credential.published_at.expect("retired before the successor is published");
                let full = published + self.graces[index];
                assert!(
                    self.now >= full.min(renews_at.expect("a value is there")),
                    "the grace was cut short"
                );
            }
            _ => {}
        }
        if matches!(action, Action::Issue(_)) {
            let name = self.credentials[index].name;
            let others = self
                .credentials
                .iter()
                .enumerate()
                .filter(|(other, one)| *other != index && one.name == name);
            for (other, one) in others {
                let minting = self.flying.iter().any(|flying| flying.action == Action::Issue(other));
                assert!(!one.exists && !minting, "two of one name");
            }
        }
        let good = Answer::Good { life: 3600, refresh_in: None, after: 1 };
        let answer = self.script.pop_front().unwrap_or(good);
        self.flying.push(Flying { lands_at: self.now + answer.after(), action, answer });
    }

    fn land(&mut self, flying: &Flying) {
        let index = index_of(flying.action);
        let wall = self.now - self.behind;
        let credential = &mut self.credentials[index];
        let event = match (flying.action, flying.answer) {
            (Action::Issue(_), Answer::Good { life, refresh_in, .. }) => {
                let life = Duration::from_secs(life);
                // The driver drops what comes too late.
                credential.pending = (!credential.leaving).then_some(self.now + life);
                credential.exists = true;
                let refresh_at = refresh_in.map(|wait| wall + Duration::from_secs(wait));
                Event::Issued(index, Term { issued_at: wall, expires_at: wall + life, refresh_at })
            }
            (Action::Probe(_), Answer::Good { .. }) => Event::Probed(index),
            (Action::Retire(_), Answer::Good { .. }) => {
                credential.former_is_good = false;
                Event::Retired(index)
            }
            (Action::Release(_), Answer::Good { .. }) => {
                credential.exists = false;
                Event::Released(index)
            }
            (action, Answer::Bad { transient, retry_after, .. }) => {
                let retry_after = retry_after.map(Duration::from_secs);
                let fault = Fault { transient, retry_after };
                let left = credential.current.and_then(|end| end.duration_since(self.now).ok());
                let left = left.map(|left| if matches!(action, Action::Retire(_)) { left / 2 } else { left });
                let longest = left.unwrap_or(Duration::from_mins(5));
                let rest = self.now + retry_after.map_or(FLOOR, |wait| wait.min(longest).max(FLOOR));
                if is_release(action) {
                    credential.release_rests_until = Some(rest);
                    Event::ReleaseFailed(index, fault)
                } else {
                    credential.rests_until = Some(rest);
                    Event::Failed(index, fault)
                }
            }
            (action, Answer::Good { .. }) => unreachable!("{action:?} does not fly"),
        };
        self.feed(event);
    }

    /// Goes on to the next thing that happens, at most until `end`. Whether anything did.
    fn advance(&mut self, end: SystemTime) -> bool {
        let landing = self.flying.iter().map(|flying| flying.lands_at).min();
        let waking = self.machine.wakes_at().map(|at| at + self.behind);
        let Some(next) = landing.into_iter().chain(waking).min().filter(|next| *next <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(next);
        if let Some(place) = self.flying.iter().position(|flying| flying.lands_at <= self.now) {
            let flying = self.flying.remove(place);
            self.land(&flying);
        } else {
            self.feed(Event::Timer);
        }
        for credential in &self.credentials {
            let stale = credential.sink.is_some_and(|end| end <= self.now);
            assert!(!stale || self.wipe_failed, "an expired value was left in the sink");
            let stuck = self.wipe_failed || self.machine.publishes_at().is_some();
            assert!(
                stuck || !credential.leaving || credential.sink.is_none(),
                "what has left is still published"
            );
        }
        assert_eq!(self.machine.generation(), self.generation, "the generation is that of the sink");
        true
    }

    fn run_until(&mut self, end: SystemTime) {
        while self.advance(end) {
            assert!(self.steps < 200_000, "the machine spins");
        }
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Refresh => self.feed(Event::Refresh),
            Turn::Disturb => self.feed(Event::Disturbed),
            Turn::SetBack(by) => {
                // The driver has a second clock.
                self.machine.expect(self.now - self.behind);
                self.behind += Duration::from_secs(by);
                self.feed(Event::Jumped);
            }
            Turn::Suspend(by) => {
                self.now += Duration::from_secs(by);
                self.feed(Event::Jumped);
            }
            Turn::Leave(place) => {
                if let Some(index) = self.wanted(place) {
                    self.leave(index);
                    self.feed(Event::Timer);
                }
            }
            Turn::Join => {
                self.join(self.names, None);
                self.names += 1;
                self.feed(Event::Timer);
            }
            Turn::Change(place) => {
                if let Some(index) = self.wanted(place) {
                    self.leave(index);
                    self.join(self.credentials[index].name, Some(index));
                    self.feed(Event::Timer);
                }
            }
        }
    }

    /// The index of one that is wanted.
    fn wanted(&self, place: usize) -> Option<usize> {
        let wanted: Vec<_> =
            (0..self.credentials.len()).filter(|index| !self.credentials[*index].leaving).collect();
        (!wanted.is_empty()).then(|| wanted[place % wanted.len()])
    }

    fn leave(&mut self, index: usize) {
        self.machine.leave(index, self.now - self.behind);
        let credential = &mut self.credentials[index];
        (credential.current, credential.pending, credential.leaving) = (None, None, true);
    }

    fn join(&mut self, name: usize, after: Option<usize>) {
        let spec = Spec { grace: Duration::from_secs(5), retires: true, required: name.is_multiple_of(2) };
        let index = self.machine.join(spec, after).expect("it goes on");
        let credential = Credential { name, ..Credential::default() };
        if index == self.credentials.len() {
            self.credentials.push(credential);
            self.graces.push(spec.grace);
        } else {
            let before = &self.credentials[index];
            assert!(before.leaving && !before.exists, "its index was given away too early");
            assert!(
                self.flying.iter().all(|flying| index_of(flying.action) != index),
                "with a call under way"
            );
            // What the sink holds of it goes with the next set.
            self.credentials[index] = Credential { sink: before.sink, ..credential };
            self.graces[index] = spec.grace;
        }
    }

    /// Every service works from now on.
    fn mend(&mut self) {
        self.script.clear();
        self.sink_script.clear();
    }

    fn stop(&mut self) {
        // The driver gives up probes, and waits for what has an effect.
        self.flying.retain(|flying| !matches!(flying.action, Action::Probe(_)));
        self.stopped = true;
        self.feed(Event::Stop);
    }
}

fn index_of(action: Action) -> usize {
    match action {
        Action::Issue(index) | Action::Probe(index) | Action::Retire(index) | Action::Release(index) => index,
        other => unreachable!("{other:?} does not fly"),
    }
}

fn is_release(action: Action) -> bool {
    matches!(action, Action::Release(_))
}

fn specs(graces: &[u64]) -> Vec<Spec> {
    let spec = |(index, grace): (usize, &u64)| Spec {
        grace: Duration::from_secs(*grace),
        retires: index.is_multiple_of(2),
        required: index != 1,
    };
    graces.iter().enumerate().map(spec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_in_any_world(
        graces in proptest::collection::vec(0u64..100, 1..4),
        script in answers(),
        sink in proptest::collection::vec(proptest::bool::weighted(0.8), 0..40),
        seed in any::<u64>(),
        lives in 1u64..6_000,
        turns in turns(),
        mended in any::<bool>(),
    ) {
        let mut world = World::new(specs(&graces), script, seed);
        world.sink_script = sink.into();
        let start = world.now;
        world.feed(Event::Timer);
        let mut turns = turns;
        turns.sort_by_key(|(at, _)| *at);
        for (at, turn) in turns.into_iter().filter(|(at, _)| *at < lives) {
            world.run_until(start + Duration::from_secs(at));
            world.turn(turn);
        }
        world.run_until(start + Duration::from_secs(lives));
        if mended {
            world.mend();
            // Past the longest rest that a service may ask for, and the longest grace.
            world.run_until(world.now + Duration::from_mins(10));
            // Those that leave may take up to a minute longer, and so may whoever waits for them.
            let waits = world.machine.slots().iter().any(|slot| slot.is_leaving() && !slot.is_gone());
            prop_assert!(!waits, "what leaves is released in the end");
            let any = world.wanted(0).is_some();
            prop_assert!(!any || world.machine.is_ready() && world.machine.is_complete(), "it recovers");
            let retiring = world.credentials.iter().enumerate().filter(|(index, one)| index % 2 == 0 && !one.leaving);
            for (index, credential) in retiring {
                let kept_until = world.graces[index] + Duration::from_secs(2);
                let in_grace = credential.published_at.is_none_or(|at| at + kept_until > world.now);
                prop_assert!(!credential.former_is_good || in_grace, "a former value was never ended");
            }
        }

        let steps = world.steps;
        let wanted: Vec<_> = world.credentials.iter().map(|one| one.current.is_some()).collect();
        for (index, has_value) in wanted.into_iter().enumerate() {
            let current = world.machine.slots()[index].current();
            prop_assert_eq!(current.is_some(), has_value, "the machine knows what holds");
        }
        world.stop();
        prop_assert!(world.wipe_failed || world.credentials.iter().all(|one| one.sink.is_none()));
        let deadline = world.now + REVOKE_TIMEOUT;
        while !world.finished && world.advance(deadline) { prop_assert!(world.steps < steps + 1000); }
        prop_assert!(world.finished, "it ends by its deadline");
        prop_assert_eq!(world.machine.phase(), Phase::Ended);
        prop_assert!(world.wipe_failed || world.credentials.iter().all(|one| one.sink.is_none()), "it ends wiped");
        for (index, slot) in world.machine.slots().iter().enumerate() {
            let minting = |flying: &Flying| flying.action == Action::Issue(index);
            let may_exist = world.credentials[index].exists || world.flying.iter().any(minting);
            prop_assert!(!may_exist || !slot.is_released(), "left behind, and nobody is told");
        }
    }
}

fn good(life: u64) -> Answer {
    Answer::Good { life, refresh_in: None, after: 0 }
}

fn bad(transient: bool, retry_after: Option<u64>) -> Answer {
    Answer::Bad { transient, retry_after, after: 0 }
}

fn run_to_generation(world: &mut World, generation: u64) {
    while world.machine.generation() < generation {
        assert!(world.advance(world.now + Duration::from_secs(4000)), "nothing happens any more");
    }
}

#[test]
fn the_old_value_stands_until_the_new_one_is_accepted() {
    let mut script = vec![good(20), good(0)];
    // The renewal at half of 20 s is issued, and the gateway does not know it for a while.
    script.extend([good(20), bad(true, None), bad(true, None), good(0)]);
    // Without retirement, so that the script is about renewal alone.
    let mut world =
        World::new(vec![Spec { grace: Duration::ZERO, retires: false, required: true }], script, 1);
    world.feed(Event::Timer);
    run_to_generation(&mut world, 1);
    let first = world.credentials[0].sink.expect("published");
    while world.machine.generation() == 1 {
        assert_eq!(world.credentials[0].sink, Some(first));
        assert!(world.advance(world.now + Duration::from_mins(1)));
    }
    assert_ne!(world.credentials[0].sink, Some(first));
    assert!(world.now < first);
}

#[test]
fn what_somebody_has_to_mend_is_asked_for_once_a_minute() {
    let mut world = World::new(specs(&[5]), vec![bad(false, None); 5], 3);
    world.feed(Event::Timer);
    let start = world.now;
    while !world.script.is_empty() {
        assert!(world.advance(start + Duration::from_hours(1)));
    }
    let passed = world.now.duration_since(start).expect("forward");
    assert!(passed >= Duration::from_mins(4), "5 times in {passed:?}");
}

#[test]
fn the_predecessor_keeps_its_grace_even_when_asked_to_hurry() {
    let mut world = World::new(specs(&[5]), vec![good(3600); 10], 5);
    world.feed(Event::Timer);
    run_to_generation(&mut world, 1);
    assert!(!world.machine.slots()[0].is_retiring(), "the first value has no predecessor");
    world.run_until(world.now + Duration::from_secs(10));
    world.feed(Event::Refresh);
    run_to_generation(&mut world, 2);
    let second = world.now;
    assert!(world.machine.slots()[0].is_retiring());
    world.run_until(world.now + Duration::from_secs(2));
    world.feed(Event::Refresh);
    run_to_generation(&mut world, 3);
    assert_eq!(world.now, second + Duration::from_secs(5), "after the grace of 5 s, at once");
}
