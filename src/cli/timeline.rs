//! What `run` tells whoever watches: a short, calm timeline. Never a secret.

use crate::{
    clock,
    config::Kind,
    error::Error,
    exchange::AccessToken,
    lease::Released,
    lifecycle::{
        driver::Notice,
        machine::{Index, Machine, Phase},
        status::About,
    },
    run::Watch,
    sink::runtime_dir::Leftover,
};
use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Where the timeline goes.
pub(super) enum Detail {
    /// Everything, to standard output: `run` in the foreground.
    Full {
        /// Lines that show how to use what was published, for another shell.
        usage: String,
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
    /// The subject that was last shown.
    subject: Option<(String, String)>,
    /// Scopes whose exchange was shown.
    scopes: Vec<String>,
    /// Whether the lines on how to use it were shown.
    explained: bool,
    /// The last failure that was told of, by credential, and how often it came since.
    troubles: Vec<(Option<Index>, String)>,
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
            let (files, path) = (leftover.files, leftover.path.display());
            self.say(&format!("{:<10} {files} files of an agent that was killed, in {path}", "wiped"));
        }
        if let Some(swap) = swap {
            self.say(&format!("{:<10} {swap}", "note"));
        }
    }

    fn say(&self, text: &str) {
        // Nobody reading any more is no reason to stop: the credentials are what counts.
        let _ = match self.detail {
            Detail::Full { .. } => writeln!(std::io::stdout().lock(), "{text}"),
            Detail::Trouble => writeln!(std::io::stderr().lock(), "apim-agent: {text}"),
        };
    }

    fn full(&self, label: &str, text: &str) {
        if matches!(self.detail, Detail::Full { .. }) {
            self.say(&format!("{label:<10} {text}"));
        }
    }

    /// One line on a credential, with the time in front once the first set is out.
    fn event(&self, machine: &Machine, index: Index, text: &str) {
        let name = &self.about.credentials[index].env;
        if machine.generation() > 0 {
            self.full(&clock_time(clock::now()), &format!("{name}: {text}"));
        } else {
            self.full("", &format!("{name}: {text}"));
        }
    }

    fn published(&self, generation: u64, complete: bool, machine: &Machine) {
        let now = clock::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.troubles.clear();
        let Detail::Full { usage } = &self.detail else { return };
        if state.explained {
            let mut text = format!("generation {generation} published");
            for (about, slot) in self.about.credentials.iter().zip(machine.slots()) {
                if let Some(term) = slot.current() {
                    let _ = write!(text, ", {} until {}", about.env, until(term.expires_at, now));
                }
            }
            self.full(&clock_time(now), &text);
            return;
        }
        state.explained = true;
        for (about, slot) in self.about.credentials.iter().zip(machine.slots()) {
            let end = slot.current().map_or("missing, see above".to_owned(), |term| {
                format!("until {}", until(term.expires_at, now))
            });
            self.full("credential", &format!("{:<22} {} {}, {end}", about.env, about.kind, about.scope));
        }
        let took = now.duration_since(self.started).unwrap_or_default();
        let missing = if complete { "" } else { ", not complete yet" };
        self.full(
            "published",
            &format!(
                "generation {generation} after {} ms{missing}: {}",
                took.as_millis(),
                self.about.env_file
            ),
        );
        self.say(usage);
    }

    fn failed(&self, index: Option<Index>, error: &Error, again_at: Option<SystemTime>) {
        let text = error.to_string();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The same trouble is told once, not at every retry.
        if state.troubles.iter().any(|(whose, told)| *whose == index && *told == text) {
            return;
        }
        state.troubles.retain(|(whose, _)| *whose != index);
        let now = clock::now();
        let again = again_at.map_or(String::new(), |at| format!("; again {}", relative(at, now)));
        let who = index.map_or("env file", |index| self.about.credentials[index].env.as_str());
        self.say(&format!("{:<10} {who}: {text}{again}", clock_time(now)));
        state.troubles.push((index, text));
    }
}

impl Watch for Timeline {
    fn exchanged(&self, scope: &str, token: &AccessToken, took: Duration) {
        let now = clock::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = (token.subject.iss.clone(), token.subject.sub.clone());
        if state.subject.as_ref() != Some(&subject) {
            let (iss, sub) = &subject;
            self.full("identity", sub);
            self.full("", &format!("issued by {iss}, until {}", until(token.subject.exp, now)));
            state.subject = Some(subject);
        }
        if !state.scopes.iter().any(|known| known == scope) {
            let end = until(token.expires_at, now);
            self.full("exchange", &format!("{scope} in {} ms, until {end}", took.as_millis()));
            state.scopes.push(scope.to_owned());
        }
    }

    fn notice(&self, notice: &Notice<'_>, machine: &Machine) {
        match notice {
            Notice::Issued { .. } | Notice::Accepted { .. } => {}
            Notice::Published { generation, complete } => self.published(*generation, *complete, machine),
            Notice::Retired { index } => {
                self.event(machine, *index, "the value before is refused from now on");
            }
            Notice::Expired { index } => self.event(machine, *index, "has expired and was taken out"),
            Notice::Failed { index, error, again_at } => self.failed(*index, error, *again_at),
            Notice::Wiped { took } => {
                if machine.phase() == Phase::Stopping || machine.generation() > 0 {
                    self.full(
                        "wiped",
                        &format!("{} in {:.1} ms", self.about.env_file, took.as_secs_f64() * 1e3),
                    );
                }
            }
            Notice::Released { index, released } => {
                let name = &self.about.credentials[*index].env;
                match released {
                    Released::Revoked => self.full("revoked", &format!("{name}: the gateway refuses it")),
                    Released::Expires => {
                        self.full("expires", &format!("{name}: cannot be revoked, it merely expires"));
                    }
                    Released::Nothing => {}
                }
            }
        }
    }
}

/// The lines that use the published set in another shell.
pub(super) fn usage(about: &About, probe: Option<&str>, ca_file: Option<&Path>) -> String {
    let mut text = format!("\nIn another shell:\n  . {}\n", quoted(&about.env_file));
    if let Some(path) = probe {
        let ca = ca_file
            .map_or(String::new(), |file| format!("--cacert {} ", quoted(&file.display().to_string())));
        for credential in &about.credentials {
            let header = match credential.kind {
                Kind::SubscriptionKey => "Ocp-Apim-Subscription-Key: ",
                Kind::AccessToken => "Authorization: Bearer ",
            };
            let _ =
                writeln!(text, "  curl {ca}-H \"{header}${}\" \"$APIM_GATEWAY_URL{path}\"", credential.env);
        }
    }
    text.push_str("\nCtrl-C wipes the file and revokes what can be revoked.");
    text
}

/// As a POSIX shell reads it back: bare where that is safe.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `23:59:10Z (in 60 min)`.
fn until(when: SystemTime, now: SystemTime) -> String {
    format!("{} ({})", clock_time(when), relative(when, now))
}

fn clock_time(when: SystemTime) -> String {
    let text = clock::rfc3339(when);
    text.split_once('T').map_or(text.clone(), |(_, time)| time.to_owned())
}

/// `in 20 s`, `in 60 min`, `now`.
fn relative(when: SystemTime, now: SystemTime) -> String {
    let seconds = when.duration_since(now).unwrap_or_default().as_secs_f64().round();
    if seconds < 1.0 {
        "now".to_owned()
    } else if seconds < 120.0 {
        format!("in {seconds} s")
    } else {
        format!("in {} min", (seconds / 60.0).round())
    }
}
