//! Checks, each with the key, the place, what is allowed and an example. Pure: no file is opened, no name resolved.

mod credential;
mod exchange;
mod identity;

use super::{
    Config, DEFAULT, Place, Purpose,
    cloud::Cloud,
    endpoint::{self, Rule},
    forms::{self, Complaint, Read},
    keys::{self, Key},
    layers::{Entry, Layers},
    problem::{Origin, Problem, example, report, shown},
};
use crate::error::Result;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(5));

/// Where relative paths begin.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// Of those in the file: the folder that it lies in.
    pub file: &'a Path,
    /// Of those in variables and flags: the current folder.
    pub current: &'a Path,
}

/// Turns the layers into a [`Config`], or into one error with all that is wrong.
pub fn config(layers: Layers, folders: Folders<'_>) -> Result<Config> {
    config_for(layers, folders, Purpose::Credentials)
}

/// The same, as far as the purpose needs it.
pub fn config_for(layers: Layers, folders: Folders<'_>, purpose: Purpose) -> Result<Config> {
    if let Some(problem) = layers.syntax {
        return Err(report(vec![problem]));
    }
    let mut check = Check { layers, folders, problems: Vec::new() };
    let cloud = check.or("cloud", forms::cloud, Cloud::default());
    let workspace = check.required("workspace", forms::workspace, "it names what the agent makes");
    let wants_credentials = purpose == Purpose::Credentials;
    let outlines = if wants_credentials { check.outlines() } else { Vec::new() };
    let (exchanges, clouds) = check.exchanges(cloud, &outlines);
    let identities = check.identities(cloud);
    let gateways = if wants_credentials { check.gateways() } else { BTreeMap::new() };
    let credentials = if wants_credentials {
        check.credentials(&outlines, &gateways, &exchanges, &clouds)
    } else {
        Vec::new()
    };
    let ca_file = check.path("ca_file");
    let runtime_dir = check.path("runtime_dir");
    let timeout = |seconds| (forms::duration_in(TIMEOUTS.0..=TIMEOUTS.1), Duration::from_secs(seconds));
    let (form, default) = timeout(10);
    let request_timeout = check.or("request_timeout", form, default);
    let (form, default) = timeout(8);
    let revoke_timeout = check.or("revoke_timeout", form, default);

    let problems = check.all_problems();
    match workspace {
        Some(workspace) if problems.is_empty() => Ok(Config {
            workspace,
            identities,
            exchanges,
            gateways,
            credentials,
            ca_file,
            runtime_dir,
            request_timeout,
            revoke_timeout,
        }),
        _ => Err(report(problems)),
    }
}

/// Where a running agent is to be found, whatever else is wrong or missing.
pub fn place(layers: Layers, folders: Folders<'_>) -> Result<Place> {
    let is_its_own = |problem: &Problem| matches!(problem.key.as_str(), "workspace" | "runtime_dir");
    let doubt = layers.syntax.clone().map(|problem| report(vec![problem]));
    let mut check = Check { layers, folders, problems: Vec::new() };
    let workspace = check.required("workspace", forms::workspace, "it names the agent to look for");
    let runtime_dir = check.path("runtime_dir");
    let problems: Vec<Problem> = check.all_problems().into_iter().filter(is_its_own).collect();
    match workspace {
        Some(workspace) if problems.is_empty() => Ok(Place { workspace, runtime_dir, doubt }),
        _ => Err(report(problems)),
    }
}

