//! How far it is, on standard error: one line that is rewritten on a terminal, and a line now and then elsewhere.

use super::super::outlet;
use crate::gateway::reap::Tally;
use std::{
    fmt::Write as _,
    io::{IsTerminal as _, stderr},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How often a terminal's line is rewritten.
const ON_TERMINAL: Duration = Duration::from_millis(500);

/// How often a log gets a line.
const IN_LOG: Duration = Duration::from_secs(10);

/// Shows it.
pub(super) struct Progress {
    terminal: bool,
    ticks: Interval,
    started: Instant,
    /// The terminal's line is there.
    shown: bool,
}

impl Progress {
    /// Begins now.
    pub(super) fn start() -> Self {
        let terminal = stderr().is_terminal();
        let every = if terminal { ON_TERMINAL } else { IN_LOG };
        let started = Instant::now();
        let mut ticks = interval_at(started + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { terminal, ticks, started, shown: false }
    }

    /// Waits for the time to show it again.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Shows it.
    pub(super) fn show(&mut self, tally: &Tally) {
        let line = line(tally, self.started.elapsed());
        let text = if self.terminal { format!("\r{line}\u{1b}[K") } else { format!("{line}\n") };
        outlet::stderr().push(text.as_bytes());
        self.shown = true;
    }

    /// The line for the end, if there was one before.
    pub(super) fn end(&mut self, tally: &Tally) {
        if self.terminal && self.shown {
            self.show(tally);
            outlet::stderr().push(b"\n");
        }
    }
}

/// A line that stays.
pub(super) fn say(text: &str) {
    let clear = if stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
    outlet::stderr().push(format!("{clear}{text}\n").as_bytes());
}

/// `listing 1200 of 50000`, then `deleting 300 of 10000, 10.1 a second, 17 min to go`.
fn line(tally: &Tally, elapsed: Duration) -> String {
    let done = tally.dead - tally.left();
    if done + tally.failed == 0 && tally.of.is_none_or(|of| tally.listed < of) {
        let of = tally.of.map_or_else(String::new, |of| format!(" of {of}"));
        return format!("listing {}{of}", tally.listed);
    }
    let seconds = elapsed.as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // for people
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let left = tally.left();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // the same
    let minutes = if rate > 0.0 { (left as f64 / rate / 60.0).ceil() as u64 } else { 0 };
    let mut line = format!("deleting {done} of {}, {rate:.1} a second", tally.dead);
    if minutes > 0 {
        let _ = write!(line, ", {minutes} min to go");
    }
    if tally.throttled > 0 {
        let _ = write!(line, ", throttled {} times", tally.throttled);
    }
    if tally.failed > 0 {
        let _ = write!(line, ", {} failed", tally.failed);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_is() {
        let mut tally = Tally { listed: 1200, of: Some(50_000), ..Tally::default() };
        assert_eq!(line(&tally, Duration::from_secs(3)), "listing 1200 of 50000");
        tally.of = None;
        assert_eq!(line(&tally, Duration::from_secs(3)), "listing 1200");
        tally = Tally {
            listed: 50_000,
            of: Some(50_000),
            dead: 10_000,
            deleted: 300,
            gone: 3,
            ..Tally::default()
        };
        assert_eq!(
            line(&tally, Duration::from_secs(30)),
            "deleting 303 of 10000, 10.1 a second, 17 min to go"
        );
        (tally.throttled, tally.failed) = (2, 1);
        let text = line(&tally, Duration::from_secs(30));
        assert!(text.ends_with("17 min to go, throttled 2 times, 1 failed"), "{text}");
    }
}
