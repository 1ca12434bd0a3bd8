//! Trust in a configuration that was merely found, in a repository that may be a stranger's.
//!
//! A file that a search found was asked for by nobody: it lies in what somebody has cloned. What flags, variables,
//! `--config` and `APIM_AGENT_CONFIG` give was asked for by whoever started the agent, and counts as it stands. So does
//! what starts it in a workspace's task: its author runs commands there anyway.
//!
//! ```text
//! settings of a found file ── needs (table, place) ──► those that are not harmless by themselves
//!                                    └─ policy, store ──► all allowed, or refused with exit 77
//! ```
//!
//! As direnv does it, a file is allowed by a person as it is: the record is a hash of where it lies and of all its bytes.

mod place;
pub mod policy;
pub mod store;
mod table;

use super::{
    file::Text,
    keys,
    layers::Layers,
    problem::{Origin, readable, shown},
};
use crate::error::{Class, Error, Result};
use policy::Policy;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use store::{Mark, Store};
use table::Rule;

/// Where it is noted what is trusted. The default is nowhere: then nothing is but what is harmless by itself.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The records of what was allowed.
    pub store: Option<Store>,
    /// The policies of machine and user, which need not exist.
    pub policies: Vec<PathBuf>,
}

impl Places {
    /// The usual ones (XDG base directories): `$XDG_STATE_HOME/apim-agent/allowed`, `/etc/apim-agent/policy.toml` and
    /// `$XDG_CONFIG_HOME/apim-agent/policy.toml`.
    pub fn usual(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let below_home = |path: &str| absolute("HOME").map(|home| home.join(path));
        let state = absolute("XDG_STATE_HOME").or_else(|| below_home(".local/state"));
        let config = absolute("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let folders = std::iter::once(PathBuf::from("/etc")).chain(config);
        Self {
            store: state.map(Store::below),
            policies: folders.map(|folder| folder.join("apim-agent/policy.toml")).collect(),
        }
    }
}

/// A setting that needs trust, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The setting, such as `identity.command`.
    pub key: String,
    /// Its value for messages.
    pub value: String,
    /// The line that it stands in.
    pub line: usize,
    /// What could be done with it.
    pub why: String,
    /// The host that it names, where it names one.
    pub host: Option<String>,
}

impl Need {
    /// What is being allowed: the value, and what that does here. Another credential for a gateway is news.
    fn words(&self) -> String {
        format!("{}: {}", self.value, self.why)
    }
}

/// `line 5: identity.command = ["sh"]: it is a program, and runs as you`
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} = {}", self.line, self.key, self.words())
    }
}

/// The settings from the file that count and are not harmless by themselves, in its order. Pure.
pub fn needs(layers: &Layers) -> Vec<Need> {
    let mut needs: Vec<Need> =
        from_file(layers).filter_map(|(path, text, line)| need(layers, path, text, line)).collect();
    needs.sort_by_key(|need| need.line);
    needs
}

/// Path, text and line of each setting that the file gives and nothing beats.
fn from_file(layers: &Layers) -> impl Iterator<Item = (&str, &str, usize)> {
    layers.settings().filter_map(|entry| match entry.origin {
        Origin::File { line, .. } => Some((entry.path.as_str(), entry.text.as_str(), line)),
        _ => None,
    })
}

fn need(layers: &Layers, path: &str, text: &str, line: usize) -> Option<Need> {
    let row = table::find(path);
    let reason = row.map_or("nobody has judged it", |row| row.why);
    let (why, host) = match row.map_or(Rule::Never, |row| row.rule) {
        Rule::Harmless => return None,
        Rule::Usual(values) if values.contains(&text) => return None,
        Rule::Place(operator) if place::is_of(operator, text) => return None,
        Rule::Place(_) => (reason.to_owned(), place::host(text)),
        Rule::Gateway => {
            let gateway = keys::entry_path(path).map_or(super::DEFAULT, |(_, name, _)| name);
            let valuable = place::valuable_at(layers, gateway, text);
            if valuable.is_empty() {
                return None;
            }
            (format!("{reason}: {}", valuable.join(", ")), place::host(text))
        }
        Rule::Vault => vault(layers, path, text, reason)?,
        Rule::Usual(_) | Rule::Never => (reason.to_owned(), None),
    };
    Some(Need { key: path.to_owned(), value: value(text), line, why, host })
}

