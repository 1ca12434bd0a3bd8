//! Whatever ARM answers and whenever a call is cut short: what exists has been announced.

use super::*;
use crate::lease::fake::{FakeArm, FakeExchange, Turn};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tokio::time::timeout;

/// What has been announced and not ended, beside the ARM that it is about.
struct Announced {
    arm: FakeArm,
    open: Mutex<BTreeSet<String>>,
    refuses: bool,
}

#[async_trait]
impl Announce for Announced {
    async fn minting(&self, what: Mint<'_>) -> Result<()> {
        if self.refuses {
            return Err(Error::new(Class::Unavailable, "no room"));
        }
        let Mint::Subscription(sid) = what else { panic!("it mints nothing else") };
        self.open.lock().unwrap().insert(sid.to_owned());
        Ok(())
    }

    fn ended(&self, what: Mint<'_>) {
        let Mint::Subscription(sid) = what else { panic!("it mints nothing else") };
        assert!(self.arm.world().subscription.is_none(), "{sid} exists");
        self.open.lock().unwrap().remove(sid);
    }
}

fn stage(refuses: bool) -> (FakeArm, Arc<Announced>, SubscriptionKey) {
    let arm = FakeArm::default();
    let announced = Arc::new(Announced { arm: arm.clone(), open: Mutex::default(), refuses });
    let wanted = Wanted {
        scope: "/products/starter".to_owned(),
        name: "key".to_owned(),
        workspace: "w".to_owned(),
        lifetime: Duration::from_hours(1),
    };
    let lessor = SubscriptionKey::new(arm.client(&Arc::<FakeExchange>::default()), None, wanted);
    (arm, Arc::clone(&announced), lessor.announced(announced))
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => Just(Turn::Fine),
        1 => Just(Turn::Refuse(500, "InternalServerError", vec![])),
        1 => Just(Turn::Refuse(403, "AuthorizationFailed", vec![])),
        1 => Just(Turn::Refuse(412, "PreconditionFailed", vec![])),
        2 => Just(Turn::Lost),
        2 => Just(Turn::Hang),
        1 => Just(Turn::DeletedBefore),
    ];
    proptest::collection::vec(turn, 0..40)
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Issue,
    Retire,
    Release,
    /// A release begins while a create is under way.
    Overtake,
}

/// Goes through these calls with an ARM of these turns, on a clock that nobody waits for.
fn play(turns: Vec<Turn>, calls: Vec<Call>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (arm, announced, lessor) = stage(false);
        arm.script(turns);
        let patience = Duration::from_mins(1);
        let issue = async || {
            // One that takes too long is dropped where it stands.
            if let Ok(Ok(lease)) = timeout(patience, lessor.issue()).await {
                let _ = lessor.probe(&lease).await;
            }
        };
        for call in calls {
            match call {
                Call::Issue => issue().await,
                Call::Retire => drop(timeout(patience, lessor.retire()).await),
                Call::Release => drop(timeout(patience, lessor.release()).await),
                Call::Overtake => {
                    tokio::join!(issue(), async { drop(timeout(patience, lessor.release()).await) });
                }
            }
            let open = announced.open.lock().unwrap().clone();
            assert!(arm.world().subscription.is_none() || open.len() == 1, "after {call:?}: {open:?}");
        }
        // With an ARM that is well again, nothing is left of either.
        arm.world().script.clear();
        lessor.release().await.unwrap();
        assert!(arm.world().subscription.is_none());
        let sid = announced.open.lock().unwrap().clone();
        assert!(sid.is_empty(), "{sid:?} does not exist");
    });
}

proptest! {
    #[test]
    fn what_exists_has_been_announced(
        turns in turns(),
        calls in proptest::collection::vec(
            prop_oneof![3 => Just(Call::Issue), 1 => Just(Call::Retire), 2 => Just(Call::Release), 1 => Just(Call::Overtake)],
            0..20,
        ),
    ) {
        play(turns, calls);
    }
}

/// What the property once found: the record of a create that was overtaken by a release had been forgotten.
#[test]
fn a_release_overtakes_a_create_that_hangs() {
    let turns = vec![
        Turn::Refuse(500, "InternalServerError", vec![]),
        Turn::Fine,
        Turn::Lost,
        Turn::Lost,
        Turn::Fine,
        Turn::Hang,
        Turn::DeletedBefore,
    ];
    play(turns, vec![Call::Issue, Call::Release, Call::Issue, Call::Issue, Call::Release, Call::Overtake]);
}

#[tokio::test]
async fn what_cannot_be_announced_is_not_minted() {
    let (arm, _, lessor) = stage(true);
    assert_eq!(lessor.issue().await.map(drop).unwrap_err().class, Class::Unavailable);
    assert!(arm.world().seen.is_empty());
    assert_eq!(lessor.release().await.unwrap(), Released::Nothing);
}

#[tokio::test]
async fn what_another_process_has_announced_is_released() {
    let (arm, _, lessor) = stage(false);
    lessor.issue().await.unwrap();
    let sid = lessor.record().sid().unwrap().to_owned();
    let exchange = Arc::<FakeExchange>::default();
    let wanted = lessor.wanted.clone();
    let other = SubscriptionKey::new(arm.client(&exchange), None, wanted);
    other.adopt(&sid);
    assert_eq!(other.release().await.unwrap(), Released::Revoked);
    assert!(arm.world().subscription.is_none());
    assert_eq!(exchange.count(), 1, "with an identity of its own");
}
