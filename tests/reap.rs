//! `reap` against the emulator: what is dead goes, nothing else is touched, and ARM's budget is kept.
//!
//! The emulator runs in this process, so that its store can be filled and compared; the long form of the first test is
//! `scripts/torture-reap`.
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

mod support;

use apim_agent::{
    clock,
    config::{self, Choice, DEFAULT, Entry, Env, Inputs, Purpose},
    emulator::{
        Emulator, Options,
        faults::{Action, Fault, Simple, Status},
        journal::Row,
        store::{Expect, State, Store, Subscription},
        world::World,
    },
    exchange,
    gateway::reap::{Budget, Rate, Reaper, Service, Tally},
    http,
    identity::{prompt::Person, select},
    lease::subscription_key::naming,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};
use support::{bare, process::Process};
use tokio::time::{Instant, timeout};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const GRACE: Duration = HOUR;

/// How a subscription came to be.
#[derive(Clone, Copy)]
enum Made {
    /// The agent's, renewed or not: over for so long by `expirationDate`, by the name, or by its age.
    DeadByDate,
    DeadByName,
    DeadByAge,
    /// The agent's, in ways that have to be left alone.
    AliveByDate,
    AliveByName,
    AliveByAge,
    InGrace,
    /// Somebody else's, long over, with one of the marks or none.
    ForeignName,
    ForeignId,
    Foreign,
}

const DEAD: [Made; 3] = [Made::DeadByDate, Made::DeadByName, Made::DeadByAge];
const KEPT: [Made; 7] = [
    Made::AliveByDate,
    Made::AliveByName,
    Made::AliveByAge,
    Made::InGrace,
    Made::ForeignName,
    Made::ForeignId,
    Made::Foreign,
];

/// Puts one into the store; its id.
fn put(store: &Store, made: Made, n: usize, now: SystemTime) -> String {
    let own = naming::sid("https://issuer.example", "subject", &format!("workspace {n}"), "key");
    let name = |until| naming::display_name(&format!("workspace {n}"), Some("ada@example.com"), until);
    let (past, future, long_ago) = (now - 2 * HOUR, now + HOUR, now - 30 * DAY);
    let (sid, display_name, created_at, expiration_date) = match made {
        Made::DeadByDate => (own, name(future), long_ago, Some(past)),
        Made::DeadByName => (own, name(past), now - DAY, None),
        Made::DeadByAge => (own, "apim-agent edited by hand".to_owned(), now - 3 * DAY, None),
        Made::AliveByDate => (own, name(past), long_ago, Some(future)),
        Made::AliveByName => (own, name(future), long_ago, None),
        Made::AliveByAge => (own, "apim-agent edited by hand".to_owned(), now - DAY, None),
        Made::InGrace => (own, name(past), long_ago, Some(now - HOUR / 2)),
        Made::ForeignName => (own, "Partner portal".to_owned(), long_ago, Some(past)),
        Made::ForeignId => (format!("ws-portal-{n}"), name(past), long_ago, Some(past)),
        Made::Foreign => (format!("portal-{n}"), format!("Portal {n}"), long_ago, Some(past)),
    };
    let new = Subscription {
        sid: sid.clone(),
        scope: "/products/starter".to_owned(),
        display_name,
        state: State::Active,
        owner_id: None,
        allow_tracing: None,
        primary_key: format!("primary-{n}"),
        secondary_key: format!("secondary-{n}"),
        created_at,
        expiration_date,
        state_comment: None,
        etag: String::new(),
    };
    store.change(&sid, Expect::Nothing, now, Some(new.clone()), |old| *old = new).map(|_| ()).unwrap();
    sid
}

/// `dead` of those that have to go and `kept` of those that have to stay, evenly mixed by their ids; the latter's.
fn fill(store: &Store, dead: usize, kept: usize) -> Vec<String> {
    let now = clock::now();
    for n in 0..dead {
        put(store, DEAD[n % DEAD.len()], n, now);
    }
    (0..kept).map(|n| put(store, KEPT[n % KEPT.len()], dead + n, now)).collect()
}

/// All in the store, by id, with their versions.
fn contents(store: &Store) -> BTreeMap<String, String> {
    let (all, _) = store.page("", |_| true, 0, usize::MAX);
    all.into_iter().map(|subscription| (subscription.sid, subscription.etag)).collect()
}

