//! Suspends and clocks that are set: first by a clock that the test moves, then a real agent that is stopped meanwhile.
//!
//! What a step of the machine's own clock does, `scripts/clock-steps` shows. A time namespace could not: it shifts the
//! monotonic clocks only, and those only at its birth.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use apim_agent::{
    clock::{self, Clock, manual::Manual},
    config::Kind,
    error::Result,
    lease::{Lease, Lessor, Released, Value},
    lifecycle::{
        driver::{Command, Driver, Entry, Notice, Observer, Outcome, Pace, Report, View},
        status::{AboutCredential, Seen},
    },
    secret::Secret,
    sink::{Item, Set, Sink},
};
use async_trait::async_trait;
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};
use support::scene::{Scene, poll};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// What lessors and sink did, in one order.
type Log = Arc<Mutex<Vec<String>>>;

/// Issues values by the clock of the test. Its calls can be held; the release of one that is `stuck` never ends.
struct Fake {
    name: &'static str,
    life: Duration,
    clock: Manual,
    log: Log,
    hold_issues: AtomicBool,
    hold_probes: AtomicBool,
    goes_on: Notify,
    stuck: bool,
}

impl Fake {
    fn say(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
    }

    /// Its calls are not held any more, and what is held goes on.
    fn let_go(&self) {
        self.hold_issues.store(false, SeqCst);
        self.hold_probes.store(false, SeqCst);
        self.goes_on.notify_one();
    }
}

#[async_trait]
impl Lessor for Fake {
    async fn issue(&self) -> Result<Lease> {
        self.say("asks");
        let now = self.clock.now();
        if self.hold_issues.load(SeqCst) {
            self.goes_on.notified().await;
            self.say("goes on");
        }
        let value = Value::Text(Secret::new("x".to_owned()));
        Ok(Lease { value, issued_at: now, expires_at: now + self.life, refresh_at: None })
    }

    async fn probe(&self, _: &Lease) -> Result<()> {
        if self.hold_probes.load(SeqCst) {
            self.say("probes");
            self.goes_on.notified().await;
        }
        Ok(())
    }

    async fn retire(&self) -> Result<()> {
        Ok(())
    }

    fn retires(&self) -> bool {
        false
    }

    async fn release(&self) -> Result<Released> {
        self.say("is released");
        if self.stuck {
            std::future::pending::<()>().await;
        }
        Ok(Released::Revoked)
    }
}

struct Shelf(Log);

impl Sink for Shelf {
    fn publish(&mut self, set: &Set<'_>) -> Result<()> {
        let names: Vec<_> = set.items.iter().map(|item| item.name).collect();
        self.0.lock().unwrap().push(format!("file: {}", names.join(" ")));
        Ok(())
    }

    fn wipe(&mut self) -> Result<()> {
        self.0.lock().unwrap().push("wiped".to_owned());
        Ok(())
    }

