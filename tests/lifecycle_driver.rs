//! The driver with lessors that hang, fail and come late, a sink that fails, and an observer that remembers.

use apim_agent::{
    clock::{self, Clock, manual::Manual, system::System},
    config::Kind,
    error::{Class, Error, Result},
    lease::{Lease, Lessor, Released, Value},
    lifecycle::{
        change::Plan,
        driver::{Change, Command, Driver, Entry, Notice, Observer, Outcome, Pace, Values, View},
        machine::Phase,
        status::{AboutCredential, Seen},
    },
    secret::Secret,
    sink::{Item, Set, Sink},
};
use async_trait::async_trait;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

/// Long enough never to pass in a test.
const LONG: Duration = Duration::from_hours(1);

/// A lessor whose calls can be held and failed.
#[allow(clippy::struct_excessive_bools)] // each is one way of being difficult
#[derive(Default)]
struct Fake {
    is_optional: bool,
    /// Nothing exists at the service before the issue is over.
    begins_late: bool,
    issue_started: Notify,
    /// Lets a held issue go on.
    issue_goes_on: Notify,
    issue_is_held: bool,
    issue_error: Option<Error>,
    probe_started: Notify,
    probe_is_held: bool,
    probe_was_dropped: Arc<AtomicBool>,
    release_is_held: bool,
    release_error: Option<Error>,
    life: Option<Duration>,
    /// There is something at the service.
    exists: AtomicBool,
    releases: AtomicU32,
    issues: AtomicU32,
}

struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[async_trait]
impl Lessor for Fake {
    async fn issue(&self) -> Result<Lease> {
        self.issue_started.notify_one();
        if self.issue_is_held {
            self.issue_goes_on.notified().await;
        }
        if let Some(error) = &self.issue_error {
            return Err(error.clone());
        }
        self.exists.store(true, SeqCst);
        let now = clock::now();
        Ok(Lease {
            value: Value::Text(Secret::new(format!("x{}", self.issues.fetch_add(1, SeqCst)))),
            issued_at: now,
            expires_at: now + self.life.unwrap_or(LONG),
            refresh_at: None,
        })
    }