fn emulator(world: World) -> Emulator {
    Emulator::start(Options { world, ..Options::default() }).unwrap()
}

/// The settings by which we are the workspaces' application on the emulator.
fn settings(emulator: &Emulator) -> Vec<(&'static str, String)> {
    let ready = emulator.ready();
    let path = |path: &Path| path.display().to_string();
    vec![
        ("ca_file", path(&ready.ca_file)),
        ("identity.source", "ona".to_owned()),
        ("identity.url", ready.identity.clone()),
        ("identity.bearer_file", path(&ready.identity_token_file)),
        ("entra.tenant_id", ready.tenant_id.clone()),
        ("entra.client_id", ready.client_id.clone()),
        ("entra.authority", ready.authority.clone()),
        ("arm.url", ready.arm.clone()),
    ]
}

fn service_id(emulator: &Emulator) -> String {
    let ready = emulator.ready();
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ApiManagement/service/{}",
        ready.subscription_id, ready.resource_group, ready.service_name
    )
}

/// A reaper in this process, at `refill` times Azure's pace.
fn reaper(emulator: &Emulator, refill: u32) -> Reaper {
    let flags: Vec<_> =
        settings(emulator).into_iter().map(|(key, value)| Entry::flag("--set", key, value)).collect();
    let env: Env = std::iter::empty::<(&str, &str)>().collect();
    let inputs =
        Inputs { file: Choice::Nothing, env: &env, flags: &flags, folder: Path::new("/"), host_name: "host" };
    let config = config::load_for(&inputs, Purpose::Management, &config::trust::Places::default()).unwrap();
    let http = http::Client::new(&http::Options {
        ca_file: config.ca_file.clone(),
        timeout: Duration::from_mins(1),
        ..http::Options::default()
    })
    .unwrap();
    let (person, _end) = Person::new(Arc::new(|_| ()));
    let sources = select::sources(&config, &http, &(Arc::new(|_: &str| None) as select::Lookup), &person);
    let exchange = exchange::exchanges(&config, &sources, &http).unwrap().remove(DEFAULT).unwrap();
    let arm = &config.exchanges[DEFAULT].method.entra().unwrap().arm;
    let faster = |rate: Rate| Rate { per_second: rate.per_second * refill, ..rate };
    let budget = Budget { reads: faster(Budget::AZURE.reads), deletes: faster(Budget::AZURE.deletes) };
    Reaper::new(Service::new(arm, &service_id(emulator), budget, exchange, http), GRACE)
}

fn arm(emulator: &Emulator) -> Vec<Row> {
    emulator.journal().rows().into_iter().filter(|row| row.service == "arm").collect()
}

fn count(rows: &[Row], operation: &str) -> usize {
    rows.iter().filter(|row| row.operation == Some(operation)).count()
}

/// Fills the store, reaps it, and compares; prints the figures.
async fn reaps(dead: usize, kept: usize, refill: u32) {
    let emulator = emulator(World { arm_refill: refill, ..World::default() });
    let stay = fill(emulator.store(), dead, kept);
    let before = contents(emulator.store());
    assert_eq!(before.len(), dead + kept);

    let reaper = reaper(&emulator, refill);
    let started = Instant::now();
    let found = reaper.list().await.unwrap();
    let listed = started.elapsed();
    assert_eq!(found.len(), dead);
    reaper.delete(found).await.unwrap();
    let deleting = started.elapsed().saturating_sub(listed).as_secs_f64();

    let after = contents(emulator.store());
    assert!(stay.iter().all(|sid| after.get(sid) == before.get(sid)), "none of those is deleted or changed");
    assert_eq!(after.len(), kept, "all the dead are gone");
    let tally @ Tally { throttled, .. } = &reaper.tally();
    assert_eq!((tally.dead, tally.deleted, tally.left()), (dead as u64, dead as u64, 0));

    let rows = arm(&emulator);
    let (lists, gets, deletes) = (
        count(&rows, "Subscription_List"),
        count(&rows, "Subscription_Get"),
        count(&rows, "Subscription_Delete"),
    );
    let refused = rows.iter().filter(|row| row.status == Some(429)).count();
    println!(
        "{dead} dead of {}: listed in {:.1} s on {lists} pages, deleted in {deleting:.1} s, {:.1} a second; {gets} GET, {deletes} \
         DELETE, {refused} times 429; {} kept, 0 touched",
        dead + kept,
        listed.as_secs_f64(),
        f64::from(u32::try_from(deletes).unwrap()) / deleting,
        after.len(),
    );
    assert_eq!((refused, *throttled), (0, 0), "within ARM's budget");
    assert_eq!((gets, deletes), (dead, dead), "none in vain");
}

