//! The signals that end an agent.

use crate::error::{Class, Error, Result};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP; caught from the moment this exists.
pub(super) struct Signals([Signal; 3]);

impl Signals {
    /// Starts to catch them. Needs a tokio runtime around it.
    pub(super) fn catch() -> Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let failed = |error: std::io::Error| {
            Error::new(Class::Internal, "signals cannot be caught").why(error.to_string())
        };
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt.map_err(failed)?, terminate.map_err(failed)?, hangup.map_err(failed)?]))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> SignalKind {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
            _ = hangup.recv() => SignalKind::hangup(),
        }
    }

    /// Waits for a signal from somebody who has seen that it has not ended yet. Those that send one often send it
    /// twice, to the process and to its group, so what comes within a second is still the first one.
    pub(super) async fn insist(&mut self) {
        let patient = tokio::time::Instant::now() + Duration::from_secs(1);
        while self.next().await.as_raw_value() > 0 && tokio::time::Instant::now() < patient {}
    }
}