fn vault(layers: &Layers, path: &str, text: &str, reason: &str) -> Option<(String, Option<String>)> {
    let (_, credential, _) = keys::entry_path(path)?;
    let host = place::vault_host(layers, credential, text);
    if !host.as_deref().is_some_and(place::is_vault) {
        return Some((reason.to_owned(), host));
    }
    // A certificate comes as files, whose names are ours. A secret is whatever the vault's owner has put there.
    (place::kind(layers, credential) != "vault-certificate").then(|| {
        let why = "what the vault's owner has put there becomes the value of a variable that the file chose";
        (why.to_owned(), host)
    })
}

/// A value for people who are to judge it: lists as they are written.
fn value(text: &str) -> String {
    match shown(text) {
        quoted if quoted.starts_with('"') && text.starts_with('[') => readable(text),
        other => other,
    }
}

/// What there is to be said about a file that was found, noted before its layers are used up.
#[derive(Debug)]
pub struct Doubts {
    needs: Vec<Need>,
    /// All that the file sets, in the words that a policy forbids with.
    set: Vec<(String, usize)>,
}

impl Doubts {
    /// Those about the file in these layers.
    pub fn about(layers: &Layers) -> Self {
        let set = from_file(layers).map(|(path, _, line)| (table::general(path), line)).collect();
        Self { needs: needs(layers), set }
    }

    /// Refuses what a policy forbids, and what needs trust and does not have it.
    ///
    /// # Errors
    /// `Class::Denied`, with all that is missing; `Class::Config` for a policy that is wrong itself.
    pub fn settle(self, file: &Text, places: &Places) -> Result<()> {
        let path = file.lies_at()?;
        let policy = Policy::read(&places.policies)?;
        if let Some((key, line)) = self.set.iter().find(|(key, _)| policy.forbids(key)) {
            return Err(Error::new(
                Class::Denied,
                format!("{} sets {key}, which a policy forbids", file.name),
            )
            .why(format!("line {line}; forbidden by {}", policy.names()))
            .fix("remove it, or set it by a flag or a variable"));
        }
        let needs: Vec<Need> =
            self.needs.into_iter().filter(|need| !policy.allows(&path, need.host.as_deref())).collect();
        if needs.is_empty() {
            return Ok(());
        }
        let mark = Mark::of(&path, &file.text);
        let before = match &places.store {
            Some(store) if store.holds(&mark)? => return Ok(()),
            Some(store) => store.last(&path)?,
            None => None,
        };
        Err(refusal(file, &path, &needs, before.as_ref()))
    }
}

/// Why a found file is not followed, and both ways out.
fn refusal(file: &Text, path: &Path, needs: &[Need], before: Option<&BTreeMap<String, String>>) -> Error {
    let found = "it was found by searching, and whoever wrote it could use this against you:".to_owned();
    let list = needs.iter().map(|need| format!("- {need}"));
    let lines = std::iter::once(found).chain(list).chain(before.map(|before| news(needs, before)));
    let why = lines.collect::<Vec<_>>().join("\n");
    let path = in_shell(path);
    Error::new(Class::Denied, format!("the configuration {} is not allowed", readable(&file.name)))
        .why(why)
        .fix(format!(
            "read it; then allow it as it is: apim-agent allow {path}\nor name it yourself: --config {path}"
        ))
}

/// A path as a word that a person may paste into a shell, whoever has named its folders.
pub fn in_shell(path: &Path) -> String {
    let text = readable(&path.display().to_string());
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// What is new against the last time it was allowed.
fn news(needs: &[Need], before: &BTreeMap<String, String>) -> String {
    let is_new = |need: &&Need| before.get(&need.key) != Some(&need.words());
    let keys: Vec<&str> = needs.iter().filter(is_new).map(|need| need.key.as_str()).collect();
    if keys.is_empty() {
        "it was allowed before; none of this has changed since, but other things have".to_owned()
    } else {
        format!("it was allowed before; since then changed: {}", keys.join(", "))
    }
}

#[cfg(test)]
mod tests;