/// The short form, at a hundred times Azure's pace.
#[tokio::test]
async fn all_the_dead_go_and_nothing_else() {
    reaps(400, 1600, 100).await;
}

/// At Azure's own pace, so a quarter of an hour: `scripts/torture-reap`.
#[tokio::test]
#[ignore = "takes a quarter of an hour"]
async fn ten_thousand_of_fifty_thousand() {
    reaps(10_000, 40_000, 1).await;
}

fn fault(operation: &str, times: u32, action: Action) -> Fault {
    Fault { operation: operation.to_owned(), times, after: false, action }
}

fn status(status: u16, retry_after: &str) -> Action {
    let headers = BTreeMap::from([("Retry-After".to_owned(), retry_after.to_owned())]);
    Action::Status(Status { status, headers, body: String::new() })
}

/// Waits until so many requests of an operation have arrived.
async fn arrived(emulator: &Emulator, operation: &str, at_least: usize) {
    let wait = async {
        while count(&arm(emulator), operation) < at_least {
            tokio::task::yield_now().await;
        }
    };
    timeout(support::process::HANG, wait).await.expect("it arrives");
}

#[tokio::test]
async fn one_that_is_renewed_after_it_was_seen_dead_is_kept() {
    let emulator = emulator(World::default());
    let now = clock::now();
    let sid = put(emulator.store(), Made::DeadByDate, 1, now);
    let reaper = reaper(&emulator, 1);
    let found = reaper.list().await.unwrap();
    emulator.faults().add(fault("Subscription_Delete", 1, Action::Simple(Simple::Hold)));
    let renew = async {
        arrived(&emulator, "Subscription_Delete", 1).await;
        let renewed = emulator.store().change(&sid, Expect::Any, now, None, |subscription| {
            subscription.expiration_date = Some(now + HOUR);
        });
        renewed.map(|_| ()).unwrap();
        emulator.faults().release();
    };
    let (done, ()) = tokio::join!(reaper.delete(found), renew);
    done.unwrap();
    assert!(emulator.store().get(&sid).is_some());
    let tally = reaper.tally();
    assert_eq!((tally.renewed, tally.deleted, tally.left()), (1, 0, 0));
    assert_eq!(count(&arm(&emulator), "Subscription_Delete"), 1, "the second look was enough");

    // Renewed between the list and the look: no DELETE at all.
    put(emulator.store(), Made::DeadByDate, 1, now);
    let found = reaper.list().await.unwrap();
    put(emulator.store(), Made::AliveByDate, 1, now);
    reaper.delete(found).await.unwrap();
    assert_eq!(reaper.tally().renewed, 2);
    assert_eq!(count(&arm(&emulator), "Subscription_Delete"), 1);
}

#[tokio::test]
async fn throttling_and_faults_are_waited_out() {
    let emulator = emulator(World { arm_refill: 100, ..World::default() });
    fill(emulator.store(), 20, 20);
    emulator.faults().add(fault("Subscription_List", 1, status(429, "0")));
    emulator.faults().add(fault("Subscription_Get", 1, status(503, "0")));
    emulator.faults().add(fault("Subscription_Delete", 2, status(429, "1")));
    let reaper = reaper(&emulator, 100);
    let found = reaper.list().await.unwrap();
    let started = Instant::now();
    // Lost after it was done: it is gone when it is looked at again.
    emulator
        .faults()
        .add(Fault { after: true, ..fault("Subscription_Delete", 1, Action::Simple(Simple::Reset)) });
    reaper.delete(found).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "it was told to come again in a second");
    let tally = reaper.tally();
    assert_eq!((tally.deleted, tally.gone, tally.left(), tally.throttled), (19, 1, 0, 3));
    assert_eq!(contents(emulator.store()).len(), 20);
}

