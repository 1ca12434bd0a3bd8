//! The journal's text: a line that names the version, then one line of JSON for each record. Pure.
//!
//! ```text
//! {"journal":"apim-agent","version":1}
//! {"credential":"partner","kind":"subscription-key","sid":"ws-…","since":"2026-11-24T14:00:00Z","settings":{"workspace":"…", …}}
//! {"credential":"orders","kind":"tokens","until":"2026-11-24T15:00:00Z","since":"…","settings":{}}
//! ```
//!
//! A line counts when its line break is there. One that is cut off is what is left of a write that never returned, or of
//! another hand; it is passed over and told of.

use super::settings::Settings;
use crate::error::{Class, Error, Result};
use serde::{Deserialize, Serialize};

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;
const NAME: &str = "apim-agent";

/// Something that may exist at a service because of us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The credential's name in the configuration.
    pub credential: String,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// When it was announced, RFC 3339 in UTC.
    pub since: String,
    /// What leads to its service: settings of the configuration by their full names. Never a secret.
    pub settings: Settings,
}

/// What a [`Record`] is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// An APIM subscription.
    SubscriptionKey {
        /// Its id.
        sid: String,
    },
    /// Tokens that only whoever holds them could have revoked.
    Tokens {
        /// When the last one expires, RFC 3339 in UTC; `None` when that is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
}

impl Record {
    /// What it is about, whoever wrote it: two records with the same target are about the same thing.
    pub fn target(&self) -> String {
        match &self.what {
            What::SubscriptionKey { sid } => {
                let service = super::settings::service(&self.settings);
                // ARM compares names without regard to case.
                format!("{service}/subscriptions/{sid}").to_ascii_lowercase()
            }
            What::Tokens { .. } => format!("tokens of {}", self.credential),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    journal: String,
    version: u32,
}

/// What a text says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// Whether its last line is cut off.
    pub torn: bool,
}

/// The text of these records.
pub fn write(records: &[Record]) -> Result<String> {
    let head = Head { journal: NAME.to_owned(), version: VERSION };
    let lines =
        std::iter::once(serde_json::to_string(&head)).chain(records.iter().map(serde_json::to_string));
    let lines: Result<Vec<_>, _> = lines.collect();
    let lines = lines
        .map_err(|error| Error::new(Class::Internal, "a record has no JSON form").why(error.to_string()))?;
    Ok(lines.join("\n") + "\n")
}

/// Reads such a text. An empty one holds no records.
///
/// Errors: [`Class::TryAgain`], since something is left that this program cannot read: another version's, or another
/// hand's.
pub fn read(text: &[u8]) -> Result<Read> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // What stands behind the last line break: nothing, if all is well.
    let torn = lines.pop().is_some_and(|rest| !rest.is_empty());
    let Some((head, lines)) = lines.split_first() else { return Ok(Read { records: Vec::new(), torn }) };
    match serde_json::from_slice::<Head>(head) {
        Ok(Head { journal, version: VERSION }) if journal == NAME => {}
        Ok(Head { journal, version }) if journal == NAME => {
            return Err(Error::new(Class::TryAgain, format!("the journal is of version {version}"))
                .why(format!(
                    "this is apim-agent {}, which reads version {VERSION}",
                    env!("CARGO_PKG_VERSION")
                ))
                .fix("run `apim-agent release` of the version that wrote it"));
        }
        Ok(_) | Err(_) => return Err(unreadable(1, "it does not begin as a journal does")),
    }
    let record = |(at, line): (usize, &&[u8])| {
        // JSON's own words may repeat what stands there, which may be anything: not shown.
        serde_json::from_slice(line).map_err(|_| unreadable(at + 2, "it is no record"))
    };
    let records = lines.iter().enumerate().map(record).collect::<Result<_>>()?;
    Ok(Read { records, torn })
}

fn unreadable(line: usize, why: &str) -> Error {
    Error::new(Class::TryAgain, "the journal cannot be read")
        .why(format!("line {line}: {why}; another hand has written it"))
        .fix("look at it; what it lists may still exist at the service. Then remove it by hand")
}
