//! Releases what the journal lists, with a fresh identity and without the configuration that it was minted by.

use super::{Watch, wiring::Wiring};
use crate::{
    clock,
    error::{Error, Result},
    exchange::AccessToken,
    identity::{
        prompt::{Person, Prompt},
        select::Lookup,
    },
    lease::Released,
    lifecycle::{
        driver::{Notice, View},
        journal::{Journal, Record, What, settings},
    },
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};

/// The pause after a first failure; doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of one record: told as it happens, a failure each time that it is another one.
pub type Told<'a> = &'a (dyn Fn(&Record, &Result<Released>) + Sync);

/// Releases all that a predecessor left. What waiting may mend is tried again until `patience` is over: no try begins
/// after that, and one that has begun is not called off, since a request that is under way may still arrive.
///
/// What is left in the end, and why.
pub async fn release_left(
    journal: &Journal,
    lookup: &Lookup,
    person: &Person,
    patience: Duration,
    told: Told<'_>,
) -> Vec<(Record, Error)> {
    let until = Instant::now() + patience;
    let mut pause = PAUSE;
    let mut failures: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let outcomes = journal.release_left(async |record| release(record, lookup, person).await).await;
        for (record, outcome) in &outcomes {
            let failure = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
            if failures.insert(record.target(), failure.clone()).is_none_or(|before| before != failure) {
                told(record, outcome);
            }
        }
        let left: Vec<_> =
            outcomes.into_iter().filter_map(|(record, outcome)| Some((record, outcome.err()?))).collect();
        let asked = left.iter().filter_map(|(_, error)| error.retry_after).max().unwrap_or_default();
        let again = Instant::now() + pause.max(asked);
        if !left.iter().any(|(_, error)| error.is_transient()) || again >= until {
            return left;
        }
        sleep(again - Instant::now()).await;
        pause *= 2;
    }
}

/// Releases what one record lists, once.
pub(super) async fn release(record: &Record, lookup: &Lookup, person: &Person) -> Result<Released> {
    let What::SubscriptionKey { sid } = &record.what else {
        // Whoever revokes a token shows it, and it died with the agent.
        return Ok(Released::Expires);
    };
    let config = settings::load(&record.settings)?;
    let wiring = Wiring::new(&config, lookup, Arc::new(Silent), person.clone(), None)?;
    let mut released = Released::Nothing;
    for entry in wiring.entries(&config)? {
        entry.lessor.adopt(sid);
        released = entry.lessor.release().await?;
    }
    Ok(released)
}

/// How long it is worth while to wait for these, as the configurations that made them say.
pub fn patience(records: &[Record]) -> Duration {
    let timeout = |record: &Record| settings::load(&record.settings).ok().map(|config| config.revoke_timeout);
    records.iter().filter_map(timeout).max().unwrap_or(PAUSE)
}

/// What came of a record, for people: a label of at most ten letters, and a text.
pub fn tell(record: &Record, outcome: &Result<Released>, now: SystemTime) -> (&'static str, String) {
    let whose = &record.credential;
    match (outcome, &record.what) {
        (Err(error), _) => ("left", format!("{whose}: {error}")),
        (Ok(_), What::Tokens { until }) => {
            let until = match until {
                Some(until) if clock::parse_rfc3339(until).is_some_and(|until| until <= now) => {
                    return ("expired", format!("{whose}: its last token, at {until}"));
                }
                Some(until) => format!("at {until}"),
                None => "when its issuer has said".to_owned(),
            };
            let why = "a token is revoked by whoever holds it, and it died with the agent";
            ("expires", format!("{whose}: its last token merely expires, {until}; {why}"))
        }
        (Ok(Released::Nothing), What::SubscriptionKey { sid }) => {
            ("gone", format!("{whose}: the subscription {sid} does not exist"))
        }
        (Ok(_), What::SubscriptionKey { sid }) => {
            ("revoked", format!("{whose}: the subscription {sid} of a killed agent is deleted"))
        }
    }
}

/// Watches nothing.
struct Silent;

impl Watch for Silent {
    fn exchanged(&self, _: Option<&str>, _: &AccessToken, _: Duration) {}
    fn notice(&self, _: &Notice<'_>, _: &View<'_>) {}
    fn unwatched(&self, _: &Error) {}
    fn prompted(&self, _: &Prompt) {}
    fn settled(&self, _: &Record, _: &Result<Released>) {}
    fn unguarded(&self, _: &Error) {}
}
