//! The form of a request to the broker.

use super::Refusal;
use crate::emulator::{server::pairs, wire::Request};
use std::collections::HashSet;

/// Parameters that may be there several times (RFC 8693, 2.1). All others may not (RFC 6749, 3.2).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// The parameters, decoded. One without a value counts as left out (RFC 6749, 3.1).
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body.
    pub(super) fn read(request: &Request) -> Result<Self, Refusal> {
        let media = request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        if !media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refusal::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        let form = pairs(&request.body);
        let mut names = HashSet::new();
        let repeated = form.iter().find(|(name, _)| {
            let first = names.insert(name.as_str());
            !first && !REPEATABLE.contains(&name.as_str())
        });
        match repeated {
            Some((name, _)) => {
                Err(Refusal::invalid_request(format!("the parameter {name} is there more than once")))
            }
            None => Ok(Self(form)),
        }
    }

    /// A parameter's value, the first one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All of its values.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, value)| key == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }
}