struct Check<'a> {
    layers: Layers,
    folders: Folders<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn all_problems(self) -> Vec<Problem> {
        let mut problems = self.layers.problems;
        problems.extend(self.problems);
        problems
    }

    /// The entries of a section by name.
    fn names(&self, section: &'static str) -> Vec<String> {
        self.layers.entered.of(section).map(|(name, _)| name.to_owned()).collect()
    }

    /// The name of another section's entry at `path`, else `DEFAULT`.
    fn reference(&mut self, path: &str, section: &'static str) -> String {
        let names = self.names(section);
        let form = |text: &str| {
            if text == DEFAULT || names.iter().any(|name| name == text) {
                return Ok(text.to_owned());
            }
            let complaint = Complaint::new(if names.is_empty() {
                format!("allowed is the name of an entry under [{section}.NAME]; there is none")
            } else {
                format!("allowed are the entries under {section}: {}", names.join(", "))
            });
            let near =
                keys::nearest(text, names.iter().map(String::as_str)).or(names.first().map(String::as_str));
            Err(complaint.example(near.unwrap_or(DEFAULT)))
        };
        self.or(path, form, DEFAULT.to_owned())
    }

    /// Refuses what is set below `table` and is not among `used`: a setting without an effect is a misunderstanding.
    fn only(&mut self, table: &str, known: &[Key], used: &[&str], what: &str) {
        for key in known.iter().filter(|key| !used.contains(&key.name)) {
            let path = format!("{table}.{}", key.name);
            if let Some(entry) = self.layers.get(&path).cloned() {
                self.problems.push(Problem {
                    what: format!("{path} has no effect on {what}"),
                    allowed: format!("it takes {}", used.join(", ")),
                    fix: "remove it".to_owned(),
                    key: path,
                    origin: Some(entry.origin),
                });
            }
        }
    }

    /// The value at `path`, if it is set and of the right form.
    fn optional<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>) -> Option<T> {
        let Entry { text, origin, .. } = self.layers.get(path)?.clone();
        match form(&text) {
            Ok(value) => Some(value),
            Err(complaint) => {
                let good = complaint.example.unwrap_or_else(|| usual_example(path));
                self.problems.push(Problem {
                    key: path.to_owned(),
                    what: match complaint.what {
                        Some(what) => format!("{path} {what}"),
                        None => format!("{path} is {}", shown(&text)),
                    },
                    allowed: complaint.allowed,
                    fix: example(Some(&origin), path, &good),
                    origin: Some(origin),
                });
                None
            }
        }
    }

    fn or<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>, default: T) -> T {
        self.optional(path, form).unwrap_or(default)
    }

    /// As [`Self::optional`]; a problem when it is set nowhere.
    fn required<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>, reason: &str) -> Option<T> {
        if self.layers.get(path).is_none() {
            self.missing(path, reason);
        }
        self.optional(path, form)
    }

    /// A credential's setting that it cannot do without; reported at the credential.
    fn wanted<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>, at: &Origin) -> Option<T> {
        if self.layers.get(path).is_none() && !self.is_reported(path) {
            self.problems.push(Problem {
                key: path.to_owned(),
                what: format!("{path} is not set"),
                allowed: "this credential needs it".to_owned(),
                fix: example(Some(at), path, &usual_example(path)),
                origin: Some(at.clone()),
            });
        }
        self.optional(path, form)
    }

    fn missing(&mut self, path: &str, reason: &str) {
        if self.is_reported(path) {
            return;
        }
        self.problems.push(Problem {
            key: path.to_owned(),
            origin: None,
            what: format!("{path} is not set"),
            allowed: reason.to_owned(),
            fix: example(None, path, &usual_example(path)),
        });
    }

    /// Whether something was said about `path` already, such as that its name is misspelt.
    fn is_reported(&self, path: &str) -> bool {
        self.layers.problems.iter().chain(&self.problems).any(|problem| problem.key == path)
    }

    fn url(&mut self, path: &str, rule: Rule, default: &str) -> Option<Url> {
        match self.layers.get(path) {
            Some(_) => self.optional(path, endpoint::read(rule)),
            None => endpoint::read(rule)(default).ok(),
        }
    }

    /// A path, made absolute by the folder that it is relative to.
    fn path(&self, path: &str) -> Option<PathBuf> {
        let entry = self.layers.get(path)?;
        let folder = match entry.origin {
            Origin::File { .. } => self.folders.file,
            _ => self.folders.current,
        };
        Some(folder.join(&entry.text))
    }
}

fn usual_example(path: &str) -> String {
    keys::find(path).map_or_else(String::new, |key| key.example.to_owned())
}
