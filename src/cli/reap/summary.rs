//! What a run came to.

use crate::{
    clock,
    error::{Class, Error, Result},
    gateway::reap::{Ended, Tally},
    http::answer::printable,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// Longest display name that is shown; APIM takes 100 characters.
const LONGEST: usize = 100;

/// A run that is over.
pub(super) struct Summary {
    pub(super) tally: Tally,
    pub(super) dry_run: bool,
    /// Somebody has stopped it before its end.
    pub(super) interrupted: bool,
    /// How long the list took.
    pub(super) listed: Duration,
    /// How long the rest took.
    pub(super) deleted: Duration,
}

impl Summary {
    /// For people; `would` are those that a dry run would delete.
    pub(super) fn text(&self, would: &BTreeMap<String, Ended>, now: SystemTime) -> String {
        let tally = &self.tally;
        let mut text = String::new();
        for (sid, Ended { name, since }) in would {
            let age = now.duration_since(*since).unwrap_or_default();
            let _ =
                writeln!(text, "{:<10} {sid} {}, over for {}", "dead", printable(name, LONGEST), span(age));
        }
        let _ = writeln!(
            text,
            "{:<10} {} subscriptions with a workspace's id in {}\n{:<10} {} alive, {} past their end; left alone: {} \
             without a date, {} not of the agent's",
            "listed",
            tally.listed,
            span(self.listed),
            "",
            tally.alive,
            tally.dead,
            tally.undated,
            tally.foreign
        );
        if self.dry_run {
            let _ = writeln!(text, "{:<10} nothing was deleted: this was a dry run", "");
            return text;
        }
        let _ = write!(text, "{:<10} {} in {}", "deleted", tally.deleted, span(self.deleted));
        for (count, what) in [
            (tally.gone, "gone already"),
            (tally.renewed, "renewed meanwhile and kept"),
            (tally.throttled, "times throttled by ARM"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text.push('\n');
        if self.tally.left() > 0 {
            let _ = writeln!(text, "{:<10} {}", "left", tally.left());
        }
        text
    }

    /// One object, for scripts; `would_delete` is there in a dry run.
    pub(super) fn json(&self, would: &BTreeMap<String, Ended>) -> String {
        let tally = &self.tally;
        let mut object = json!({
            "dry_run": self.dry_run,
            "interrupted": self.interrupted,
            "pages": tally.pages,
            "listed": tally.listed,
            "foreign": tally.foreign,
            "undated": tally.undated,
            "alive": tally.alive,
            "dead": tally.dead,
            "deleted": tally.deleted,
            "gone": tally.gone,
            "renewed": tally.renewed,
            "left": tally.left(),
            "throttled": tally.throttled,
            "seconds": (self.listed + self.deleted).as_secs(),
        });
        if self.dry_run {
            let row = |(sid, Ended { name, since }): (&String, &Ended)| json!({"name": sid, "display_name": name, "ended": clock::rfc3339(*since)});
            object["would_delete"] = would.iter().map(row).collect();
        }
        format!("{object:#}\n")
    }

    /// The exit code, or why something was left.
    pub(super) fn verdict(&self) -> Result<ExitCode> {
        if self.interrupted {
            return Err(Error::new(Class::TryAgain, "stopped before all was done")
                .fix("run it again: it goes on from there"));
        }
        let left = self.tally.left();
        if self.dry_run || left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let error =
            Error::new(Class::TryAgain, format!("{left} subscriptions past their end could not be deleted"));
        let error = match &self.tally.first_failure {
            Some(first) => error.why(format!("the first: {first}")),
            None => error,
        };
        Err(error.fix("run it again"))
    }
}

/// In the largest unit that says enough: `12 s`, `16 min`, `3 h`, `5 d`.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    fn summary(tally: Tally) -> Summary {
        let (listed, deleted) = (Duration::from_secs(12), Duration::from_secs(985));
        Summary { tally, dry_run: false, interrupted: false, listed, deleted }
    }

    #[test]
    fn what_is_left_is_told_with_its_reason_and_exit_code() {
        let error = Error::new(Class::Unavailable, "ARM did not delete the subscription ws-1");
        let tally = Tally {
            dead: 5,
            deleted: 2,
            gone: 1,
            renewed: 1,
            failed: 1,
            first_failure: Some(error),
            ..Tally::default()
        };
        let left = summary(tally);
        let text = left.text(&BTreeMap::new(), from_unix(0));
        assert!(
            text.contains(
                "deleted    2 in 16 min, 1 gone already, 1 renewed meanwhile and kept\nleft       1\n"
            ),
            "{text}"
        );
        let error = left.verdict().expect_err("one is left");
        assert_eq!(error.exit_code(), 75);
        assert_eq!(error.why.as_deref(), Some("the first: ARM did not delete the subscription ws-1"));

        assert!(summary(Tally { dead: 1, deleted: 1, ..Tally::default() }).verdict().is_ok());
        let stopped = Summary { interrupted: true, ..summary(Tally::default()) };
        assert_eq!(stopped.verdict().expect_err("not all was looked at").exit_code(), 75);
    }

    #[test]
    fn a_dry_run_names_the_dead_and_nothing_is_left_of_them() {
        let ended = Ended { name: "apim-agent x\u{1b}[2J until 1970".to_owned(), since: from_unix(0) };
        let would = BTreeMap::from([("ws-1".to_owned(), ended)]);
        let dry = Summary { dry_run: true, ..summary(Tally { dead: 1, ..Tally::default() }) };
        let text = dry.text(&would, from_unix(3 * 86_400));
        assert!(text.starts_with("dead       ws-1 apim-agent x [2J until 1970, over for 3 d\n"), "{text}");
        assert!(dry.verdict().is_ok());
        let json: serde_json::Value = serde_json::from_str(&dry.json(&would)).expect("JSON");
        assert_eq!(json["would_delete"][0]["ended"], "1970-01-01T00:00:00Z");
        assert_eq!(json["left"], 1);
    }
}
