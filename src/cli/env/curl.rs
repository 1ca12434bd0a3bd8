//! A configuration for `curl -K -`: each credential as the option that shows it to the gateway. Nothing of it is in an
//! argument, where other processes could read it. <https://curl.se/docs/manpage.html#-K>
//!
//! | kind | option |
//! |---|---|
//! | `subscription-key`, `brokered` | `header = "Ocp-Apim-Subscription-Key: …"` |
//! | `access-token`, `id-token` | `header = "Authorization: Bearer …"` |
//! | `vault-certificate` | `cert = "FILE"` and `key = "FILE"` |

use super::value;
use crate::{
    config::Kind,
    error::{Class, Error, Result},
    lifecycle::{control::Published, status::Credential},
    secret::assemble,
};
use zeroize::Zeroizing;

const KEY: &str = "header = \"Ocp-Apim-Subscription-Key: ";
const BEARER: &str = "header = \"Authorization: Bearer ";

/// The options for those of `wanted` that are published.
///
/// Errors: [`Class::Usage`] where two would go into the same header; [`Class::Config`] for one that has no header.
pub(super) fn config(published: &Published, wanted: &[&Credential]) -> Result<Zeroizing<Vec<u8>>> {
    let mut options: Vec<(&str, &str)> = Vec::new();
    let mut taken: Vec<(&str, &str)> = Vec::new();
    for entry in wanted.iter().filter(|entry| !entry.variables.is_empty()) {
        let starts = starts(entry.kind);
        let Some(first) = starts.first() else {
            // A secret of a vault is for whatever it is for. Among others it is passed over, alone it is what was meant.
            if wanted.len() == 1 {
                return Err(unfit(entry, "a vault's secret has no header of its own"));
            }
            continue;
        };
        if let Some((_, other)) = taken.iter().find(|(start, _)| start == first) {
            let what = format!("{other} and {} would go into the same header", entry.name);
            return Err(Error::new(Class::Usage, what)
                .why("a request carries one of each kind")
                .fix(format!("name one: --only {other}, or --only {}", entry.name)));
        }
        taken.push((first, &entry.name));
        let in_file = starts.len() == 1 && entry.variables.first() != Some(&entry.env);
        if in_file || starts.len() != entry.variables.len() {
            return Err(unfit(entry, "its value is in a file, since not every reader takes it as it stands"));
        }
        let values = entry.variables.iter().map(|name| value(published, name).unwrap_or_default());
        options.extend(starts.iter().copied().zip(values));
    }
    Ok(assemble(|put| {
        for (start, value) in &options {
            // Between quotes only a backslash and a quote mean anything, and no value holds one.
            [start, value, "\"\n"].into_iter().for_each(&mut *put);
        }
    }))
}

fn starts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::SubscriptionKey | Kind::Brokered => &[KEY],
        Kind::AccessToken | Kind::IdToken => &[BEARER],
        Kind::VaultCertificate => &["cert = \"", "key = \""],
        Kind::VaultSecret => &[],
    }
}

fn unfit(entry: &Credential, why: &str) -> Error {
    Error::new(Class::Config, format!("{} cannot be written for curl", entry.name))
        .why(why)
        .fix("apim-agent env --format json prints the variables; write the option yourself")
}
