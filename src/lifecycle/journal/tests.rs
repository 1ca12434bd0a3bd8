use super::*;
use crate::{
    clock,
    config::{self, Choice, Env, Inputs},
    error::{Class, Error},
    lease::announce::Mint,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const CONFIG: &str = r#"
workspace = "w"
ca_file = "ca.pem"
request_timeout = "7s"
[identity]
source = "command"
command = ["id", "--audience", "{audience}"]
[identities.person]
source = "device-code"
tenant_id = "fabrikam.onmicrosoft.com"
[entra]
tenant_id = "contoso.onmicrosoft.com"
client_id = "00000000-0000-0000-0000-000000000001"
[exchanges.own]
kind = "on-behalf-of"
identity = "person"
tenant_id = "fabrikam.onmicrosoft.us"
client_id = "00000000-0000-0000-0000-000000000002"
cloud = "us-government"
assertion_scope = "api://us/access"
[exchanges.sts]
kind = "token-exchange"
subject_audience = "api://sts"
token_endpoint = "https://sts.example/token"
revocation_endpoint = "https://sts.example/revoke"
[gateway]
url = "https://one.example"
service = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ApiManagement/service/one"
[gateways.two]
url = "https://two.example/base"
service = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ApiManagement/service/two"
[credentials.a]
kind = "subscription-key"
scope = "/products/a"
env = "A"
[credentials.b]
kind = "subscription-key"
scope = "/products/b"
env = "B"
gateway = "two"
exchange = "own"
[credentials.c]
kind = "brokered"
exchange = "sts"
env = "C"
"#;

fn config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apim-agent.toml");
    fs::write(&file, CONFIG).unwrap();
    let env = Env::default();
    let inputs = Inputs {
        file: Choice::Usual(Some(&file)),
        env: &env,
        flags: &[],
        folder: folder.path(),
        host_name: "host",
    };
    config::load(&inputs).unwrap_or_else(|error| panic!("{error}"))
}

/// A runtime directory, and its journal.
struct Place {
    ram: TempDir,
    directory: Arc<RuntimeDir>,
}

impl Place {
    fn new() -> Self {
        let ram = tempfile::tempdir_in("/dev/shm").unwrap();
        let directory = Arc::new(RuntimeDir::open(Some(ram.path()), None, "w").unwrap());
        Self { ram, directory }
    }