    async fn probe(&self, _: &Lease) -> Result<()> {
        let _flag = Flag(Arc::clone(&self.probe_was_dropped));
        self.probe_started.notify_one();
        if self.probe_is_held {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn retire(&self) -> Result<()> {
        Ok(())
    }

    fn retires(&self) -> bool {
        false
    }

    fn has_begun(&self) -> bool {
        !self.begins_late
    }

    async fn release(&self) -> Result<Released> {
        self.releases.fetch_add(1, SeqCst);
        if let Some(error) = &self.release_error {
            return Err(error.clone());
        }
        if self.release_is_held {
            std::future::pending::<()>().await;
        }
        let existed = self.exists.swap(false, SeqCst);
        // A held create arrives at the service just after this.
        self.issue_goes_on.notify_one();
        Ok(if existed { Released::Revoked } else { Released::Nothing })
    }
}

/// A sink whose next publications and wipes fail as told. What it is asked to show is what it is given.
#[derive(Default)]
struct Shelf {
    publications: VecDeque<Result<()>>,
    wipes: VecDeque<Result<()>>,
}

impl Sink for Shelf {
    fn publish(&mut self, _: &Set<'_>) -> Result<()> {
        self.publications.pop_front().unwrap_or(Ok(()))
    }

    fn wipe(&mut self) -> Result<()> {
        self.wipes.pop_front().unwrap_or(Ok(()))
    }

    fn variables(&self, items: &[Item<'_>]) -> Vec<(String, Secret)> {
        let text = |item: &Item<'_>| match item.value {
            Value::Text(text) => (item.env.to_owned(), text.duplicate()),
            Value::Files(_) => panic!("the lessors issue none"),
        };
        items.iter().map(text).collect()
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Remembers what it was told, in words, and signals each publication.
struct Watcher {
    told: Arc<Mutex<Vec<String>>>,
    published: mpsc::UnboundedSender<()>,
}

impl Observer for Watcher {
    fn notice(&mut self, notice: &Notice<'_>, view: &View<'_>) {
        let machine = view.machine;
        let line = match notice {
            Notice::Issued { index, .. } => {
                assert!(machine.slots()[*index].is_renewing(), "the state is the one after");
                "issued".to_owned()
            }
            Notice::Accepted { index } => {
                assert!(machine.slots()[*index].current().is_some(), "the state is the one after");
                "accepted".to_owned()
            }
            Notice::Published { generation, complete } => {
                assert_eq!(machine.generation(), *generation, "the state is the one after");
                assert_eq!(machine.is_complete(), *complete, "the state is the one after");
                // Nobody waits in some tests.
                let _ = self.published.send(());
                format!("published {generation}")
            }
            Notice::Wiped { .. } => {
                assert!(matches!(machine.phase(), Phase::Stopping | Phase::Ended));
                "wiped".to_owned()
            }
            Notice::Released { index, released } => {
                assert!(machine.slots()[*index].is_released(), "the state is the one after");
                format!("released {index} {released:?}")
            }
            Notice::Failed { error, .. } => format!("failed: {}", error.what),
            other => format!("{other:?}"),
        };
        self.told.lock().expect("whole").push(line);
    }
}

/// A required credential; its variable is `E` for the name `n`, and so on.
fn entry(name: &str, fake: &Arc<Fake>) -> Entry {
    Entry {
        about: AboutCredential {
            name: name.to_owned(),
            kind: Kind::AccessToken,
            scope: "s".to_owned(),
            env: name.to_uppercase().replace('N', "E"),
            required: !fake.is_optional,
            call: None,
        },
        identities: vec!["default".to_owned()],
        seen: Seen::default(),
        grace: Duration::ZERO,
        lessor: Arc::clone(fake) as Arc<dyn Lessor>,
    }
}

/// A driver that runs.
struct Running {
    commands: mpsc::Sender<Command>,
    published: mpsc::UnboundedReceiver<()>,
    told: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<Outcome>,
}

impl Running {
    fn start(fakes: &[&Arc<Fake>], shelf: Shelf, revoke_timeout: Duration, patience: Duration) -> Self {
        Self::by(Box::new(System::new()), fakes, shelf, revoke_timeout, patience)
    }

    fn by(
        clock: Box<dyn Clock>,
        fakes: &[&Arc<Fake>],
        shelf: Shelf,
        revoke_timeout: Duration,
        patience: Duration,
    ) -> Self {
        let entries =
            fakes.iter().enumerate().map(|(index, fake)| entry(&format!("n{index}"), fake)).collect();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (sender, published) = mpsc::unbounded_channel();
        let watcher = Watcher { told: Arc::clone(&told), published: sender };
        let pace = Pace { revoke_timeout, patience, seed: 1 };
        let driver =
            Driver::new(entries, pace, "https://g".to_owned(), Box::new(shelf), Box::new(watcher), clock);
        let (commands, receiver) = mpsc::channel(8);
        Self { commands, published, told, task: tokio::spawn(driver.run(receiver)) }
    }

    async fn send(&self, command: Command) {
        assert!(self.commands.send(command).await.is_ok(), "the driver has gone");
    }

    /// Waits until it has told that.
    async fn has_told(&self, line: &str) {
        while !self.told.lock().expect("whole").iter().any(|told| told == line) {
            tokio::task::yield_now().await;
        }
    }

    async fn values(&self, wait: bool) -> oneshot::Receiver<Result<Values>> {
        let (reply, values) = oneshot::channel();
        self.send(Command::Values { wait, reply }).await;
        values
    }

    async fn end(self) -> (Outcome, Vec<String>) {
        let outcome = self.task.await.expect("it does not panic");
        let told = std::mem::take(&mut *self.told.lock().expect("whole"));
        (outcome, told)
    }
}

/// One by a clock that the test moves, and that clock. It shows the time at which the lessors' values are issued.
fn by_hand(fakes: &[&Arc<Fake>], shelf: Shelf) -> (Manual, Running) {
    let clock = Manual::new(clock::now());
    let running = Running::by(Box::new(clock.clone()), fakes, shelf, LONG, LONG);
    (clock, running)
}

fn denied() -> Error {
    Error::new(Class::Denied, "refused")
}

fn names(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome.unreleased.iter().map(|(name, error)| (name.as_str(), error.what.as_str())).collect()
}

#[tokio::test]
async fn a_life_from_issue_to_release() {
    let fake = Arc::<Fake>::default();
    let mut running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published");
    running.send(Command::Stop).await;
    let (outcome, told) = running.end().await;
    assert!(outcome.fatal.is_none() && outcome.unreleased.is_empty());
    assert_eq!(told, ["issued", "accepted", "published 1", "wiped", "released 0 Revoked"]);
}

#[tokio::test]
async fn a_release_without_an_answer_is_reported_when_its_time_is_over() {
    let fake = Arc::new(Fake { release_is_held: true, ..Fake::default() });
    let (clock, mut running) = by_hand(&[&fake], Shelf::default());
    running.published.recv().await.expect("published");
    running.send(Command::Stop).await;
    running.has_told("wiped").await;
    clock.pass(LONG);
    let (outcome, _) = running.end().await;
    assert_eq!(names(&outcome), [("n0", "no answer before the deadline for revocations")]);
}

#[tokio::test]
async fn a_release_that_is_refused_ends_at_once_and_is_reported() {
    let fake = Arc::new(Fake { release_error: Some(denied()), ..Fake::default() });
    let mut running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published");
    running.send(Command::Stop).await;
    let (outcome, _) = running.end().await;
    assert_eq!(names(&outcome), [("n0", "refused")]);
    assert_eq!(fake.releases.load(SeqCst), 1);
}

#[tokio::test]
async fn losing_the_commands_ends_it_in_order() {
    let fake = Arc::<Fake>::default();
    let mut running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published");
    running.commands = mpsc::channel(1).0;
    let (outcome, _) = running.end().await;
    assert!(outcome.fatal.is_none() && outcome.unreleased.is_empty());
    assert!(!fake.exists.load(SeqCst), "not released");
}

#[tokio::test]
async fn losing_the_commands_after_the_stop_does_not_cut_the_release_short() {
    let fake = Arc::new(Fake { issue_is_held: true, ..Fake::default() });
    let mut running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    fake.issue_started.notified().await;
    running.send(Command::Stop).await;
    let commands = std::mem::replace(&mut running.commands, mpsc::channel(1).0);
    drop(commands);
    // The driver, the only other task of this thread, takes in both before it sleeps again.
    tokio::task::yield_now().await;
    fake.issue_goes_on.notify_one();
    let (outcome, _) = running.end().await;
    assert!(outcome.unreleased.is_empty(), "{outcome:?}");
    assert!(!fake.exists.load(SeqCst));
}

#[tokio::test]
async fn what_a_late_create_makes_is_released_and_told_of_once() {
    let fake = Arc::new(Fake { issue_is_held: true, ..Fake::default() });
    // Without patience: the first release finds nothing, and the create arrives right after it.
    let running = Running::start(&[&fake], Shelf::default(), LONG, Duration::ZERO);
    fake.issue_started.notified().await;
    running.send(Command::Stop).await;
    let (outcome, told) = running.end().await;
    assert!(outcome.unreleased.is_empty());
    assert!(!fake.exists.load(SeqCst), "a subscription is left behind");
    assert_eq!(told, ["wiped", "released 0 Revoked"]);
    assert_eq!(fake.releases.load(SeqCst), 2);
}

#[tokio::test]
async fn a_release_that_is_repeated_to_no_effect_keeps_what_it_achieved() {
    let fake = Arc::new(Fake {
        issue_is_held: true,
        issue_error: Some(Error::new(Class::Unavailable, "reset")),
        exists: AtomicBool::new(true),
        ..Fake::default()
    });
    let running = Running::start(&[&fake], Shelf::default(), LONG, Duration::ZERO);
    fake.issue_started.notified().await;
    running.send(Command::Stop).await;
    let (_, told) = running.end().await;
    assert_eq!(told, ["wiped", "released 0 Revoked"]);
    assert_eq!(fake.releases.load(SeqCst), 2, "the create might have had an effect");
}

#[tokio::test]
async fn a_create_that_never_comes_back_is_reported() {
    let fake = Arc::new(Fake { issue_is_held: true, release_is_held: true, ..Fake::default() });
    let (clock, running) = by_hand(&[&fake], Shelf::default());
    fake.issue_started.notified().await;
    running.send(Command::Stop).await;
    running.has_told("wiped").await;
    clock.pass(LONG);
    let (outcome, _) = running.end().await;
    let (name, error) = outcome.unreleased.first().expect("reported");
    assert_eq!(name, "n0");
    assert!(error.why.as_ref().is_some_and(|why| why.contains("still under way")), "{error}");
}

#[tokio::test]
async fn a_probe_under_way_is_given_up_at_the_stop() {
    let fake = Arc::new(Fake { probe_is_held: true, release_is_held: true, ..Fake::default() });
    let running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    fake.probe_started.notified().await;
    running.send(Command::Stop).await;
    // The answer shows that the stop has been carried out, although the release still hangs.
    assert!(running.values(true).await.await.is_err(), "there are no values any more");
    assert!(fake.probe_was_dropped.load(SeqCst), "it still holds the lease");
    running.send(Command::Stop).await;
    let (outcome, _) = running.end().await;
    assert_eq!(outcome.unreleased.len(), 1);
}

fn refused(what: &str) -> Arc<Fake> {
    Arc::new(Fake { issue_error: Some(Error::new(Class::Denied, what)), ..Fake::default() })
}

#[tokio::test]
async fn when_all_are_refused_before_the_first_publication_it_stops() {
    let running = Running::start(&[&refused("one"), &refused("two")], Shelf::default(), LONG, LONG);
    let values = running.values(true).await;
    let (outcome, told) = running.end().await;
    let error = outcome.fatal.expect("it stops");
    assert_eq!(error.what, "n0: one");
    assert_eq!(error.why.as_deref(), Some("besides, n1: two"));
    assert!(outcome.unreleased.is_empty() && outcome.missing.is_none());
    assert_eq!(values.await.expect("an answer").map(drop).expect_err("refused").what, "n0: one");
    assert!(!told.iter().any(|line| line.starts_with("published")), "{told:?}");
}

#[tokio::test]
async fn the_only_ones_refusal_is_told_as_the_end_alone() {
    let running = Running::start(&[&refused("one")], Shelf::default(), LONG, LONG);
    let (outcome, told) = running.end().await;
    assert_eq!(outcome.fatal.map(|error| error.what).as_deref(), Some("one"));
    assert_eq!(told, ["wiped", "released 0 Nothing"]);
}

#[tokio::test]
async fn one_that_is_refused_does_not_hold_back_the_others() {
    let good = Arc::<Fake>::default();
    let mut running = Running::start(&[&refused("no"), &good], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published without it");
    let error = running.values(true).await.await.expect("an answer").map(drop).expect_err("it is required");
    assert_eq!((error.class, &*error.what), (Class::Denied, "n0: no"));
    let values = running.values(false).await.await.expect("an answer").expect("what there is");
    assert_eq!(values.values.len(), 1);
    running.send(Command::Stop).await;
    let (outcome, _) = running.end().await;
    assert_eq!(outcome.missing.map(|error| error.what).as_deref(), Some("n0: no"));
    assert!(outcome.fatal.is_none() && !good.exists.load(SeqCst));
}

#[tokio::test]
async fn an_optional_one_is_waited_for_until_its_first_try_and_no_longer() {
    let good = Arc::<Fake>::default();
    let optional = Arc::new(Fake {
        is_optional: true,
        issue_is_held: true,
        issue_error: Some(Error::new(Class::Unavailable, "later")),
        ..Fake::default()
    });
    let running = Running::start(&[&good, &optional], Shelf::default(), LONG, LONG);
    optional.issue_started.notified().await;
    let mut values = running.values(true).await;
    assert!(running.values(false).await.await.expect("an answer").expect("values").generation == 0);
    assert!(values.try_recv().is_err(), "it has not had its try");
    optional.issue_goes_on.notify_one();
    assert_eq!(values.await.expect("an answer").expect("values").values.len(), 1);
    running.send(Command::Stop).await;
    let (outcome, _) = running.end().await;
    assert!(outcome.missing.is_none(), "it is optional: {outcome:?}");
}

/// A configuration with these credentials.
fn change(plan: Plan, entries: Vec<Entry>) -> Command {
    let gateway = "https://g".to_owned();
    Command::Reconfigure(Box::new(Change { plan, entries, gateway, further_gateways: Vec::new() }))
}

#[tokio::test]
async fn a_new_configuration_keeps_what_holds_and_releases_what_is_gone() {
    let fakes = [Arc::<Fake>::default(), Arc::default(), Arc::default()];
    let mut running = Running::start(&[&fakes[0], &fakes[1]], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published");
    let plan = Plan {
        kept: vec!["n1".to_owned()],
        removed: vec!["n0".to_owned()],
        added: vec!["n2".to_owned()],
        ..Plan::default()
    };
    running.send(change(plan, vec![entry("n2", &fakes[2]), entry("n1", &fakes[1])])).await;
    running.published.recv().await.expect("without the first");
    running.published.recv().await.expect("with the third");
    let values = running.values(true).await.await.expect("an answer").expect("values");
    let names: Vec<_> = values.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, values.generation), (vec!["E2", "E1"], 3));
    assert!(!fakes[0].exists.load(SeqCst), "released while the others go on");
    assert!(fakes[1].exists.load(SeqCst) && fakes[1].releases.load(SeqCst) == 0);
    running.send(Command::Stop).await;
    let (outcome, told) = running.end().await;
    assert!(outcome.unreleased.is_empty());
    assert!(told.contains(&"released 0 Revoked".to_owned()), "{told:?}");
    assert!(fakes.iter().all(|fake| !fake.exists.load(SeqCst)));
}

#[tokio::test]
async fn a_changed_one_begins_when_its_predecessor_has_gone() {
    // The first one's release hangs.
    let before = Arc::new(Fake { release_is_held: true, ..Fake::default() });
    let after = Arc::<Fake>::default();
    let mut running = Running::start(&[&before], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published");
    let plan = Plan { changed: vec!["n0".to_owned()], ..Plan::default() };
    running.send(change(plan, vec![entry("n0", &after)])).await;
    running.published.recv().await.expect("without a value");
    let (reply, report) = oneshot::channel();
    running.send(Command::Status(reply)).await;
    let report = report.await.expect("an answer");
    assert_eq!(report.credentials.len(), 2, "the new one, and the one that leaves");
    assert!(!report.machine.is_ready());
    assert!(!after.exists.load(SeqCst), "two of one name");
    running.send(Command::Stop).await;
    running.send(Command::Stop).await;
    let (outcome, _) = running.end().await;
    let unreleased = outcome.unreleased.iter().map(|(name, _)| name.as_str());
    assert_eq!(unreleased.collect::<Vec<_>>(), ["n0"], "nothing is forgotten");
}

#[tokio::test]
async fn an_issue_that_has_not_begun_to_mint_is_dropped_at_the_stop() {
    let fake = Arc::new(Fake { begins_late: true, issue_is_held: true, ..Fake::default() });
    let running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    fake.issue_started.notified().await;
    running.send(Command::Stop).await;
    // The issue would hang for ever.
    let (outcome, told) = running.end().await;
    assert!(outcome.unreleased.is_empty() && outcome.fatal.is_none(), "{outcome:?}");
    assert_eq!(told, ["wiped", "released 0 Nothing"]);
}

#[tokio::test]
async fn a_failed_wipe_is_tried_again_and_is_fatal_only_if_that_fails_too() {
    let failure = || Err(Error::new(Class::Internal, "not wiped"));
    for (wipes, fatal) in [(vec![failure()], None), (vec![failure(), failure()], Some("not wiped"))] {
        let fake = Arc::<Fake>::default();
        let mut running =
            Running::start(&[&fake], Shelf { wipes: wipes.into(), ..Shelf::default() }, LONG, LONG);
        running.published.recv().await.expect("published");
        running.send(Command::Stop).await;
        let (outcome, _) = running.end().await;
        assert_eq!(outcome.fatal.map(|error| error.what).as_deref(), fatal);
    }
}

#[tokio::test]
async fn values_expire_with_the_first_of_those_returned() {
    let long = Arc::<Fake>::default();
    let short = Arc::new(Fake { life: Some(LONG / 2), ..Fake::default() });
    let running = Running::start(&[&long, &short], Shelf::default(), LONG, LONG);
    let values = running.values(true).await.await.expect("an answer").expect("published");
    assert_eq!(values.generation, 1);
    let variables: Vec<_> = values.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(variables, ["E0", "E1"]);
    let left = values.expires_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let end = clock::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970") + LONG / 2;
    assert!(left.is_some_and(|left| left <= end), "the shorter of the two");
    running.send(Command::Stop).await;
    running.end().await;
}

/// The variables that are given out, with their values, and the generation.
async fn given(running: &Running) -> (Vec<(String, String)>, u64) {
    let values = running.values(false).await.await.expect("an answer").expect("values");
    let variables = values.values.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    (variables.collect(), values.generation)
}

/// A sink that takes the first set and then fails once.
fn full_once() -> Shelf {
    let full = Error::new(Class::Unavailable, "no room");
    Shelf { publications: [Ok(()), Err(full)].into(), ..Shelf::default() }
}

#[tokio::test]
async fn what_could_not_be_written_is_not_given_out() {
    let fake = Arc::<Fake>::default();
    let mut running = Running::start(&[&fake], full_once(), LONG, LONG);
    running.published.recv().await.expect("published");
    running.send(Command::Refresh).await;
    let failed = |told: &Vec<String>| told.contains(&"failed: no room".to_owned());
    let mut seen = Vec::new();
    while !failed(&running.told.lock().expect("whole")) {
        seen.push(given(&running).await);
        tokio::task::yield_now().await;
    }
    seen.push(given(&running).await);
    seen.dedup();
    let first = (vec![("E0".to_owned(), "x0".to_owned())], 1);
    assert!(seen.iter().all(|seen| *seen == first), "the file still holds the first: {seen:?}");
    running.published.recv().await.expect("tried again");
    assert_eq!(given(&running).await, (vec![("E0".to_owned(), "x1".to_owned())], 2));
    running.send(Command::Stop).await;
    running.end().await;
}

#[tokio::test]
async fn a_change_that_could_not_be_written_gives_nothing_new_and_nothing_that_ends() {
    let fakes = [Arc::<Fake>::default(), Arc::default()];
    let mut running = Running::start(&[&fakes[0], &fakes[1]], full_once(), LONG, LONG);
    running.published.recv().await.expect("published");
    let plan = Plan { kept: vec!["n1".to_owned()], removed: vec!["n0".to_owned()], ..Plan::default() };
    let mut renamed = entry("n1", &fakes[1]);
    renamed.about.env = "OTHER".to_owned();
    running.send(change(plan, vec![renamed])).await;
    assert_eq!(given(&running).await, (vec![("E1".to_owned(), "x0".to_owned())], 1));
    running.published.recv().await.expect("tried again");
    assert_eq!(given(&running).await, (vec![("OTHER".to_owned(), "x0".to_owned())], 2));
    running.send(Command::Stop).await;
    running.end().await;
}

#[tokio::test]
async fn a_value_that_expired_before_it_was_used_is_told_of() {
    let fake = Arc::new(Fake { life: Some(Duration::ZERO), ..Fake::default() });
    let running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    let mut report = None;
    while report.is_none() {
        let (reply, answer) = oneshot::channel();
        running.send(Command::Status(reply)).await;
        report = answer.await.expect("an answer").credentials[0].error.take();
    }
    running.send(Command::Stop).await;
    let (outcome, told) = running.end().await;
    assert!(told.contains(&"failed: a new value expired before it could be used".to_owned()), "{told:?}");
    assert!(outcome.unreleased.is_empty());
}
