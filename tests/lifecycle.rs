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

/// How the world answers one call.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Good { life: u64, after: u64 },
    Bad { transient: bool, retry_after: Option<u64>, after: u64 },
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let good = (2u64..5000, 0u64..40).prop_map(|(life, after)| Answer::Good { life, after });
    let bad = (any::<bool>(), proptest::option::of(0u64..400), 0u64..40)
        .prop_map(|(transient, retry_after, after)| Answer::Bad { transient, retry_after, after });
    proptest::collection::vec(prop_oneof![3 => good, 2 => bad], 1..200)
}

struct Flying {
    lands_at: SystemTime,
    action: Action,
    answer: Answer,
}

/// Plays the driver: carries out actions against scripted answers and checks every promise on the way.
struct World {
    now: SystemTime,
    machine: Machine,
    script: VecDeque<Answer>,
    flying: Vec<Flying>,
    current: Vec<Option<Term>>,
    pending: Vec<Option<Term>>,
    failed_at: Vec<Option<SystemTime>>,
    sink: Vec<Option<Term>>,
    wiped: bool,
    finished: bool,
    steps: u32,
}

impl World {
    fn new(count: usize, script: Vec<Answer>, seed: u64) -> Self {
        let spec = |index: usize| Spec { grace: Duration::from_secs(5), retires: index.is_multiple_of(2) };
        Self {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            machine: Machine::new((0..count).map(spec), Duration::from_secs(8), seed),
            script: script.into(),
            flying: Vec::new(),
            current: vec![None; count],
            pending: vec![None; count],
            failed_at: vec![None; count],
            sink: vec![None; count],
            wiped: false,
            finished: false,
            steps: 0,
        }
    }

    fn feed(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            self.steps += 1;
            for action in self.machine.step(event, self.now) {
                queue.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Issue(index) | Action::Probe(index) | Action::Retire(index) => {
                assert!(!self.wiped, "nothing is started after the wipe");
                self.take_off(index, action);
            }
            Action::Release(index) => self.take_off(index, action),
            Action::Promote(index) => self.current[index] = self.pending[index].take(),
            Action::Drop(index) => self.current[index] = None,
            Action::Discard(index) => self.pending[index] = None,
            Action::Publish(_) => {
                for term in self.current.iter().flatten() {
                    assert!(term.expires_at > self.now, "published an expired value");
                }
                self.sink.clone_from(&self.current);
                return Some(Event::Published);
            }
            Action::Wipe => {
                self.wiped = true;
                self.sink.fill(None);
                // The first release is no retry of whatever failed before.
                self.failed_at.fill(None);
            }
            Action::Finish => self.finished = true,
        }
        None
    }

    fn take_off(&mut self, index: usize, action: Action) {
        let same = |flying: &&Flying| index_of(flying.action) == index && !is_release(action);
        assert!(!self.flying.iter().any(|flying| same(&flying)), "two requests in flight for {index}");
        if let Some(at) = self.failed_at[index] {
            assert!(self.now >= at + FLOOR, "retried after {:?}", self.now.duration_since(at));
        }
        let answer = self.script.pop_front().unwrap_or(Answer::Good { life: 3600, after: 1 });
        let after = match answer {
            Answer::Good { after, .. } | Answer::Bad { after, .. } => after,
        };
        self.flying.push(Flying { lands_at: self.now + Duration::from_secs(after), action, answer });
    }

