//! The signals that end an agent.

use crate::error::{Class, Error, Result};
use futures_util::future::select_all;
use nix::sys::signal::Signal;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// All that would end the process by default and can be caught, except those of faults of our own (such as SIGSEGV) and
/// SIGPIPE, which Rust ignores. Left alone, each of them would be an end without a wipe.
const ENDING: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGXCPU,
    Signal::SIGPWR,
];

/// SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU and SIGPWR; caught from the moment this exists.
///
/// SIGXFSZ is caught as well and ends nothing: a write beyond the limit of file sizes is then an error (EFBIG) that is told
/// like any other. A handler stays behind for the life of the process, and `execve` takes it back for its children.
pub(super) struct Signals(Vec<(Signal, tokio::signal::unix::Signal)>);

impl Signals {
    /// Starts to catch them. Needs a tokio runtime around it.
    pub(super) fn catch() -> Result<Self> {
        let catch = |which: Signal| signal(SignalKind::from_raw(which as i32));
        let failed = |error: std::io::Error| {
            Error::new(Class::Internal, "signals cannot be caught").why(error.to_string())
        };
        // The handler is what counts: nobody waits for this one.
        catch(Signal::SIGXFSZ).map(drop).map_err(failed)?;
        let caught = ENDING.map(|which| Ok((which, catch(which)?)));
        caught.into_iter().collect::<std::io::Result<_>>().map(Self).map_err(failed)
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        let each = self.0.iter_mut().map(|(which, caught)| {
            Box::pin(async move {
                caught.recv().await;
                *which
            })
        });
        select_all(each).await.0
    }

    /// Waits for a signal from somebody who has seen that it has not ended yet. Those that send one often send it
    /// twice, to the process and to its group, so what comes within a second is still the first one.
    pub(super) async fn insist(&mut self) {
        let patient = tokio::time::Instant::now() + Duration::from_secs(1);
        loop {
            self.next().await;
            if tokio::time::Instant::now() >= patient {
                return;
            }
        }
    }
}
