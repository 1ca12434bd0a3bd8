//! What a machine's or a user's policy says about configurations that are found: `policy.toml`.
//!
//! ```toml
//! allow_hosts = ["contoso.azure-api.net", "*.contoso.com"]       # places that may be sent what is theirs
//! allow_files = ["/workspace/payments/apim-agent.toml"]          # allowed whatever is in them
//! forbid = ["identity.command", "exchanges.*.token_endpoint"]    # never from a found file, allowed or not
//! ```
//!
//! Several policies add up; what one forbids, none allows.

use super::table;
use crate::error::{Class, Error, Result};
use nix::unistd::Uid;
use serde::Deserialize;
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A policy is a few lines.
const LARGEST: u64 = 64 * 1024;

/// All policies, added up.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    allow_hosts: Vec<String>,
    allow_files: Vec<PathBuf>,
    forbid: Vec<String>,
    #[serde(skip)]
    read: Vec<PathBuf>,
}

impl Policy {
    /// Reads those of `paths` that exist.
    ///
    /// # Errors
    /// `Class::Config` for one that somebody else may write, or that is wrong: nothing is guessed about a policy.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut all = Self::default();
        for path in paths {
            let Some(text) = text(path)? else { continue };
            let one = parse(&text).map_err(|why| wrong(path, why))?;
            all.allow_hosts.extend(one.allow_hosts);
            all.allow_files.extend(one.allow_files);
            all.forbid.extend(one.forbid);
            all.read.push(path.clone());
        }
        Ok(all)
    }

    /// Whether `file` may say what it likes, or what it needs trust for is a `host` that is allowed.
    pub fn allows(&self, file: &Path, host: Option<&str>) -> bool {
        let is_allowed = |host: &str| self.allow_hosts.iter().any(|pattern| matches(pattern, host));
        self.allow_files.iter().any(|allowed| allowed == file) || host.is_some_and(is_allowed)
    }

    /// Whether no found file may set `key`, as `table::general` writes it.
    pub fn forbids(&self, key: &str) -> bool {
        self.forbid.iter().any(|forbidden| forbidden == key)
    }

    /// The files that were read, for messages.
    pub fn names(&self) -> String {
        self.read.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// `*.contoso.com` is every name below it, and not itself.
fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => pattern == host,
    }
}

fn parse(text: &str) -> Result<Policy, String> {
    let policy: Policy = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let is_host = |pattern: &&String| {
        let name = pattern.strip_prefix("*.").unwrap_or(pattern);
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-[]:".contains(c);
        !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
    };
    if let Some(host) = policy.allow_hosts.iter().find(|host| !is_host(host)) {
        return Err(format!(
            "allow_hosts has {host:?}; allowed are hosts in lower case, such as contoso.azure-api.net or *.contoso.com"
        ));
    }
    if let Some(file) = policy.allow_files.iter().find(|file| !file.is_absolute()) {
        return Err(format!("allow_files has {}; allowed are absolute paths", file.display()));
    }
    let is_known = |key: &&String| table::TABLE.iter().any(|row| row.key == key.as_str());
    if let Some(key) = policy.forbid.iter().find(|key| !is_known(key)) {
        return Err(format!(
            "forbid has {key:?}; allowed are settings, such as identity.command (which stands for those of \
             [identities.NAME] too) or exchanges.*.token_endpoint"
        ));
    }
    Ok(policy)
}

/// The text of a policy that only root or we can have written; `None` where there is none.
fn text(path: &Path) -> Result<Option<String>> {
    let failed = |error: std::io::Error| wrong(path, error.to_string());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(wrong(path, "it is not a regular file"));
    }
    if ![0, Uid::effective().as_raw()].contains(&found.uid()) {
        return Err(wrong(path, format!("it belongs to another user (uid {})", found.uid())));
    }
    if found.mode() & 0o022 != 0 {
        return Err(wrong(path, "others may write to it"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(wrong(path, format!("it is larger than {} KiB", LARGEST / 1024)));
    }
    Ok(Some(text))
}

fn wrong(path: &Path, why: impl Into<String>) -> Error {
    Error::new(Class::Config, format!("the policy {} cannot be followed", path.display()))
        .why(why)
        .fix("correct it: a TOML file of root's or yours with allow_hosts, allow_files and forbid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn a_pattern_is_a_host_or_all_below_a_domain() {
        for (pattern, host, wanted) in [
            ("contoso.com", "contoso.com", true),
            ("contoso.com", "a.contoso.com", false),
            ("*.contoso.com", "a.contoso.com", true),
            ("*.contoso.com", "a.b.contoso.com", true),
            ("*.contoso.com", "contoso.com", false),
            ("*.contoso.com", ".contoso.com", false),
            ("*.contoso.com", "evilcontoso.com", false),
            ("*.contoso.com", "contoso.com.evil.example", false),
        ] {
            assert_eq!(matches(pattern, host), wanted, "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_with_the_reason() {
        for (text, words) in [
            ("allow_host = []", "unknown field"),
            ("allow_hosts = \"x\"", "invalid type"),
            ("allow_hosts = [\"https://x\"]", "allowed are hosts"),
            ("allow_hosts = [\"*\"]", "allowed are hosts"),
            ("allow_hosts = [\"*.\"]", "allowed are hosts"),
            ("allow_files = [\"apim-agent.toml\"]", "absolute"),
            ("forbid = [\"identity.comand\"]", "allowed are settings"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn policies_add_up_and_belong_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, none] = ["one", "two", "none"].map(|name| folder.path().join(name));
        for (path, text) in [(&one, "forbid = [\"ca_file\"]"), (&two, "allow_hosts = [\"h\"]")] {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let paths = [one.clone(), two, none];
        let policy = Policy::read(&paths).unwrap();
        assert!(policy.forbids("ca_file") && policy.allows(Path::new("/x"), Some("h")));
        assert!(!policy.allows(Path::new("/x"), None));
        fs::set_permissions(&one, fs::Permissions::from_mode(0o664)).unwrap();
        let error = Policy::read(&paths).unwrap_err();
        assert!(error.class == Class::Config && error.to_string().contains("others may write"), "{error}");
    }
}
