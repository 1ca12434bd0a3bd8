//! Takes the runtime directory, and waits for whoever cleans up after a killed agent in it.

use super::{ambient::Ambient, outlet, signals::Signals};
use crate::{
    config::Config,
    error::{Class, Error, Result},
    run,
    sink::runtime_dir::RuntimeDir,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Most cleaning up is over in a moment, and then not worth a word.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// The runtime directory of `config`; the clean-up is waited for as long as it may take. A signal ends the wait.
pub(super) async fn take(config: &Config, ambient: &Ambient, signals: &mut Signals) -> Result<RuntimeDir> {
    // Its tries, and the requests of the last one: for an identity, a token and a deletion.
    let patience = config.revoke_timeout + 3 * config.request_timeout;
    let open = || run::directory(config, ambient.xdg_runtime_dir().as_deref());
    tokio::select! {
        // A signal that came before is for the agent, which knows what to do about it.
        biased;
        directory = wait(patience, open) => directory,
        signal = signals.next() => Err(Error::new(
            Class::TryAgain,
            format!("told to end by {signal} while what a killed agent left was being cleaned up"),
        )),
    }
}

/// Opens it as soon as whoever does not answer for its lock is done; after `patience` that is the error.
pub(super) async fn wait(patience: Duration, open: impl Fn() -> Result<RuntimeDir>) -> Result<RuntimeDir> {
    let begin = Instant::now();
    let mut told = false;
    loop {
        let error = match open() {
            Err(error) if error.retry_after.is_some() && begin.elapsed() < patience => error,
            other => return other,
        };
        if !told && begin.elapsed() > TELL_AFTER {
            told = true;
            outlet::stderr().push(waiting(&error).as_bytes());
        }
        sleep(error.retry_after.unwrap_or_default()).await;
    }
}

fn waiting(error: &Error) -> String {
    format!("apim-agent: {}: waiting for that\n", error.what)
}
