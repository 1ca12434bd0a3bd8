//! Faults that once broke the state machine, each as a short story under a manual clock.

use apim_agent::{
    clock,
    lifecycle::{
        budget::{AGENT, CREDENTIAL, Limits},
        machine::{Action, Event, Fault, Machine, Phase, Spec},
        schedule::{self, Term},
    },
};
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

const LATER: Fault = Fault { transient: true, retry_after: None };
const NEVER: Fault = Fault { transient: false, retry_after: None };

fn at(seconds: u64) -> SystemTime {
    clock::from_unix(1_700_000_000 + seconds)
}

fn term(now: SystemTime, life: u64) -> Term {
    Term { issued_at: now, expires_at: now + Duration::from_secs(life), refresh_at: None }
}

fn asks(seconds: u64) -> Fault {
    Fault { transient: true, retry_after: Some(Duration::from_secs(seconds)) }
}

fn machine(grace: u64) -> Machine {
    Machine::new(
        [Spec { grace: Duration::from_secs(grace), retires: true, required: true }],
        Duration::from_secs(8),
        1,
    )
}

/// A machine whose first value, of `life` seconds, was published at 0.
fn published(grace: u64, life: u64) -> Machine {
    let mut machine = machine(grace);
    for event in [Event::Timer, Event::Issued(0, term(at(0), life)), Event::Probed(0), Event::Published] {
        machine.step(event, at(0));
    }
    assert_eq!(machine.phase(), Phase::Published);
    machine
}

/// What happened in a world that answers at once.
#[derive(Debug, Default)]
struct Seen {
    /// Seconds without a value after the first one was there.
    without: u64,
    issues: u32,
    retires: Vec<u64>,
    wipes: Vec<u64>,
    publications: Vec<u64>,
}

/// Runs until `end`, in seconds. `answer` gives the answers that are not simply good ones.
fn play(
    machine: &mut Machine,
    life: u64,
    end: u64,
    mut answer: impl FnMut(Action, SystemTime) -> Option<Event>,
) -> Seen {
    let mut now = at(0);
    let mut queue = VecDeque::from([Event::Timer]);
    let mut seen = Seen::default();
    let mut started = false;
    while now < at(end) {
        let second = now.duration_since(at(0)).expect("forward").as_secs();
        while let Some(event) = queue.pop_front() {
            for action in machine.step(event, now) {
                match action {
                    Action::Issue(_) => seen.issues += 1,
                    Action::Retire(_) => seen.retires.push(second),
                    Action::Wipe => seen.wipes.push(second),
                    Action::Publish(_) => seen.publications.push(second),
                    _ => {}
                }
                assert!(seen.issues < 10_000, "issues without end within {second} s");
                queue.extend(answer(action, now).or(match action {
                    Action::Issue(index) => Some(Event::Issued(index, term(now, life))),
                    Action::Probe(index) => Some(Event::Probed(index)),
                    Action::Retire(index) => Some(Event::Retired(index)),
                    Action::Publish(_) => Some(Event::Published),
                    Action::Wipe => Some(Event::Wiped),
                    _ => None,
                }));
            }
        }
        let has = machine.slots()[0].current().is_some();
        started |= has;
        let next = machine.wakes_at().unwrap_or(at(end)).min(at(end)).max(now + Duration::from_millis(1));
        if started && !has {
            seen.without += next.duration_since(now).expect("forward").as_secs();
        }
        now = next;
        queue.push_back(Event::Timer);
    }
    seen
}

#[test]
fn a_retire_that_keeps_failing_does_not_end_the_credential() {
    for fault in [LATER, NEVER, asks(3600)] {
        let mut machine = machine(4);
        let seen = play(&mut machine, 60, 3600, |action, _| match action {
            Action::Retire(index) => Some(Event::Failed(index, fault)),
            _ => None,
        });
        assert_eq!(seen.without, 0, "{fault:?}: {seen:?}");
        assert!(seen.retires.len() > 10, "it is still tried: {seen:?}");
    }
}