    fn land(&mut self, flying: &Flying) {
        let index = index_of(flying.action);
        let event = match (flying.action, flying.answer) {
            (Action::Issue(_), Answer::Good { life, .. }) => {
                let expires_at = self.now + Duration::from_secs(life);
                let term = Term { issued_at: self.now, expires_at, refresh_at: None };
                self.pending[index] = Some(term);
                Event::Issued(index, term)
            }
            (Action::Probe(_), Answer::Good { .. }) => Event::Probed(index),
            (Action::Retire(_), Answer::Good { .. }) => Event::Retired(index),
            (Action::Release(_), Answer::Good { .. }) => Event::Released(index),
            (action, Answer::Bad { transient, retry_after, .. }) => {
                let fault = Fault { transient, retry_after: retry_after.map(Duration::from_secs) };
                self.failed_at[index] = Some(self.now);
                if is_release(action) {
                    Event::ReleaseFailed(index, fault)
                } else {
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
        let waking = self.machine.wakes_at();
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
        // The sink is never left with what has expired.
        for term in self.sink.iter().flatten() {
            assert!(term.expires_at > self.now, "an expired value was left in the sink");
        }
        true
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_in_any_world(
        count in 1usize..4,
        script in answers(),
        seed in any::<u64>(),
        lives in 1u64..6_000,
        refreshes in proptest::collection::vec(1u64..6_000, 0..4),
    ) {
        let mut world = World::new(count, script, seed);
        let start = world.now;
        world.feed(Event::Timer);
        let mut refreshes: Vec<_> = refreshes.iter().map(|at| start + Duration::from_secs(*at)).collect();
        refreshes.sort();
        let end = start + Duration::from_secs(lives);
        for at in refreshes.into_iter().filter(|at| *at < end) {
            while world.advance(at) { prop_assert!(world.steps < 200_000, "the machine spins"); }
            world.feed(Event::Refresh);
        }
        while world.advance(end) { prop_assert!(world.steps < 200_000, "the machine spins"); }

        let steps = world.steps;
        world.flying.retain(|flying| is_release(flying.action));
        world.feed(Event::Stop);
        prop_assert!(world.wiped, "Stop wipes at once");
        let deadline = world.now + Duration::from_secs(8);
        while !world.finished && world.advance(deadline) { prop_assert!(world.steps < steps + 1000); }
        prop_assert!(world.finished, "it ends by its deadline");
        prop_assert_eq!(world.machine.phase(), Phase::Ended);
        prop_assert!(world.sink.iter().all(Option::is_none), "it ends wiped");
    }
}

fn good(life: u64) -> Answer {
    Answer::Good { life, after: 0 }
}

fn bad(transient: bool, retry_after: Option<u64>) -> Answer {
    Answer::Bad { transient, retry_after, after: 0 }
}

#[test]
fn the_old_value_stands_until_the_new_one_is_accepted() {
    let mut script = vec![good(20), good(0)];
    // The renewal at half of 20 s is issued, and the gateway does not know it for a while.
    script.extend([good(20), bad(true, None), bad(true, None), good(0)]);
    let mut world = World::new(1, script, 1);
    // Without retirement, so that the script is about renewal alone.
    world.machine = Machine::new([Spec { grace: Duration::ZERO, retires: false }], Duration::from_secs(8), 1);
    world.feed(Event::Timer);
    while world.machine.generation() == 0 {
        assert!(world.advance(world.now + Duration::from_secs(60)));
    }
    let first = world.sink[0].expect("published");
    while world.machine.generation() == 1 {
        assert_eq!(world.sink[0], Some(first));
        assert!(world.advance(world.now + Duration::from_secs(60)));
    }
    assert_ne!(world.sink[0], Some(first));
    assert!(world.now < first.expires_at);
}

#[test]
fn what_somebody_has_to_mend_is_asked_for_once_a_minute() {
    let mut world = World::new(1, vec![bad(false, None); 5], 3);
    world.feed(Event::Timer);
    let start = world.now;
    while world.failed_at[0].is_none_or(|at| at < start + Duration::from_secs(200))
        && !world.script.is_empty()
    {
        assert!(world.advance(start + Duration::from_secs(3600)));
    }
    let asked = 5 - world.script.len();
    let passed = world.now.duration_since(start).expect("forward");
    assert!(
        passed >= Duration::from_secs(60) * (u32::try_from(asked).expect("few") - 2),
        "{asked} in {passed:?}"
    );
}

#[test]
fn the_predecessor_keeps_its_grace_even_when_asked_to_hurry() {
    let mut world = World::new(1, vec![good(3600); 10], 5);
    world.feed(Event::Timer);
    let run = |world: &mut World, generation: u64| {
        while world.machine.generation() < generation {
            assert!(world.advance(world.now + Duration::from_secs(4000)));
        }
    };
    run(&mut world, 1);
    world.feed(Event::Refresh);
    run(&mut world, 2);
    let second = world.now;
    assert!(world.machine.slots()[0].is_retiring());
    world.feed(Event::Refresh);
    run(&mut world, 3);
    assert!(world.now >= second + Duration::from_secs(5), "the grace of 5 s was cut short");
}