#[tokio::test]
async fn half_a_list_is_none() {
    let emulator = emulator(World { arm_refill: 100, ..World::default() });
    fill(emulator.store(), 200, 0);
    let reaper = reaper(&emulator, 100);
    emulator.faults().add(fault("Subscription_List", 1, Action::Simple(Simple::Garbage)));
    assert_eq!(reaper.list().await.unwrap().len(), 200, "a second try");
    let role = World {
        role_actions: vec!["Microsoft.ApiManagement/service/products/*".to_owned()],
        ..World::default()
    };
    let emulator = self::emulator(role);
    let error = self::reaper(&emulator, 1).list().await.unwrap_err();
    assert_eq!(error.exit_code(), 77, "{error}");
    assert!(
        error.to_string().contains("Microsoft.ApiManagement/service/subscriptions/read is missing"),
        "{error}"
    );
}

/// The policy's fragment, as the emulated gateway honours it, agrees with what is deleted, but for the grace.
#[tokio::test]
async fn the_gateway_refuses_the_keys_of_the_dead_and_nobody_elses() {
    let emulator = emulator(World::default());
    let now = clock::now();
    let client = support::client(&emulator.ready().ca_file);
    let dead = DEAD.iter().chain([&Made::InGrace]).map(|made| (*made, 401));
    let kept = KEPT.iter().filter(|made| !matches!(made, Made::InGrace)).map(|made| (*made, 200));
    for (n, (made, expected)) in dead.chain(kept).enumerate() {
        let sid = put(emulator.store(), made, n, now);
        let request = ::http::Request::get(format!("{}/echo", emulator.ready().gateway))
            .header("Ocp-Apim-Subscription-Key", format!("primary-{n}"))
            .body(bytes::Bytes::new())
            .unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(
            answer.status(),
            expected,
            "{sid}: {:?}",
            emulator.store().get(&sid).unwrap().display_name
        );
        if expected == 401 {
            assert_eq!(answer.body().len(), 143, "the gateway's own words");
        }
    }
}

#[tokio::test]
async fn a_list_that_leads_elsewhere_is_not_followed_and_nothing_is_deleted() {
    let emulator = emulator(World::default());
    fill(emulator.store(), 3, 0);
    let ready = emulator.ready();
    let list = format!("{}/subscriptions?api-version=2024-05-01", service_id(&emulator));
    for elsewhere in [format!("{}{list}", ready.key_vault), format!("{}/metadata/endpoints", ready.arm)] {
        let body = serde_json::json!({"value": [], "count": 3, "nextLink": elsewhere}).to_string();
        let page = Status { status: 200, headers: BTreeMap::new(), body };
        emulator.faults().add(fault("Subscription_List", 4, Action::Status(page)));
        let error = reaper(&emulator, 1).pausing(Duration::ZERO).list().await.unwrap_err();
        assert_eq!(error.exit_code(), 69);
        assert!(error.what.contains("another place"), "{error}");
        emulator.faults().clear();
    }
    let rows = emulator.journal().rows();
    let arm = rows.iter().filter(|row| row.service == "arm");
    assert!(arm.clone().all(|row| row.operation == Some("Subscription_List")));
    assert!(arm.count() >= 2 && !rows.iter().any(|row| row.service == "key_vault"));
}

#[tokio::test]
async fn an_arm_that_is_out_of_order_is_left_alone() {
    let emulator = emulator(World { arm_refill: 100, ..World::default() });
    fill(emulator.store(), 200, 0);
    let reaper = reaper(&emulator, 100).pausing(Duration::ZERO);
    let found = reaper.list().await.unwrap();
    emulator.faults().add(fault("Subscription_Delete", u32::MAX, status(503, "0")));
    let error = reaper.delete(found).await.unwrap_err();
    assert_eq!(error.exit_code(), 69, "{error}");
    let tally = reaper.tally();
    assert_eq!((tally.deleted, tally.left()), (0, 200));
    let tried = count(&arm(&emulator), "Subscription_Delete");
    assert!(
        (24..=160).contains(&tried),
        "neither given up at the first nor tried for all, but {tried} times"
    );
    // One that fails by itself stops nothing.
    emulator.faults().clear();
    let reaper = self::reaper(&emulator, 100).pausing(Duration::ZERO);
    let found = reaper.list().await.unwrap();
    let body = r#"{"error": {"code": "ValidationError", "message": "no"}}"#.to_owned();
    let odd = Status { status: 400, headers: BTreeMap::new(), body };
    emulator.faults().add(fault("Subscription_Delete", 1, Action::Status(odd)));
    reaper.delete(found).await.unwrap();
    let tally = reaper.tally();
    assert_eq!((tally.deleted, tally.failed, tally.left()), (199, 1, 1));
    assert!(tally.first_failure.unwrap().to_string().contains("ValidationError"));
}

