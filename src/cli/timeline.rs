//! What `run` tells whoever watches: a short, calm timeline. Never a secret.

mod usage;

use super::outlet;
use crate::{
    clock,
    config::Kind,
    error::{Error, Result},
    exchange::AccessToken,
    identity::prompt::Prompt,
    lease::Released,
    lifecycle::{
        change::Plan,
        driver::{Notice, View},
        journal::Record,
        machine::Index,
        status::{About, AboutCredential, Identity, actor},
    },
    run::{Watch, undo},
    sink::runtime_dir::Leftover,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Where the timeline goes.
pub(super) enum Detail {
    /// Everything, to standard output: `run` in the foreground.
    Full {
        /// What the calls in the lines for another shell have to trust.
        ca_file: Option<PathBuf>,
    },
    /// Only what goes wrong, to standard error: `exec`, whose standard output belongs to the child.
    Trouble,
}

/// Prints notices as they come.
pub(super) struct Timeline {
    about: About,
    detail: Detail,
    started: SystemTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The identities that were shown.
    identities: Vec<Identity>,
    /// Scopes whose exchange was shown; `None` where none was asked for.
    scopes: Vec<Option<String>>,
    /// Whether the table of credentials was shown.
    listed: bool,
    /// Whether the lines on how to use it were shown.
    explained: bool,
    /// The last failure that was told of, by credential.
    troubles: Vec<(Option<Index>, String)>,
    /// The last failure that was told of for each thing that a killed agent left.
    unsettled: Vec<(String, String)>,
    /// What is wrong with the changed configuration, as last told.
    misconfigured: Option<String>,
    /// Until when the value of each credential was last said to be good.
    told: BTreeMap<Index, SystemTime>,
}

impl Timeline {
    /// A timeline that counts from `started`.
    pub(super) fn new(about: About, detail: Detail, started: SystemTime) -> Self {
        Self { about, detail, started, state: Mutex::default() }
    }

    /// The first lines: who, and what a predecessor left.
    pub(super) fn begin(&self, leftovers: &[Leftover], swap: Option<&str>) {
        self.full(
            "apim-agent",
            &format!("{}, workspace {}", env!("CARGO_PKG_VERSION"), self.about.workspace),
        );
        for leftover in leftovers {
            let (path, s) = (leftover.path.display(), if leftover.files == 1 { "" } else { "s" });
            self.say(&format!(
                "{:<10} {} file{s} of an agent that was killed, in {path}",
                "wiped", leftover.files
            ));
        }
        if let Some(swap) = swap {
            self.say(&format!("{:<10} {swap}", "note"));
        }
    }

    /// In one piece, so that a reader never has half of it; without waiting for the reader.
    fn say(&self, text: &str) {
        match self.detail {
            Detail::Full { .. } => outlet::stdout().push(format!("{text}\n").as_bytes()),
            Detail::Trouble => outlet::stderr().push(format!("apim-agent: {text}\n").as_bytes()),
        }
    }

    fn full(&self, label: &str, text: &str) {
        if matches!(self.detail, Detail::Full { .. }) {
            self.say(&format!("{label:<10} {text}"));
        }
    }

    /// One line, with the time in front once the first set is out.
    fn event(&self, view: &View<'_>, text: &str) {
        if view.machine.generation() > 0 {
            self.full(&clock_time(clock::now()), text);
        } else {
            self.full("", text);
        }
    }

    fn published(&self, generation: u64, complete: bool, view: &View<'_>) {
        let now = clock::now();
        let end = |index: Index| view.machine.slots()[index].current().map(|term| term.expires_at);
        let ends: BTreeMap<_, _> =
            view.credentials().filter_map(|(index, _)| Some((index, end(index)?))).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::replace(&mut state.told, ends.clone());
        // What leaves is told of once more, with its end.
        let leaving = told.iter().filter(|(index, _)| view.machine.slots()[**index].is_leaving());
        state.told.extend(leaving);
        // What is published anew is over its trouble; the others may still be in theirs.
        state.troubles.retain(|(whose, _)| whose.is_some_and(|index| ends.get(&index) == told.get(&index)));
        let Detail::Full { ca_file } = &self.detail else { return };
        let ready = view.machine.is_ready();
        // All of it once, and once more when it is enough to begin with.
        if state.explained || (state.listed && !ready) {
            let changed = view.credentials().filter(|(index, _)| ends.get(index) != told.get(index));
            let changed = changed.filter_map(|(index, about)| {
                Some(format!("{} until {}", about.env, until(*ends.get(&index)?, now)))
            });
            let changed = changed.collect::<Vec<_>>().join(", ");
            let colon = if changed.is_empty() { "" } else { ": " };
            let without = if complete { String::new() } else { format!("; without {}", missing(view)) };
            self.full(
                &clock_time(now),
                &format!("generation {generation} published{colon}{changed}{without}"),
            );
            return;
        }
        (state.listed, state.explained) = (true, ready);
        self.credentials(view, now);
        let took = now.duration_since(self.started).unwrap_or_default();
        let missing = match (complete, ready) {
            (true, _) => String::new(),
            (false, true) => format!(", without {}", missing(view)),
            (false, false) => ", not complete yet".to_owned(),
        };
        self.full(
            "published",
            &format!(
                "generation {generation} after {} ms{missing}: {}",
                took.as_millis(),
                self.about.env_file
            ),
        );
        if ready {
            let credentials = view.credentials().map(|(index, about)| (about, view.variables(index)));
            self.say(&usage::lines(
                &self.about.env_file,
                credentials,
                ca_file.as_deref(),
                super::report::is_kept(),
            ));
        }
    }

    /// A table of all credentials.
    fn credentials(&self, view: &View<'_>, now: SystemTime) {
        let widest = |of: fn(&AboutCredential) -> usize| {
            view.credentials().map(|(_, about)| of(about)).max().unwrap_or_default()
        };
        let env_width = widest(|entry| entry.env.len());
        let kind_width = widest(|entry| entry.kind.to_string().len());
        let scope_width = widest(|entry| entry.scope.len());
        for (place, (index, AboutCredential { env, kind, scope, .. })) in view.credentials().enumerate() {
            let label = if place == 0 { "credential" } else { "" };
            let end = view.machine.slots()[index].current().map(|term| term.expires_at);
            let end = end.map_or("missing, see above".to_owned(), |end| format!("until {}", until(end, now)));
            let kind = kind.to_string();
            self.full(label, &format!("{env:env_width$}  {kind:kind_width$}  {scope:scope_width$}  {end}"));
        }
    }

    fn reconfigured(&self, plan: &Plan) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_broken = state.misconfigured.take().is_some();
        let parts = [
            ("added", &plan.added),
            ("removed", &plan.removed),
            ("changed", &plan.changed),
            ("adjusted", &plan.adjusted),
        ];
        let mut told: Vec<_> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        if plan.gateways {
            told.push("another gateway URL".to_owned());
        }
        if !plan.later.is_empty() {
            told.push(format!("{} takes effect at the next start", plan.later.join(", ")));
        }
        if told.is_empty() {
            // What was to wait for the next start has been taken back, if nothing was broken.
            let again = if was_broken { "in order again, and as before" } else { "as it was at the start" };
            told.push(again.to_owned());
        }
        self.full(&clock_time(clock::now()), &format!("configuration: {}", told.join("; ")));
    }

    fn failed(&self, index: Option<Index>, who: &str, error: &Error, again_at: Option<SystemTime>) {
        let text = error.to_string();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The same trouble is told once, not at every retry.
        if state.troubles.iter().any(|(whose, told)| *whose == index && *told == text) {
            return;
        }
        state.troubles.retain(|(whose, _)| *whose != index);
        let again = again_at.map_or(String::new(), |at| format!("; again {}", relative(at, clock::now())));
        self.trouble(who, error, &again);
        state.troubles.push((index, text));
    }

    fn misconfigured(&self, error: &Error) {
        let text = error.to_string();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.misconfigured.as_ref() != Some(&text) {
            self.trouble("configuration", error, "");
            state.misconfigured = Some(text);
        }
    }

    /// A failure in its three parts.
    fn trouble(&self, who: &str, error: &Error, again: &str) {
        let mut lines = format!("{:<10} {who}: {}{again}", clock_time(clock::now()), error.what);
        for (label, part) in [("why", &error.why), ("fix", &error.fix)] {
            for (place, line) in part.iter().flat_map(|part| part.trim().lines()).enumerate() {
                // Writing to a String cannot fail.
                let _ =
                    write!(lines, "\n{:10} {:4} {}", "", if place == 0 { label } else { "" }, line.trim());
            }
        }
        self.say(&lines);
    }

    fn released(&self, index: Index, about: &AboutCredential, released: Released) {
        let AboutCredential { env, kind, .. } = about;
        match released {
            Released::Revoked => {
                let how = match kind {
                    Kind::SubscriptionKey => "its subscription is deleted",
                    _ => "it is refused from now on",
                };
                self.full("revoked", &format!("{env}: {how}"));
            }
            Released::Expires => {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let end = state.told.get(&index);
                let end = end.map_or(String::new(), |end| format!(", at {}", until(*end, clock::now())));
                self.full("expires", &format!("{env}: cannot be revoked, it merely expires{end}"));
            }
            Released::Kept => self.full("kept", &format!("{env}: by the vault; our copy is wiped")),
            Released::Nothing => {}
        }
    }
}