#[test]
fn a_failing_retire_shows_and_lets_the_renewal_pass_when_that_is_due() {
    let mut machine = published(4, 60);
    machine.step(Event::Timer, at(30));
    for event in [Event::Issued(0, term(at(30), 60)), Event::Probed(0), Event::Published] {
        machine.step(event, at(30));
    }
    assert_eq!(machine.step(Event::Timer, at(34)), [Action::Retire(0)]);
    machine.step(Event::Failed(0, LATER), at(34));
    assert_eq!(machine.slots()[0].failures(), 1);
    assert!(machine.slots()[0].retries_at().is_some_and(|again| again > at(34)));
    assert_eq!(machine.step(Event::Timer, at(60)), [Action::Issue(0)], "the renewal goes first");
}

#[test]
fn only_what_has_a_predecessor_is_retired() {
    let mut machine = machine(4);
    let seen = play(&mut machine, 1000, 450, |_, _| None);
    assert!(seen.retires.is_empty(), "the first value has none: {seen:?}");
}

#[test]
fn a_predecessor_that_expired_before_its_successor_came_is_retired() {
    let mut machine = machine(4);
    let mut issued = 0;
    let seen = play(&mut machine, 60, 200, |action, now| match action {
        // The renewal succeeds only when the first value is long gone.
        Action::Issue(index) => {
            issued += 1;
            (issued > 1 && now < at(70)).then_some(Event::Failed(index, LATER))
        }
        _ => None,
    });
    assert!(seen.without > 0, "the story is about an expired value: {seen:?}");
    let back = seen.publications.iter().find(|second| **second >= 70).expect("it comes back");
    assert_eq!(seen.retires.first(), Some(&(back + 4)), "{seen:?}");
}

#[test]
fn a_long_grace_does_not_starve_the_renewal() {
    let mut machine = machine(59);
    let mut probes = 0;
    // A gateway that learns a key after three asks.
    let seen = play(&mut machine, 60, 3600, |action, _| match action {
        Action::Probe(index) => {
            probes += 1;
            (probes % 4 != 0).then_some(Event::Failed(index, LATER))
        }
        _ => None,
    });
    assert_eq!(seen.without, 0, "every service answers: {seen:?}");
}

#[test]
fn an_issuer_that_wants_renewal_at_once_is_not_hammered() {
    let mut machine = machine(0);
    let seen = play(&mut machine, 3600, 600, |action, now| match action {
        Action::Issue(index) => Some(Event::Issued(index, Term { refresh_at: Some(now), ..term(now, 3600) })),
        _ => None,
    });
    assert!(seen.issues <= 10, "{} issues in ten minutes", seen.issues);
}

#[test]
fn values_that_live_a_moment_are_not_drawn_without_a_pause() {
    let mut machine = machine(0);
    let moment = at(0) + Duration::from_millis(300);
    machine.step(Event::Timer, at(0));
    machine.step(Event::Issued(0, Term { expires_at: moment, ..term(at(0), 0) }), at(0));
    machine.step(Event::Probed(0), at(0));
    machine.step(Event::Published, at(0));
    assert_eq!(machine.step(Event::Timer, moment), [Action::Drop(0), Action::Publish(2)]);
    machine.step(Event::Published, moment);
    assert_eq!(machine.wakes_at(), Some(at(1)));
    assert_eq!(machine.step(Event::Timer, at(1)), [Action::Issue(0)]);
}

#[test]
fn values_that_are_expired_at_birth_back_off_and_count_as_failures() {
    let mut machine = machine(0);
    let seen = play(&mut machine, 0, 600, |_, _| None);
    assert!(seen.issues < 60, "{} issues in ten minutes", seen.issues);
    assert_eq!(machine.slots()[0].failures(), seen.issues);
}

#[test]
fn a_refresh_does_not_undercut_what_a_service_asked_for() {
    let mut machine = machine(0);
    machine.step(Event::Timer, at(0));
    machine.step(Event::Failed(0, asks(90)), at(0));
    for second in 1..90 {
        assert_eq!(machine.step(Event::Refresh, at(second)), [], "at {second} s");
    }
    assert_eq!(machine.step(Event::Timer, at(90)), [Action::Issue(0)]);
}

