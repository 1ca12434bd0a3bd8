//! The driver with lessors that hang, fail and come late, a sink that fails, and an observer that remembers.

use apim_agent::{
    clock,
    error::{Class, Error, Result},
    lease::{Lease, Lessor, Released, Value},
    lifecycle::{
        driver::{Command, Driver, Entry, Notice, Observer, Outcome, Values},
        machine::{Machine, Phase, Spec},
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
#[derive(Default)]
struct Fake {
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
            value: Value::Text(Secret::new("x".to_owned())),
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

/// A sink whose next wipes fail as told.
#[derive(Default)]
struct Shelf {
    wipes: VecDeque<Result<()>>,
}

impl Sink for Shelf {
    fn publish(&mut self, _: &Set<'_>) -> Result<()> {
        Ok(())
    }

    fn wipe(&mut self) -> Result<()> {
        self.wipes.pop_front().unwrap_or(Ok(()))
    }

    fn variables(&self, items: &[Item<'_>]) -> Vec<(String, Secret)> {
        items.iter().map(|item| (item.env.to_owned(), Secret::new("x".to_owned()))).collect()
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
    fn notice(&mut self, notice: &Notice<'_>, machine: &Machine) {
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
                assert_eq!(machine.is_ready(), *complete, "the state is the one after");
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

/// A driver that runs.
struct Running {
    commands: mpsc::Sender<Command>,
    published: mpsc::UnboundedReceiver<()>,
    told: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<Outcome>,
}

impl Running {
    fn start(fakes: &[&Arc<Fake>], shelf: Shelf, revoke_timeout: Duration, patience: Duration) -> Self {
        let specs = fakes.iter().map(|_| Spec { grace: Duration::ZERO, retires: false });
        let machine = Machine::new(specs, revoke_timeout, 1);
        let entry = |(index, fake): (usize, &&Arc<Fake>)| Entry {
            name: format!("n{index}"),
            env: format!("E{index}"),
            lessor: Arc::clone(*fake) as Arc<dyn Lessor>,
        };
        let entries = fakes.iter().enumerate().map(entry).collect();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (sender, published) = mpsc::unbounded_channel();
        let watcher = Watcher { told: Arc::clone(&told), published: sender };
        let driver = Driver::new(entries, machine, Box::new(shelf), Box::new(watcher), patience);
        let (commands, receiver) = mpsc::channel(8);
        Self { commands, published, told, task: tokio::spawn(driver.run(receiver)) }
    }

    async fn send(&self, command: Command) {
        assert!(self.commands.send(command).await.is_ok(), "the driver has gone");
    }

    async fn values(&self, wait: bool) -> oneshot::Receiver<Values> {
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

#[tokio::test(start_paused = true)]
async fn a_release_without_an_answer_is_reported_when_the_steady_clock_says_so() {
    let fake = Arc::new(Fake { release_is_held: true, ..Fake::default() });
    let mut running = Running::start(&[&fake], Shelf::default(), LONG, LONG);
    running.published.recv().await.expect("published");
    running.send(Command::Stop).await;
    // Tokio's clock leaps from timer to timer here, while the wall clock as good as stands still.
    let end = tokio::time::timeout(2 * LONG, running.end()).await;
    let (outcome, _) = end.expect("the deadline does not follow the wall clock");
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

#[tokio::test(start_paused = true)]
async fn a_create_that_never_comes_back_is_reported() {
    let fake = Arc::new(Fake { issue_is_held: true, release_is_held: true, ..Fake::default() });
    let running = Running::start(&[&fake], Shelf::default(), LONG, Duration::ZERO);
    fake.issue_started.notified().await;
    running.send(Command::Stop).await;
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

#[tokio::test]
async fn a_refusal_before_the_first_publication_stops_it() {
    let good = Arc::<Fake>::default();
    let bad = Arc::new(Fake { issue_error: Some(denied()), ..Fake::default() });
    let running = Running::start(&[&good, &bad], Shelf::default(), LONG, LONG);
    let (outcome, told) = running.end().await;
    assert_eq!(outcome.fatal.map(|error| error.what).as_deref(), Some("refused"));
    assert!(outcome.unreleased.is_empty());
    assert!(!good.exists.load(SeqCst), "what the other had is released");
    assert!(!told.iter().any(|line| line.starts_with("published")), "{told:?}");
}

#[tokio::test]
async fn a_failed_wipe_is_tried_again_and_is_fatal_only_if_that_fails_too() {
    let failure = || Err(Error::new(Class::Internal, "not wiped"));
    for (wipes, fatal) in [(vec![failure()], None), (vec![failure(), failure()], Some("not wiped"))] {
        let fake = Arc::<Fake>::default();
        let mut running = Running::start(&[&fake], Shelf { wipes: wipes.into() }, LONG, LONG);
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
    let values = running.values(true).await.await.expect("published");
    assert_eq!(values.generation, 1);
    let variables: Vec<_> = values.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(variables, ["E0", "E1"]);
    let left = values.expires_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let end = clock::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970") + LONG / 2;
    assert!(left.is_some_and(|left| left <= end), "the shorter of the two");
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
        report = answer.await.expect("an answer").errors[0].take();
    }
    running.send(Command::Stop).await;
    let (outcome, told) = running.end().await;
    assert!(told.contains(&"failed: a new value expired before it could be used".to_owned()), "{told:?}");
    assert!(outcome.unreleased.is_empty());
}