impl Watch for Timeline {
    fn prompted(&self, prompt: &Prompt) {
        self.say(&prompted(prompt, clock::now()));
    }

    fn exchanged(&self, scope: Option<&str>, token: &AccessToken, took: Duration) {
        let now = clock::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = Identity::from(&token.subject);
        if !state.identities.contains(&identity) {
            let Identity { source, subject, issuer, actor: whose } = &identity;
            self.full("identity", &format!("{subject} ({}, {source})", actor(*whose)));
            self.full("", &format!("issued by {issuer}, until {}", until(token.subject.claims.exp, now)));
            state.identities.push(identity);
        }
        if !state.scopes.iter().any(|known| known.as_deref() == scope) {
            let end = until(token.expires_at, now);
            let what = scope.map_or("token".to_owned(), |scope| format!("token for {scope}"));
            self.full("exchange", &format!("{what} in {} ms, until {end}", took.as_millis()));
            state.scopes.push(scope.map(str::to_owned));
        }
    }

    fn notice(&self, notice: &Notice<'_>, view: &View<'_>) {
        let env = |index: Index| view.about(index).map_or("", |about| about.env.as_str());
        match notice {
            Notice::Issued { .. } | Notice::Accepted { .. } => {}
            Notice::Published { generation, complete } => self.published(*generation, *complete, view),
            Notice::Retired { index } => {
                self.event(view, &format!("{}: the value before is refused from now on", env(*index)));
            }
            Notice::Expired { index } => {
                self.event(view, &format!("{}: has expired and was taken out", env(*index)));
            }
            Notice::Failed { index, error, again_at } => {
                self.failed(*index, index.map_or("env file", env), error, *again_at);
            }
            Notice::Wiped { took } => {
                // Before the first publication there is no file.
                if view.machine.generation() > 0 {
                    let took = match took.as_micros() {
                        ..100 => "less than 0.1 ms".to_owned(),
                        _ => format!("{:.1} ms", took.as_secs_f64() * 1e3),
                    };
                    self.full("wiped", &format!("{} in {took}", self.about.env_file));
                }
            }
            Notice::Released { index, released } => {
                if let Some(about) = view.about(*index) {
                    self.released(*index, about, *released);
                }
            }
            Notice::Reconfigured { plan } => self.reconfigured(plan),
            Notice::Misconfigured { error } => self.misconfigured(error),
        }
    }