/// The real command.
fn command(emulator: &Emulator, home: &Path, arguments: &[&str]) -> Command {
    let mut command = bare(home);
    command.args(["reap", "--service", &service_id(emulator)]).args(arguments);
    for (key, value) in settings(emulator) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command
}

/// Its exit code, and what it printed on standard output and standard error.
fn output(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_says_what_it_would_do_does_it_and_has_nothing_to_do_then() {
    let emulator = emulator(World::default());
    let home = tempfile::tempdir().unwrap();
    let stay = fill(emulator.store(), 6, 14);

    let (code, told, _) = output(command(&emulator, home.path(), &["--dry-run"]));
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.matches("\ndead ").count() + 1, 6, "{told}");
    assert!(told.contains(", over for 2 h\n") && told.contains("this was a dry run"), "{told}");
    assert_eq!(contents(emulator.store()).len(), 20);
    let (code, told, _) =
        output(command(&emulator, home.path(), &["--dry-run", "--json", "--grace", "100h"]));
    let json: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &json["dead"], &json["would_delete"]), (Some(0), &0.into(), &Value::Array(Vec::new())));

    let (code, told, log) = output(command(&emulator, home.path(), &["--json"]));
    let json: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(code, Some(0), "{log}");
    // ARM leaves out the two that have no workspace's id; four more are told apart here.
    for (key, value) in
        [("listed", 18), ("dead", 6), ("deleted", 6), ("left", 0), ("foreign", 4), ("alive", 8)]
    {
        assert_eq!(json[key], value, "{key} in {json}");
    }
    let after = contents(emulator.store());
    assert!(after.len() == 14 && stay.iter().all(|sid| after.contains_key(sid)));

    let (code, told, _) = output(command(&emulator, home.path(), &[]));
    assert_eq!(code, Some(0));
    assert!(told.contains("0 past their end") && told.contains("\ndeleted    0 in 0 s\n"), "{told}");
}

#[test]
fn a_signal_ends_it_after_what_is_under_way_and_the_next_run_goes_on() {
    let emulator = emulator(World::default());
    let home = tempfile::tempdir().unwrap();
    fill(emulator.store(), 60, 40);
    emulator.faults().add(fault("Subscription_Delete", 8, Action::Simple(Simple::Hold)));
    let process = Process::start(&mut command(&emulator, home.path(), &["--set", "request_timeout=2m"]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(arrived(&emulator, "Subscription_Delete", 8));
    process.signal(Signal::SIGINT);
    process.wait_for("stopping after the requests that are under way");
    emulator.faults().release();
    let (status, told) = process.finish();
    assert_eq!(status.code(), Some(75), "{told}");
    assert!(told.contains("deleted    8 in") && told.contains("left       52\n"), "{told}");
    assert_eq!(contents(emulator.store()).len(), 92);

    let (code, told, _) = output(command(&emulator, home.path(), &[]));
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(contents(emulator.store()).len(), 40);
}

#[test]
fn rights_and_configuration_are_told_apart() {
    let role =
        ["read", "write"].map(|right| format!("Microsoft.ApiManagement/service/subscriptions/{right}"));
    let emulator = emulator(World { role_actions: role.to_vec(), ..World::default() });
    let home = tempfile::tempdir().unwrap();
    fill(emulator.store(), 40, 0);
    let (code, told, log) = output(command(&emulator, home.path(), &[]));
    assert_eq!(code, Some(77), "{told}{log}");
    assert!(log.contains("Microsoft.ApiManagement/service/subscriptions/delete is missing"), "{log}");
    assert!(told.contains("left       40\n"), "{told}");
    assert!(
        count(&arm(&emulator), "Subscription_Delete") <= 8,
        "what meets all of them is not tried 40 times"
    );

    let mut bare = bare(home.path());
    bare.args(["reap", "--service", &service_id(&emulator)]);
    let (code, _, log) = output(bare);
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("entra.tenant_id") && !log.contains("gateway.url"), "{log}");
    for arguments in [&["reap"][..], &["reap", "--service", "contoso"]] {
        let mut command = support::bare(home.path());
        command.args(arguments);
        assert_eq!(output(command).0, Some(64), "{arguments:?}");
    }
}