#[test]
fn a_refresh_while_a_value_is_on_its_way_is_absorbed() {
    let mut machine = published(0, 3600);
    assert_eq!(machine.step(Event::Refresh, at(0)), [], "it was issued just now");
    assert_eq!(machine.step(Event::Refresh, at(60)), [Action::Issue(0)]);
    machine.step(Event::Refresh, at(60));
    machine.step(Event::Issued(0, term(at(61), 3600)), at(61));
    machine.step(Event::Refresh, at(61));
    machine.step(Event::Probed(0), at(61));
    machine.step(Event::Refresh, at(61));
    assert_eq!(machine.step(Event::Published, at(61)), [Action::Retire(0)]);
    assert_eq!(machine.step(Event::Retired(0), at(61)), [], "one new value answers them all");
    assert!(machine.wakes_at().is_some_and(|next| next > at(1000)));
}

#[test]
fn a_clock_set_back_does_not_stall_retries() {
    let mut machine = machine(0);
    machine.step(Event::Timer, at(7200));
    machine.step(Event::Failed(0, LATER), at(7200));
    machine.step(Event::Timer, at(0));
    assert!(machine.wakes_at().is_some_and(|next| next <= at(60)));
}

#[test]
fn a_clock_set_back_does_not_stall_the_end() {
    let mut machine = machine(0);
    machine.step(Event::Timer, at(7200));
    machine.step(Event::Stop, at(7200));
    machine.step(Event::Timer, at(0));
    assert_eq!(machine.deadline(), Some(at(8)));
    assert!(machine.wakes_at().is_some_and(|next| next <= at(8)));
}

#[test]
fn a_clock_set_back_does_not_lengthen_a_life() {
    let mut machine = published(0, 3600);
    machine.step(Event::Timer, at(1000));
    machine.step(Event::Timer, at(0));
    assert_eq!(machine.slots()[0].current().map(|term| term.expires_at), Some(at(2600)));
    assert!(machine.slots()[0].renews_at().is_some_and(|renewal| renewal < at(1400)));
}

#[test]
fn the_generation_is_that_of_the_published_set() {
    let mut machine = machine(0);
    machine.step(Event::Timer, at(0));
    machine.step(Event::Issued(0, term(at(0), 3600)), at(0));
    let actions = machine.step(Event::Probed(0), at(0));
    assert!(actions.contains(&Action::Publish(1)));
    machine.step(Event::PublishFailed, at(0));
    assert_eq!(machine.generation(), 0, "nothing has been published");
    assert_eq!(machine.step(Event::Timer, at(60)), [Action::Publish(1)], "no number is burnt");
    machine.step(Event::Published, at(60));
    assert_eq!(machine.generation(), 1);
}

#[test]
fn a_sink_that_cannot_be_written_is_wiped_when_what_it_holds_expires() {
    let mut machine = machine(0);
    let mut publications = 0;
    let seen = play(&mut machine, 60, 300, |action, now| match action {
        Action::Publish(_) => {
            publications += 1;
            (publications > 1 && now < at(200)).then_some(Event::PublishFailed)
        }
        _ => None,
    });
    assert_eq!(seen.wipes, [60], "the first value expires at 60 s: {seen:?}");
    assert_eq!(machine.phase(), Phase::Published, "that is no reason to stop");
    assert!(machine.is_ready() && machine.generation() > 1, "it goes on when the sink works again");
}