    fn unwatched(&self, error: &Error) {
        self.trouble("note", error, "");
    }

    fn settled(&self, record: &Record, outcome: &Result<Released>) {
        match outcome {
            Ok(_) => {
                let (label, text) = undo::tell(record, outcome, clock::now());
                self.say(&format!("{label:<10} {text}"));
            }
            Err(error) => {
                let told = (record.target(), error.to_string());
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                // As above: once, not at every retry.
                if !state.unsettled.contains(&told) {
                    state.unsettled.retain(|(target, _)| *target != told.0);
                    state.unsettled.push(told);
                    self.trouble(&format!("{}, left by a killed agent", record.credential), error, "");
                }
            }
        }
    }

    fn unguarded(&self, error: &Error) {
        self.trouble("note", error, "");
    }
}

/// The variables of those that have no value.
fn missing(view: &View<'_>) -> String {
    let missing = view.credentials().filter(|(index, _)| view.machine.slots()[*index].current().is_none());
    let missing = missing.map(
        |(_, AboutCredential { env, required, .. })| {
            if *required { env.clone() } else { format!("{env} (optional)") }
        },
    );
    missing.collect::<Vec<_>>().join(", ")
}

/// Somebody may have to do something now, so this is said however little else is.
pub(super) fn prompted(prompt: &Prompt, now: SystemTime) -> String {
    let text = match prompt {
        Prompt::DeviceCode { url, code, expires_at } => {
            format!("open {url} and enter {code}, until {}", until(*expires_at, now))
        }
        Prompt::Browser { url, opened: true } => format!("in the browser that has opened, or open {url}"),
        Prompt::Browser { url, opened: false } => format!("open {url} in a browser on this machine"),
        Prompt::Waiting { expires_at } => {
            return format!("{:<10} waiting for somebody to sign in, until {}", "", until(*expires_at, now));
        }
        Prompt::Done { user: Some(user) } => return format!("{:<10} {user}", "signed in"),
        Prompt::Done { user: None } => return format!("{:<10} done", "signed in"),
    };
    format!("{:<10} {text}", "sign in")
}

/// `23:59:10Z (in 60 min)`.
fn until(when: SystemTime, now: SystemTime) -> String {
    format!("{} ({})", clock_time(when), relative(when, now))
}

fn clock_time(when: SystemTime) -> String {
    let text = clock::rfc3339(when);
    text.split_once('T').map_or(text.clone(), |(_, time)| time.to_owned())
}

/// `in 20 s`, `in 60 min`, `in 5 h`, `now`.
fn relative(when: SystemTime, now: SystemTime) -> String {
    let seconds = when.duration_since(now).unwrap_or_default().as_secs_f64().round();
    if seconds < 1.0 {
        "now".to_owned()
    } else if seconds < 120.0 {
        format!("in {seconds} s")
    } else if seconds < 7200.0 {
        format!("in {} min", (seconds / 60.0).round())
    } else {
        format!("in {} h", (seconds / 3600.0).round())
    }
}
