//! What `run` tells whoever watches: a short, calm timeline. Never a secret.

use super::outlet;
use crate::{
    clock,
    config::Kind,
    error::Error,
    exchange::AccessToken,
    http::answer::printable,
    identity::prompt::Prompt,
    lease::Released,
    lifecycle::{
        driver::Notice,
        machine::{Index, Machine},
        status::{About, AboutCredential},
    },
    run::Watch,
    sink::runtime_dir::Leftover,
};
use std::{
    fmt::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Longest text of an id token that is shown, in characters.
const FOREIGN: usize = 200;

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
    /// The last failure that was told of, by credential.
    troubles: Vec<(Option<Index>, String)>,
    /// Until when the value of each credential was last said to be good.
    told: Vec<Option<SystemTime>>,
}

impl Timeline {
    /// A timeline that counts from `started`.
    pub(super) fn new(about: About, detail: Detail, started: SystemTime) -> Self {
        let count = about.credentials.len();
        let state = State { told: vec![None; count], ..State::default() };
        Self { about, detail, started, state: Mutex::new(state) }
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
        let ends: Vec<_> =
            machine.slots().iter().map(|slot| slot.current().map(|term| term.expires_at)).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::replace(&mut state.told, ends.clone());
        // What is published anew is over its trouble; the others may still be in theirs.
        state.troubles.retain(|(whose, _)| whose.is_some_and(|index| ends[index] == told[index]));
        let Detail::Full { usage } = &self.detail else { return };
        if state.explained {
            let changed = self.about.credentials.iter().zip(ends).zip(told);
            let changed = changed.filter(|((_, end), told)| end != told);
            let changed = changed
                .filter_map(|((about, end), _)| Some(format!("{} until {}", about.env, until(end?, now))));
            let changed = changed.collect::<Vec<_>>().join(", ");
            let colon = if changed.is_empty() { "" } else { ": " };
            self.full(&clock_time(now), &format!("generation {generation} published{colon}{changed}"));
            return;
        }
        // What is missing is worth a second look when it is there.
        state.explained = complete;
        self.credentials(&ends, now);
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
        if complete {
            self.say(usage);
        }
    }

    /// A table of all credentials.
    fn credentials(&self, ends: &[Option<SystemTime>], now: SystemTime) {
        let all = &self.about.credentials;
        let widest = |of: fn(&AboutCredential) -> usize| all.iter().map(of).max().unwrap_or_default();
        let env_width = widest(|entry| entry.env.len());
        let kind_width = widest(|entry| entry.kind.to_string().len());
        let scope_width = widest(|entry| entry.scope.len());
        for (place, (AboutCredential { env, kind, scope, .. }, end)) in all.iter().zip(ends).enumerate() {
            let label = if place == 0 { "credential" } else { "" };
            let end = end.map_or("missing, see above".to_owned(), |end| format!("until {}", until(end, now)));
            let kind = kind.to_string();
            self.full(label, &format!("{env:env_width$}  {kind:kind_width$}  {scope:scope_width$}  {end}"));
        }
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
        let mut lines = format!("{:<10} {who}: {}{again}", clock_time(now), error.what);
        for (label, part) in [("why", &error.why), ("fix", &error.fix)] {
            for (place, line) in part.iter().flat_map(|part| part.trim().lines()).enumerate() {
                // Writing to a String cannot fail.
                let _ =
                    write!(lines, "\n{:10} {:4} {}", "", if place == 0 { label } else { "" }, line.trim());
            }
        }
        self.say(&lines);
        state.troubles.push((index, text));
    }
}

impl Watch for Timeline {
    fn prompted(&self, prompt: &Prompt) {
        self.say(&prompted(prompt, clock::now()));
    }

    fn exchanged(&self, scope: &str, token: &AccessToken, took: Duration) {
        let now = clock::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = (token.subject.claims.iss.clone(), token.subject.claims.sub.clone());
        if state.subject.as_ref() != Some(&subject) {
            let (iss, sub) = &subject;
            // The token's issuer is somebody else: what it writes must not steer a terminal.
            let (iss, sub) = (printable(iss, FOREIGN), printable(sub, FOREIGN));
            self.full("identity", &sub);
            self.full("", &format!("issued by {iss}, until {}", until(token.subject.claims.exp, now)));
            state.subject = Some(subject);
        }
        if !state.scopes.iter().any(|known| known == scope) {
            let end = until(token.expires_at, now);
            self.full("exchange", &format!("token for {scope} in {} ms, until {end}", took.as_millis()));
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
                // Before the first publication there is no file.
                if machine.generation() > 0 {
                    let took = match took.as_micros() {
                        ..100 => "less than 0.1 ms".to_owned(),
                        _ => format!("{:.1} ms", took.as_secs_f64() * 1e3),
                    };
                    self.full("wiped", &format!("{} in {took}", self.about.env_file));
                }
            }
            Notice::Released { index, released } => {
                let AboutCredential { env, kind, .. } = &self.about.credentials[*index];
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
                        let end = state.told[*index]
                            .map_or(String::new(), |end| format!(", at {}", until(end, clock::now())));
                        self.full("expires", &format!("{env}: cannot be revoked, it merely expires{end}"));
                    }
                    Released::Kept => self.full("kept", &format!("{env}: by the vault; our copy is wiped")),
                    Released::Nothing => {}
                }
            }
        }
    }
}

/// Somebody may have to do something now, so this is said however little else is.
fn prompted(prompt: &Prompt, now: SystemTime) -> String {
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

/// The lines that use the published set in another shell.
pub(super) fn usage(about: &About, probe: Option<&str>, ca_file: Option<&Path>) -> String {
    let mut text = format!("\nIn another shell:\n  . {}\n", quoted(&about.env_file));
    if let Some(path) = probe {
        let ca = ca_file
            .map_or(String::new(), |file| format!("--cacert {} ", quoted(&file.display().to_string())));
        for credential in &about.credentials {
            let env = &credential.env;
            let header = match credential.kind {
                Kind::SubscriptionKey | Kind::Brokered => "Ocp-Apim-Subscription-Key: ",
                Kind::AccessToken | Kind::IdToken => "Authorization: Bearer ",
                Kind::VaultCertificate => {
                    let files = format!("--cert \"${env}_CRT_FILE\" --key \"${env}_KEY_FILE\"");
                    let _ = writeln!(text, "  curl {ca}{files} \"$APIM_GATEWAY_URL{path}\"");
                    continue;
                }
                Kind::VaultSecret => continue,
            };
            // Through a pipe: every user of the machine can read the arguments of a process, and `printf` is none.
            let _ = writeln!(
                text,
                "  printf '{header}%s' \"${env}\" | curl {ca}-H @- \"$APIM_GATEWAY_URL{path}\""
            );
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