#[test]
fn a_wipe_that_fails_is_tried_again_with_pauses() {
    let mut machine = machine(0);
    let mut publications = 0;
    let mut wipes = 0;
    let seen = play(&mut machine, 60, 600, |action, _| match action {
        Action::Publish(_) => {
            publications += 1;
            (publications > 1).then_some(Event::PublishFailed)
        }
        Action::Wipe => {
            wipes += 1;
            (wipes < 5).then_some(Event::WipeFailed)
        }
        _ => None,
    });
    assert_eq!(seen.wipes.len(), 5, "until it succeeded: {seen:?}");
    assert!(seen.wipes.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
}

#[test]
fn a_wipe_that_fails_at_the_end_gets_a_last_chance() {
    let mut machine = published(0, 3600);
    assert_eq!(machine.step(Event::Stop, at(1)), [Action::Wipe, Action::Release(0)]);
    machine.step(Event::WipeFailed, at(1));
    assert_eq!(machine.step(Event::Released(0), at(1)), [Action::Wipe, Action::Finish]);
}

#[test]
fn a_release_waits_for_a_create_under_way() {
    let mut machine = machine(0);
    machine.step(Event::Timer, at(0));
    assert_eq!(machine.step(Event::Stop, at(1)), [Action::Wipe]);
    machine.step(Event::Wiped, at(1));
    assert_eq!(machine.step(Event::Issued(0, term(at(2), 3600)), at(2)), [Action::Release(0)]);
    assert_eq!(machine.step(Event::Released(0), at(3)), [Action::Finish]);
}

#[test]
fn a_create_that_outlives_the_patience_leads_to_another_release() {
    // The create may come while the first release is under way, or after it; and its answer may be an error.
    for late_error in [false, true] {
        for late in [false, true] {
            let mut machine = machine(0);
            machine.set_patience(Duration::from_secs(2));
            machine.step(Event::Timer, at(0));
            machine.step(Event::Stop, at(0));
            machine.step(Event::Wiped, at(0));
            assert_eq!(machine.wakes_at(), Some(at(2)));
            assert_eq!(machine.step(Event::Timer, at(2)), [Action::Release(0)]);
            let landing =
                if late_error { Event::Failed(0, LATER) } else { Event::Issued(0, term(at(3), 3600)) };
            let order = if late { [Event::Released(0), landing] } else { [landing, Event::Released(0)] };
            assert_eq!(machine.step(order[0], at(3)), []);
            assert!(!machine.slots()[0].is_released());
            assert_eq!(machine.step(order[1], at(3)), [Action::Release(0)]);
            assert_eq!(machine.step(Event::Released(0), at(4)), [Action::Finish]);
            assert!(machine.slots()[0].is_released());
        }
    }
}

#[test]
fn a_create_under_way_at_the_deadline_is_not_released() {
    let mut machine = machine(0);
    machine.step(Event::Timer, at(0));
    machine.step(Event::Stop, at(0));
    machine.step(Event::Wiped, at(0));
    assert_eq!(machine.step(Event::Timer, at(4)), [Action::Release(0)]);
    assert_eq!(machine.step(Event::Released(0), at(4)), []);
    assert_eq!(machine.wakes_at(), Some(at(8)));
    assert_eq!(machine.step(Event::Timer, at(8)), [Action::Finish]);
    assert!(!machine.slots()[0].is_released() && machine.slots()[0].is_changing());
}

#[test]
fn a_release_that_waiting_does_not_mend_ends_at_once() {
    for fault in [NEVER, asks(9)] {
        let mut machine = published(0, 3600);
        machine.step(Event::Stop, at(0));
        machine.step(Event::Wiped, at(0));
        assert_eq!(machine.step(Event::ReleaseFailed(0, fault), at(1)), [Action::Finish], "{fault:?}");
        assert!(!machine.slots()[0].is_released());
    }
    let mut machine = published(0, 3600);
    machine.step(Event::Stop, at(0));
    machine.step(Event::Wiped, at(0));
    assert_eq!(machine.step(Event::ReleaseFailed(0, asks(5)), at(1)), []);
    assert_eq!(machine.step(Event::Timer, at(6)), [Action::Release(0)]);
}

#[test]
fn answers_to_nothing_change_nothing() {
    let mut machine = published(5, 3600);
    let before = machine.wakes_at();
    for event in [
        Event::Issued(0, term(at(1), 9)),
        Event::Probed(0),
        Event::Retired(0),
        Event::Failed(0, LATER),
        Event::Published,
        Event::Released(0),
    ] {
        assert_eq!(machine.step(event, at(1)), [], "{event:?}");
    }
    assert_eq!((machine.wakes_at(), machine.generation()), (before, 1));
}

#[test]
fn a_void_value_is_dropped_and_the_next_one_is_asked_for_after_the_floor() {
    let mut machine = published(0, 3600);
    assert_eq!(machine.step(Event::Refresh, at(60)), [Action::Issue(0)]);
    assert_eq!(machine.step(Event::Issued(0, term(at(60), 3600)), at(60)), [Action::Probe(0)]);
    assert_eq!(machine.step(Event::Voided(0), at(60)), [Action::Discard(0)]);
    assert_eq!(machine.slots()[0].failures(), 1);
    let again = machine.wakes_at().expect("it goes on");
    assert!(again >= at(61) && again <= at(62), "{again:?}");
    assert_eq!(machine.step(Event::Timer, again), [Action::Issue(0)]);
    assert!(machine.slots()[0].current().is_some(), "what is published stays");
}

/// Whatever the failures look like and whoever asks for a renewal without a pause, what they ask of the services stays
/// within the budget; and the release does not care for it.
#[test]
fn failures_stay_within_the_budget_and_releases_are_never_held() {
    const REQUESTS: u32 = 4;
    let mut machine = machine(0);
    let (mut made, mut held) = (0, 0);
    for second in 0..3600 {
        let now = at(second);
        let mut queue = VecDeque::from([Event::Refresh]);
        while let Some(event) = queue.pop_front() {
            for action in machine.step(event, now) {
                let Action::Issue(index) = action else { panic!("{action:?}") };
                made += REQUESTS;
                machine.spend(index, REQUESTS, now);
                queue.push_back(Event::Failed(index, LATER));
            }
        }
        if let Some(until) = machine.held_until(0) {
            held += 1;
            assert!(until > now && machine.wakes_at() == Some(until), "it sleeps until then");
        }
    }
    let Limits { burst, every, .. } = CREDENTIAL;
    let most = burst + u32::try_from(3600 / every.as_secs()).expect("few") + REQUESTS;
    assert!((most / 2..=most).contains(&made), "{made} of at most {most}");
    assert!(held > 3000, "and it says so: {held}");
    let stopped = machine.step(Event::Stop, at(3600));
    assert!(stopped.contains(&Action::Release(0)), "{stopped:?}");
}

/// Many credentials at once: each within its own budget, and all of them within the agent's.
#[test]
fn all_credentials_together_have_a_budget_too() {
    let spec = Spec { grace: Duration::ZERO, retires: false, required: true };
    let mut machine = Machine::new([spec; 40], Duration::from_secs(8), 1);
    let mut made = 0;
    for second in 0..600 {
        let now = at(second);
        let mut queue = VecDeque::from([Event::Refresh]);
        while let Some(event) = queue.pop_front() {
            for action in machine.step(event, now) {
                let Action::Issue(index) = action else { panic!("{action:?}") };
                made += 1;
                machine.spend(index, 1, now);
                queue.push_back(Event::Failed(index, LATER));
            }
        }
    }
    // Calls that are under way already are carried through: at most one for each credential.
    assert!(made <= AGENT.burst + 600 + 40, "{made}");
    machine.spend(0, 1000, at(600));
    let [own, all] = [CREDENTIAL, AGENT].map(|limits| limits.every * (limits.credit + 1));
    let longest = own.max(all);
    assert!(machine.held_until(0).is_some_and(|until| until <= at(600) + longest), "a debt ends");
}

/// What a renewal costs that succeeds follows from the lives, and is never held back.
#[test]
fn a_new_value_fills_the_budget_of_its_credential() {
    let mut machine = published(0, 60);
    let issue = [Action::Issue(0)];
    assert_eq!(machine.step(Event::Timer, at(30)), issue);
    machine.spend(0, CREDENTIAL.burst, at(30));
    machine.step(Event::Failed(0, LATER), at(30));
    assert!(machine.held_until(0).is_some(), "{machine:?}");
    let free = at(30) + CREDENTIAL.every;
    assert_eq!(machine.step(Event::Timer, free), issue);
    for event in [Event::Issued(0, term(free, 60)), Event::Probed(0), Event::Published, Event::Refresh] {
        machine.step(event, free);
    }
    assert_eq!(machine.held_until(0), None);
    machine.step(Event::Retired(0), free);
    assert_eq!(machine.step(Event::Timer, free + schedule::FLOOR), issue, "no budget is asked");
}