    fn variables(&self, _: &[Item<'_>]) -> Vec<(String, Secret)> {
        Vec::new()
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

struct Nobody;

impl Observer for Nobody {
    fn notice(&mut self, _: &Notice<'_>, _: &View<'_>) {}
}

/// A driver by a clock that the test moves.
struct World {
    clock: Manual,
    log: Log,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<Outcome>,
    fakes: Vec<Arc<Fake>>,
}

impl World {
    /// With credentials of these names and lives, which `change` may make difficult. Revocations have an hour.
    fn new(lives: &[(&'static str, Duration)], change: impl Fn(&mut Fake)) -> Self {
        let (clock, log) = (Manual::new(clock::from_unix(1_800_000_000)), Log::default());
        let fakes = lives.iter().map(|(name, life)| {
            let mut fake = Fake {
                name,
                life: *life,
                clock: clock.clone(),
                log: Arc::clone(&log),
                hold_issues: AtomicBool::new(false),
                hold_probes: AtomicBool::new(false),
                goes_on: Notify::new(),
                stuck: false,
            };
            change(&mut fake);
            Arc::new(fake)
        });
        let fakes: Vec<_> = fakes.collect();
        let entries = fakes.iter().map(|fake| Entry {
            about: AboutCredential {
                name: fake.name.to_owned(),
                kind: Kind::AccessToken,
                scope: "s".to_owned(),
                env: fake.name.to_uppercase(),
                required: true,
                call: None,
            },
            identities: Vec::new(),
            seen: Seen::default(),
            grace: Duration::ZERO,
            lessor: Arc::clone(fake) as Arc<dyn Lessor>,
        });
        let pace = Pace { revoke_timeout: HOUR, patience: HOUR, seed: 1 };
        let (sink, hand) = (Box::new(Shelf(Arc::clone(&log))), Box::new(clock.clone()));
        let driver =
            Driver::new(entries.collect(), pace, "https://g".to_owned(), sink, Box::new(Nobody), hand);
        let (commands, inbox) = mpsc::channel(8);
        Self { clock, log, commands, task: tokio::spawn(driver.run(inbox)), fakes }
    }

    /// What has happened since the last time, when nothing more happens. All is on this one thread, and nothing in it waits
    /// for anything but the test.
    async fn news(&self) -> Vec<String> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    async fn report(&self) -> Report {
        let (reply, report) = oneshot::channel();
        assert!(self.commands.send(Command::Status(reply)).await.is_ok());
        report.await.unwrap()
    }

    /// When the first credential is renewed.
    async fn renews_at(&self) -> SystemTime {
        self.report().await.machine.slots()[0].renews_at().unwrap()
    }
}

#[tokio::test]
async fn what_expired_during_a_suspend_is_out_before_anything_is_asked_for() {
    let world = World::new(&[("short", 60 * S), ("long", 100 * HOUR)], |_| {});
    assert_eq!(world.news().await, ["short asks", "long asks", "file: short long"]);
    world.clock.suspend(HOUR);
    // At once: there is nothing to lose by waiting, and nothing to be had.
    assert_eq!(world.news().await, ["file: long", "short asks", "file: short long"]);
}

#[tokio::test]
async fn it_is_out_before_a_call_goes_on_that_was_under_way() {
    let world = World::new(&[("short", 60 * S), ("long", 100 * HOUR)], |_| {});
    world.news().await;
    world.fakes[0].hold_issues.store(true, SeqCst);
    world.clock.pass(30 * S);
    assert_eq!(world.news().await, ["short asks"]);
    // Both before the driver is polled again: the answer and the end of the suspend.
    world.fakes[0].let_go();
    world.clock.suspend(HOUR);
    assert_eq!(world.news().await, ["file: long", "short goes on"]);
}

#[tokio::test]
async fn a_stop_of_the_process_alone_is_no_different() {
    let world = World::new(&[("short", 60 * S)], |_| {});
    world.news().await;
    // No jump of any clock, just late.
    world.clock.pass(HOUR);
    assert_eq!(world.news().await, ["file: ", "short asks", "file: short"]);
}

#[tokio::test]
async fn a_renewal_that_a_jump_made_due_waits_a_little_for_others_do_the_same() {
    for by_suspend in [true, false] {
        let world = World::new(&[("key", HOUR)], |_| {});
        world.news().await;
        let by = 45 * 60 * S;
        if by_suspend {
            world.clock.suspend(by);
        } else {
            world.clock.set(world.clock.now() + by);
        }
        let now = world.clock.now();
        assert_eq!(world.news().await, [""; 0], "at the same moment as everybody");
        let wait = world.renews_at().await.duration_since(now).unwrap();
        assert!(wait > Duration::ZERO && wait <= 60 * S, "{wait:?}");
        // Another jump does not put it off.
        world.clock.set(now);
        world.news().await;
        assert_eq!(world.renews_at().await, now + wait);
        world.clock.pass(wait);
        assert_eq!(world.news().await, ["key asks", "file: key"]);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_puts_off_neither_a_renewal_nor_an_expiry() {
    // By more than what has passed since the driver last looked, and by less.
    for by in [HOUR, 15 * S] {
        let world = World::new(&[("short", 60 * S)], |_| {});
        world.news().await;
        world.fakes[0].hold_issues.store(true, SeqCst);
        world.clock.pass(20 * S);
        world.clock.set(world.clock.now() - by);
        assert_eq!(world.news().await, [""; 0]);
        world.clock.pass(10 * S);
        assert_eq!(world.news().await, ["short asks"]);
        world.clock.pass(30 * S);
        assert_eq!(world.news().await, ["file: "]);
    }
}

#[tokio::test]
async fn forwards_and_back_again_is_no_gain() {
    let world = World::new(&[("short", 60 * S)], |fake| fake.stuck = true);
    world.news().await;
    world.clock.set(world.clock.now() + 61 * S);
    assert_eq!(world.news().await, ["file: ", "short asks", "file: short"], "as far as anybody knows");
    world.clock.set(world.clock.now() - 61 * S);
    assert_eq!(world.news().await, [""; 0]);
    world.clock.pass(30 * S);
    assert_eq!(world.news().await, ["short asks", "file: short"]);
}

#[tokio::test]
async fn a_suspend_before_the_first_publication_publishes_nothing_stale() {
    let world = World::new(&[("short", 60 * S)], |fake| fake.hold_issues.store(true, SeqCst));
    assert_eq!(world.news().await, ["short asks"]);
    world.clock.suspend(HOUR);
    assert_eq!(world.news().await, [""; 0]);
    world.fakes[0].let_go();
    // It was on its way for an hour, and lives for a minute.
    assert_eq!(world.news().await, ["short goes on"]);
    world.clock.pass(2 * S);
    assert_eq!(world.news().await, ["short asks", "file: short"]);
}

#[tokio::test]
async fn what_is_asked_for_by_a_clock_that_is_set_back_meanwhile_lives_no_longer() {
    let world = World::new(&[("short", 60 * S)], |fake| fake.hold_issues.store(true, SeqCst));
    assert_eq!(world.news().await, ["short asks"]);
    world.clock.set(world.clock.now() - HOUR);
    world.news().await;
    world.fakes[0].let_go();
    assert_eq!(world.news().await, ["short goes on", "file: short"]);
    world.fakes[0].hold_issues.store(true, SeqCst);
    world.clock.pass(60 * S);
    assert_eq!(world.news().await, ["file: ", "short asks"]);
}

#[tokio::test]
async fn a_value_that_ran_out_before_it_was_accepted_is_never_published() {
    let world = World::new(&[("short", 60 * S)], |fake| fake.hold_probes.store(true, SeqCst));
    assert_eq!(world.news().await, ["short asks", "short probes"]);
    world.fakes[0].let_go();
    world.clock.suspend(HOUR);
    assert_eq!(world.news().await, [""; 0], "the gateway's word is an hour late");
    world.clock.pass(2 * S);
    assert_eq!(world.news().await, ["short asks", "file: short"]);
}

#[tokio::test]
async fn the_time_for_revocations_is_real_time() {
    let back = |world: &World| world.clock.set(world.clock.now() - 24 * HOUR);
    let forwards = |world: &World| world.clock.set(world.clock.now() + 24 * HOUR);
    for jump in [&back as &dyn Fn(&World), &forwards] {
        let world = World::new(&[("key", 100 * HOUR)], |fake| fake.stuck = true);
        world.news().await;
        assert!(world.commands.send(Command::Stop).await.is_ok());
        assert_eq!(world.news().await, ["wiped", "key is released"]);
        jump(&world);
        world.clock.pass(HOUR / 2);
        world.news().await;
        assert!(!world.task.is_finished(), "a clock that is set does not hurry it");
        world.clock.pass(HOUR / 2);
        assert_eq!(world.task.await.unwrap().unreleased.len(), 1);
    }
    let world = World::new(&[("key", 100 * HOUR)], |fake| fake.stuck = true);
    world.news().await;
    assert!(world.commands.send(Command::Stop).await.is_ok());
    world.news().await;
    world.clock.suspend(HOUR);
    assert_eq!(world.task.await.unwrap().unreleased.len(), 1, "a suspend counts");
}

/// The agent cannot wipe while it is stopped; it does before it asks for anything.
#[test]
fn a_real_agent_wipes_what_expired_while_it_was_stopped_before_it_asks_anybody() {
    let scene = Scene::new(&["--access-token-life", "4s"], support::TOKEN);
    let agent = scene.published(&[]);
    agent.signal(Signal::SIGSTOP);
    let published = scene.workspace.published();
    let (_, expires_at) = published.iter().find(|(name, _)| name == "APIM_AGENT_EXPIRES_AT").unwrap();
    let expires_at = clock::parse_rfc3339(expires_at).unwrap() + S;
    // Whatever it asks for from now on arrives, and is not answered.
    for operation in ["identity", "entra", "gateway"] {
        scene.emulator.fault(&json!({"operation": operation, "times": 1000, "action": "hold"}));
    }
    poll("the expiry", || (clock::now() > expires_at).then_some(()));
    let before = scene.emulator.journal().len();
    assert!(scene.workspace.published().iter().any(|(name, _)| name == "APIM_ACCESS_TOKEN"), "it is stopped");
    agent.signal(Signal::SIGCONT);
    let row = poll("a request", || scene.emulator.journal().get(before).cloned());
    assert!(
        scene.workspace.published().iter().all(|(name, _)| name != "APIM_ACCESS_TOKEN"),
        "asked with: {row}"
    );
    // The journal knows the arrival to the millisecond below, the file its last change to a tick below.
    let arrived = clock::parse_rfc3339(row["at"].as_str().unwrap()).unwrap() + Duration::from_millis(1);
    let written = std::fs::metadata(scene.workspace.env_file()).unwrap().modified().unwrap();
    assert!(written < arrived, "written at {written:?}, asked at {arrived:?}");
    scene.emulator.clear_faults();
    scene.emulator.release();
    poll("a new token", || {
        scene.workspace.published().iter().any(|(name, _)| name == "APIM_ACCESS_TOKEN").then_some(())
    });
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}
