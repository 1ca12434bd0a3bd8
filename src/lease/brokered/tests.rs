use super::*;
use crate::{
    exchange::AccessToken,
    http::testing::{Reply, Server},
    identity::{Actor, Subject, claims::Claims},
};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};
use tokio::sync::Semaphore;

/// A broker that remembers what is good, and does as it is told.
struct Broker {
    state: Mutex<State>,
    /// A permit for each answer.
    gate: Semaphore,
}

struct State {
    issued: usize,
    live: BTreeSet<String>,
    /// How many of the next revocations fail.
    failing: usize,
    bearer: bool,
    life: Duration,
    same: bool,
}

impl Broker {
    fn new() -> Arc<Self> {
        let state = State {
            issued: 0,
            live: BTreeSet::new(),
            failing: 0,
            bearer: true,
            life: Duration::from_hours(1),
            same: false,
        };
        Arc::new(Self { state: Mutex::new(state), gate: Semaphore::new(Semaphore::MAX_PERMITS) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn live(&self) -> Vec<String> {
        self.state().live.iter().cloned().collect()
    }

    fn lessor(self: &Arc<Self>, revokes: bool, probe: Option<Probe>) -> Brokered {
        Brokered::new(Arc::clone(self) as Arc<dyn Exchange>, Some("orders"), revokes, probe)
    }
}

#[async_trait]
impl Exchange for Broker {
    async fn exchange(&self, scope: Option<&str>) -> Result<AccessToken> {
        assert_eq!(scope, Some("orders"));
        let (token, bearer, life) = {
            let mut state = self.state();
            state.issued += 1;
            let token = if state.same { "token-0".to_owned() } else { format!("token-{}", state.issued) };
            state.live.insert(token.clone());
            (token, state.bearer, state.life)
        };
        // The token exists; its answer is on the way.
        self.gate.acquire().await.unwrap().forget();
        let expires_at = clock::now() + life;
        let claims = Claims {
            iss: "i".to_owned(),
            sub: "s".to_owned(),
            aud: Vec::new(),
            exp: expires_at,
            workspace: None,
            user: None,
        };
        let subject = Subject { source: "told", actor: Actor::Workspace, claims };
        Ok(AccessToken { token: Secret::new(token), bearer, expires_at, refresh_at: None, subject })
    }

    async fn revoke(&self, token: &Secret) -> Result<bool> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.failing > 0 {
            state.failing -= 1;
            return Err(Error::new(Class::Unavailable, "the broker does not answer"));
        }
        // One that is not known is fine (RFC 7009, 2.2).
        state.live.remove(token.expose());
        Ok(true)
    }
}

async fn accepted(lessor: &Brokered) -> Lease {
    let lease = lessor.issue().await.unwrap();
    lessor.probe(&lease).await.unwrap();
    lease
}

#[tokio::test]
async fn the_one_before_ends_with_the_grace_and_the_last_at_the_end() {
    let broker = Broker::new();
    let lessor = broker.lessor(true, None);
    assert!(lessor.retires());
    assert_eq!(lessor.release().await.unwrap(), Released::Nothing);
    accepted(&lessor).await;
    lessor.retire().await.unwrap();
    assert_eq!(broker.live(), ["token-1"], "the current one is nobody's predecessor");
    let second = accepted(&lessor).await;
    assert_eq!(broker.live(), ["token-1", "token-2"], "both are good during the grace");
    lessor.retire().await.unwrap();
    assert_eq!(broker.live(), [second.text().unwrap().expose()]);
    assert_eq!(lessor.release().await.unwrap(), Released::Revoked);
    assert!(broker.live().is_empty());
    assert_eq!(lessor.release().await.unwrap(), Released::Revoked, "again, with nothing left to do");
}

#[tokio::test]
async fn a_token_that_was_never_accepted_does_not_outlive_a_retirement_and_spares_the_current_one() {
    let broker = Broker::new();
    let lessor = broker.lessor(true, None);
    lessor.issue().await.unwrap();
    lessor.retire().await.unwrap();
    assert_eq!(broker.live(), ["token-1"], "it may be about to be asked about");
    accepted(&lessor).await;
    lessor.issue().await.unwrap();
    lessor.retire().await.unwrap();
    assert_eq!(broker.live(), ["token-2"]);
}

#[tokio::test]
async fn what_could_not_be_revoked_is_revoked_by_the_next_call() {
    let broker = Broker::new();
    let lessor = broker.lessor(true, None);
    for _ in 0..3 {
        accepted(&lessor).await;
    }
    broker.state().failing = 1;
    assert_eq!(lessor.retire().await.unwrap_err().class, Class::Unavailable);
    assert_eq!(broker.live().len(), 2, "one failure keeps nobody else waiting");
    broker.state().failing = 1;
    assert!(lessor.release().await.is_err());
    assert_eq!(lessor.release().await.unwrap(), Released::Revoked);
    assert!(broker.live().is_empty());
}

#[tokio::test]
async fn a_token_that_comes_after_a_release_is_revoked_by_the_next_one() {
    let broker = Broker::new();
    broker.gate.forget_permits(Semaphore::MAX_PERMITS);
    let lessor = broker.lessor(true, None);
    let (issued, ()) = tokio::join!(lessor.issue(), async {
        while broker.state().issued == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lessor.release().await.unwrap(), Released::Nothing, "it is not known of yet");
        broker.gate.add_permits(1);
    });
    drop(issued.unwrap());
    assert_eq!(broker.live().len(), 1);
    assert_eq!(lessor.release().await.unwrap(), Released::Revoked);
    assert!(broker.live().is_empty());
}

#[tokio::test]
async fn a_release_that_is_cut_short_is_gone_on_with() {
    let broker = Broker::new();
    let lessor = broker.lessor(true, None);
    accepted(&lessor).await;
    accepted(&lessor).await;
    {
        let mut release = Box::pin(lessor.release());
        // Both revocations are under way, and neither is done.
        assert!(futures_util::poll!(&mut release).is_pending());
    }
    assert_eq!(broker.live().len(), 2);
    assert_eq!(lessor.release().await.unwrap(), Released::Revoked);
    assert!(broker.live().is_empty());
}

#[tokio::test]
async fn an_exchange_that_cannot_revoke_lets_them_expire() {
    let broker = Broker::new();
    let lessor = broker.lessor(false, None);
    assert!(!lessor.retires());
    accepted(&lessor).await;
    accepted(&lessor).await;
    lessor.retire().await.unwrap();
    assert_eq!(lessor.release().await.unwrap(), Released::Expires);
    assert_eq!(broker.live().len(), 2);
    assert!(lessor.ledger().all().is_empty(), "and nothing of them is kept");
}

#[tokio::test]
async fn one_that_cannot_take_back_does_not_hand_out_without_end() {
    let broker = Broker::new();
    let lessor = broker.lessor(true, None);
    for _ in 0..MOST {
        lessor.issue().await.unwrap();
    }
    let error = lessor.issue().await.err().unwrap();
    assert_eq!(error.class, Class::TryAgain);
    assert_eq!(broker.state().issued, MOST);
    lessor.release().await.unwrap();
    assert!(broker.live().is_empty());
    assert!(lessor.issue().await.is_ok());
}

#[tokio::test]
async fn expired_tokens_make_room() {
    let broker = Broker::new();
    broker.state().life = Duration::ZERO;
    let lessor = broker.lessor(true, None);
    for _ in 0..=MOST {
        lessor.issue().await.unwrap();
    }
}

#[tokio::test]
async fn the_same_token_again_is_not_its_own_predecessor() {
    let broker = Broker::new();
    broker.state().same = true;
    let lessor = broker.lessor(true, None);
    accepted(&lessor).await;
    accepted(&lessor).await;
    lessor.retire().await.unwrap();
    assert_eq!(broker.live(), ["token-0"]);
    lessor.release().await.unwrap();
    assert!(broker.live().is_empty());
}

#[tokio::test]
async fn a_probe_presents_it_as_what_it_is() {
    let gateway = Server::start(|_, _| Reply::json(200, "{}")).await;
    let broker = Broker::new();
    let lessor = broker.lessor(true, Some(Probe::new(&gateway.url, "/echo", gateway.client())));
    let bearer = accepted(&lessor).await;
    broker.state().bearer = false;
    let key = accepted(&lessor).await;
    // The machine may ask about the first again while the second is there.
    lessor.probe(&bearer).await.unwrap();
    let sent: Vec<_> = gateway.seen().into_iter().map(|seen| seen.head).collect();
    let header = |name: &str, lease: &Lease| format!("{name}{}\r\n", lease.text().unwrap().expose());
    assert!(sent[0].contains(&header("authorization: Bearer ", &bearer)), "{}", sent[0]);
    assert!(sent[1].contains(&header("ocp-apim-subscription-key: ", &key)), "{}", sent[1]);
    assert!(!sent[1].contains("authorization"));
    assert!(sent[2].contains(&header("authorization: Bearer ", &bearer)), "{}", sent[2]);
}

#[tokio::test]
async fn a_refused_token_is_not_the_current_one() {
    let gateway = Server::start(|number, _| match number {
        1 => Reply::json(401, r#"{"statusCode":401,"message":"Invalid JWT."}"#),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let broker = Broker::new();
    let lessor = broker.lessor(true, Some(Probe::new(&gateway.url, "/echo", gateway.client())));
    accepted(&lessor).await;
    let refused = lessor.issue().await.unwrap();
    assert_eq!(lessor.probe(&refused).await.unwrap_err().class, Class::Denied);
    lessor.retire().await.unwrap();
    assert_eq!(broker.live(), ["token-1"]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Issue,
    Accept,
    Retire { failing: usize },
    Release { failing: usize },
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let step = prop_oneof![
        3 => Just(Step::Issue),
        3 => Just(Step::Accept),
        2 => (0_usize..3).prop_map(|failing| Step::Retire { failing }),
        1 => (0_usize..3).prop_map(|failing| Step::Release { failing }),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest::proptest! {
    /// Whatever happens in whatever order: what is good at the broker is known here, the current token is never ended
    /// before the end, and a release that succeeds leaves nothing.
    #[test]
    fn nothing_good_is_ever_forgotten(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let broker = Broker::new();
            let lessor = broker.lessor(true, None);
            let (mut last, mut current): (Option<Lease>, Option<String>) = (None, None);
            for step in steps {
                match step {
                    Step::Issue => last = lessor.issue().await.ok().or(last),
                    Step::Accept => {
                        if let Some(lease) = last.take() {
                            lessor.probe(&lease).await.unwrap();
                            current = Some(lease.text().unwrap().expose().to_owned());
                        }
                    }
                    // Not while somebody is being asked about: so calls the machine.
                    Step::Retire { failing } if last.is_none() => {
                        broker.state().failing = failing;
                        let retired = lessor.retire().await;
                        if retired.is_ok() && current.is_some() {
                            assert_eq!(broker.live(), Vec::from_iter(current.clone()));
                        }
                    }
                    Step::Retire { .. } => {}
                    Step::Release { failing } => {
                        broker.state().failing = failing;
                        (last, current) = (None, None);
                        if lessor.release().await.is_ok() {
                            assert!(broker.live().is_empty());
                        }
                    }
                }
                broker.state().failing = 0;
                let known: BTreeSet<_> = lessor.ledger().all().iter().map(|token| token.expose().to_owned()).collect();
                assert_eq!(known, broker.state().live);
                assert!(current.as_ref().is_none_or(|current| broker.state().live.contains(current)));
            }
        });
    }
}

#[test]
fn a_full_ledger_gives_up_only_what_has_expired() {
    let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    let mut ledger = Ledger::default();
    for number in 0..MOST {
        assert!(ledger.has_room(at(50)));
        ledger.issued(Secret::new(number.to_string()), true, at(100 + number as u64), true);
    }
    assert!(!ledger.has_room(at(99)));
    assert_eq!(ledger.all().len(), MOST);
    assert!(ledger.has_room(at(101)));
    assert_eq!(ledger.all().len(), MOST - 2);
}

/// What was announced, in order; `-` is the end.
#[derive(Default)]
struct Announced(Mutex<Vec<String>>);

#[async_trait]
impl Announce for Announced {
    async fn minting(&self, what: Mint<'_>) -> Result<()> {
        let Mint::Tokens { until } = what else { panic!("it mints nothing else") };
        self.0.lock().unwrap().push(until.map_or("?".to_owned(), |_| "until".to_owned()));
        Ok(())
    }

    fn ended(&self, _: Mint<'_>) {
        self.0.lock().unwrap().push("-".to_owned());
    }
}

#[tokio::test]
async fn that_tokens_are_out_is_announced_before_the_first_and_until_the_last() {
    let (broker, announced) = (Broker::new(), Arc::new(Announced::default()));
    let lessor = broker.lessor(true, None).announced(Arc::clone(&announced) as Arc<dyn Announce>);
    let order = || announced.0.lock().unwrap().clone();
    accepted(&lessor).await;
    assert_eq!(order(), ["?", "until"]);
    accepted(&lessor).await;
    lessor.retire().await.unwrap();
    assert_eq!(order(), ["?", "until", "?", "until"], "one is out still");
    broker.state().failing = 1;
    lessor.release().await.unwrap_err();
    assert_eq!(order().len(), 4);
    lessor.release().await.unwrap();
    assert_eq!(order().last().unwrap(), "-");

    // What can only expire is nothing to be released, so nobody is told of it.
    let announced = Arc::new(Announced::default());
    let lessor = broker.lessor(false, None).announced(Arc::clone(&announced) as Arc<dyn Announce>);
    accepted(&lessor).await;
    lessor.release().await.unwrap();
    assert!(announced.0.lock().unwrap().is_empty());
}