    fn journal(&self) -> Result<Arc<Journal>> {
        Journal::open(&self.directory).map(Arc::new)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// The next process.
    fn again(self) -> Self {
        let Self { ram, directory } = self;
        drop(directory);
        let directory = Arc::new(RuntimeDir::open(Some(ram.path()), None, "w").unwrap());
        Self { ram, directory }
    }
}

/// The ids of the subscriptions among them.
fn sids(records: &[Record]) -> Vec<&str> {
    fn sid(record: &Record) -> Option<&str> {
        match &record.what {
            What::SubscriptionKey { sid } => Some(sid),
            What::Tokens { .. } => None,
        }
    }
    records.iter().filter_map(sid).collect()
}

fn transient() -> Error {
    Error::new(Class::Unavailable, "ARM is down")
}

#[test]
fn settings_lead_back_to_the_same_service_and_identity() {
    let config = config();
    for credential in &config.credentials[..2] {
        let settings = settings::of(&config, credential);
        let again = settings::load(&settings).unwrap_or_else(|error| panic!("{error}"));
        let [there] = &again.credentials[..] else { panic!("{:?}", again.credentials) };
        let of = |config: &Config, credential: &Credential| {
            let exchange = config.exchanges[credential.target.exchange().unwrap()].clone();
            let names = crate::lifecycle::change::identities(config, credential);
            let identities: Vec<_> = names.iter().map(|name| config.identities[*name].clone()).collect();
            let gateway = config.gateways[&credential.gateway].clone();
            (exchange, identities, gateway, config.workspace.clone(), config.ca_file.clone())
        };
        assert_eq!(of(&again, there), of(&config, credential), "{settings:#?}");
        assert_eq!(again.request_timeout, Duration::from_secs(7));
        assert_eq!(settings::of(&again, there), settings, "and once more");
    }
    assert!(settings::of(&config, &config.credentials[2]).is_empty(), "nobody can do anything with them");
}

#[test]
fn the_same_subscription_at_another_service_is_another_one() {
    let config = config();
    let record = |at: usize, sid: &str| Record {
        credential: config.credentials[at].name.clone(),
        what: What::SubscriptionKey { sid: sid.to_owned() },
        since: clock::rfc3339(clock::from_unix(1)),
        settings: settings::of(&config, &config.credentials[at]),
    };
    assert_eq!(record(0, "ws-1").target(), record(0, "WS-1").target());
    assert_ne!(record(0, "ws-1").target(), record(1, "ws-1").target());
    assert_ne!(record(0, "ws-1").target(), record(0, "ws-2").target());
}

#[tokio::test]
async fn what_is_minted_is_in_the_file_before_and_gone_after() {
    let place = Place::new();
    let (config, journal) = (config(), place.journal().unwrap());
    assert!(!place.file().exists(), "no file without a record");
    let [a, _, c] = [0, 1, 2].map(|at| journal.entry(&config, &config.credentials[at]));
    a.minting(Mint::Subscription("ws-1")).await.unwrap();
    c.minting(Mint::Tokens { until: None }).await.unwrap();
    let stat = fs::metadata(place.file()).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.nlink()), (0o600, 1));
    let inode = stat.ino();
    a.minting(Mint::Subscription("ws-1")).await.unwrap();
    assert_eq!(fs::metadata(place.file()).unwrap().ino(), inode, "no news, no write");
    c.minting(Mint::Tokens { until: Some(clock::from_unix(1_795_528_800)) }).await.unwrap();

    let read = format::read(&fs::read(place.file()).unwrap()).unwrap();
    assert!(!read.torn);
    assert_eq!(sids(&read.records), ["ws-1"]);
    let until = Some("2026-11-24T14:00:00Z".to_owned());
    assert_eq!(read.records[1].what, What::Tokens { until });
    assert!(journal.left().is_empty(), "they are ours");

    a.ended(Mint::Subscription("ws-1"));
    c.ended(Mint::Tokens { until: None });
    assert!(!place.file().exists());
    place.directory.remove().unwrap();
    assert!(fs::read_dir(place.ram.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn the_next_process_finds_it_and_forgets_it_only_when_it_is_released() {
    let place = Place::new();
    let (config, journal) = (config(), place.journal().unwrap());
    let [a, b] = [0, 1].map(|at| journal.entry(&config, &config.credentials[at]));
    a.minting(Mint::Subscription("ws-1")).await.unwrap();
    b.minting(Mint::Subscription("ws-2")).await.unwrap();
    fs::write(place.directory.path().join("env"), "KEY=secret").unwrap();
    drop((a, b, journal));

    let place = place.again();
    assert!(!place.directory.path().join("env").exists(), "values are wiped");
    let journal = place.journal().unwrap();
    assert_eq!(sids(&journal.left()), ["ws-1", "ws-2"]);
    let outcomes = journal
        .release_left(
            async |record| if record.credential == "a" { Err(transient()) } else { Ok(Released::Revoked) },
        )
        .await;
    assert_eq!(outcomes.iter().map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>(), [false, true]);
    place.directory.remove().unwrap();
    drop(journal);

    let place = place.again();
    let journal = place.journal().unwrap();
    assert_eq!(sids(&journal.left()), ["ws-1"]);
    // Its successor takes the same name, so it is not a predecessor's any more.
    let a = journal.entry(&config, &config.credentials[0]);
    a.minting(Mint::Subscription("ws-1")).await.unwrap();
    assert!(journal.left().is_empty());
    assert!(journal.release_left(async |_| unreachable!("it is in use")).await.is_empty());
    assert_eq!(sids(&journal.records()), ["ws-1"]);
}

#[tokio::test]
async fn nothing_is_minted_under_a_name_that_is_being_released() {
    let place = Place::new();
    let (config, journal) = (config(), place.journal().unwrap());
    journal.entry(&config, &config.credentials[0]).minting(Mint::Subscription("ws-1")).await.unwrap();
    drop(journal);
    let place = place.again();
    let journal = place.journal().unwrap();
    let a = journal.entry(&config, &config.credentials[0]);
    let order = Mutex::new(Vec::new());
    let note = |what| order.lock().unwrap().push(what);
    let release = journal.release_left(async |_| {
        note("delete begins");
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        note("delete ends");
        Ok(Released::Revoked)
    });
    let mint = async {
        a.minting(Mint::Subscription("ws-1")).await.unwrap();
        note("put");
    };
    tokio::join!(release, mint);
    assert_eq!(*order.lock().unwrap(), ["delete begins", "delete ends", "put"]);
    assert_eq!(sids(&journal.records()), ["ws-1"]);
    assert!(place.file().exists(), "what was minted then is written down");
}

#[tokio::test]
async fn a_release_that_is_called_off_has_not_happened() {
    let place = Place::new();
    let (config, journal) = (config(), place.journal().unwrap());
    journal.entry(&config, &config.credentials[0]).minting(Mint::Subscription("ws-1")).await.unwrap();
    drop(journal);
    let place = place.again();
    let journal = place.journal().unwrap();
    {
        let mut release = std::pin::pin!(journal.release_left(async |_| std::future::pending().await));
        assert!(futures_util::poll!(&mut release).is_pending());
    }
    assert_eq!(journal.release_left(async |_| Err(transient())).await.len(), 1, "it can be tried again");
}

#[tokio::test]
async fn a_journal_in_another_place_is_taken_along() {
    let xdg = tempfile::tempdir_in("/dev/shm").unwrap();
    let workspace = xdg.path().file_name().unwrap().to_str().unwrap().to_owned();
    let config = config();
    let open = |xdg: Option<&Path>| Arc::new(RuntimeDir::open(None, xdg, &workspace).unwrap());
    // Without the variable it is in one of the other places.
    let elsewhere = open(None);
    let journal = Arc::new(Journal::open(&elsewhere).unwrap());
    journal.entry(&config, &config.credentials[0]).minting(Mint::Subscription("ws-1")).await.unwrap();
    drop(journal);
    let before = elsewhere.path().to_owned();
    drop(elsewhere);

    let directory = open(Some(xdg.path()));
    assert_eq!(directory.inherited().len(), 1);
    let journal = Journal::open(&directory).unwrap();
    assert_eq!(sids(&journal.left()), ["ws-1"]);
    assert!(directory.path().starts_with(xdg.path()) && directory.path().join("journal").exists());
    assert!(!before.exists());
}

/// Puts something in the journal's place, given a good journal's text.
type Plant = fn(&Path, &str);

#[test]
fn what_is_not_our_own_file_is_refused_and_kept() {
    let text = format::write(&[]).unwrap();
    let plants: [(&str, Plant); 6] = [
        ("symbolic link", |path, _| symlink("/etc/passwd", path).unwrap()),
        ("0640", |path, text| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        }),
        ("second name", |path, text| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::hard_link(path, path.with_file_name("other")).unwrap();
        }),
        ("not a file", |path, _| fs::create_dir(path).unwrap()),
        ("version 2", |path, text| {
            fs::write(path, text.replace("\"version\":1", "\"version\":2")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("line 2", |path, text| {
            fs::write(path, format!("{text}{{\"credential\":\"sec ret\"}}\n")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }),
    ];
    for (what, plant) in plants {
        let place = Place::new();
        plant(&place.file(), &text);
        let Err(error) = place.journal() else { panic!("{what} is taken") };
        assert_eq!(error.exit_code(), 75);
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(!error.to_string().contains("sec ret") && error.fix.is_some(), "{error}");
        place.directory.remove().unwrap();
        assert!(place.file().symlink_metadata().is_ok(), "{what} is kept");
    }
}

#[tokio::test]
async fn without_room_for_the_journal_nothing_is_minted() {
    let place = Place::new();
    let (config, journal) = (config(), place.journal().unwrap());
    let a = journal.entry(&config, &config.credentials[0]);
    // What stands in the way of the temporary file stands in for a full file system.
    fs::create_dir(place.directory.path().join(".journal")).unwrap();
    let error = a.minting(Mint::Subscription("ws-1")).await.unwrap_err();
    assert_eq!(error.class, Class::Unavailable);
    assert!(journal.records().is_empty(), "and nothing is believed to be there");
    fs::remove_dir(place.directory.path().join(".journal")).unwrap();
    a.minting(Mint::Subscription("ws-1")).await.unwrap();
}

fn record(number: u8) -> Record {
    Record {
        credential: format!("c{number}"),
        what: What::SubscriptionKey { sid: format!("ws-{number}") },
        since: clock::rfc3339(clock::from_unix(number.into())),
        settings: BTreeMap::from([("gateway.service".to_owned(), format!("/s/{}\n\"", number % 3))]),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_a_cut_costs_the_last_line_at_most(
        numbers in proptest::collection::vec(any::<u8>(), 0..6), cut in any::<prop::sample::Index>(),
    ) {
        let records: Vec<_> = numbers.into_iter().map(record).collect();
        let text = format::write(&records).unwrap();
        prop_assert_eq!(format::read(text.as_bytes()).unwrap(), format::Read { records: records.clone(), torn: false });
        let cut = cut.index(text.len());
        let whole = text[..cut].matches('\n').count();
        let read = format::read(&text.as_bytes()[..cut]).unwrap();
        prop_assert_eq!(&read.records[..], &records[..whole.saturating_sub(1)]);
        prop_assert_eq!(read.torn, !text[..cut].is_empty() && !text[..cut].ends_with('\n'));
    }

    #[test]
    fn whatever_stands_there_is_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = format::read(&text) {
            prop_assert_eq!(error.exit_code(), 75);
        }
    }

    /// A service, and agents that are killed between any two steps: a request that was sent arrives, or does not.
    #[test]
    fn at_every_moment_all_that_exists_is_written_down(
        steps in proptest::collection::vec((0u8..4, 0u8..6, any::<bool>()), 0..60),
    ) {
        let mut exists: BTreeSet<String> = BTreeSet::new();
        let mut book = Book::default();
        // What a process that dies here leaves on the file system.
        let mut file = format::write(&[]).unwrap();
        for (number, step, arrives) in steps {
            let record = record(number);
            let target = record.target();
            match step {
                0 | 1 => {
                    if book.state(&target) != Some(State::Claimed) {
                        book.minting(record);
                        file = format::write(&book.records()).unwrap();
                        if arrives { exists.insert(target); }
                    }
                }
                2 => if book.state(&target) == Some(State::Ours) {
                    if arrives {
                        exists.remove(&target);
                        book.ended(&target);
                    }
                    file = format::write(&book.records()).unwrap();
                }
                3 => for claimed in book.claim() {
                    if arrives {
                        exists.remove(&claimed.target());
                        book.ended(&claimed.target());
                        file = format::write(&book.records()).unwrap();
                    }
                    book.unclaim(&claimed.target());
                }
                4 => book.unclaim(&target),
                _ => book = Book::new(format::read(file.as_bytes()).unwrap().records),
            }
            let known: BTreeSet<_> =
                format::read(file.as_bytes()).unwrap().records.iter().map(Record::target).collect();
            prop_assert!(exists.is_subset(&known), "{exists:?} of which the file knows {known:?}");
        }
    }
}
