//! The parameters of a request: a form's body, or a query.

use super::errors::Refusal;
use crate::emulator::{server::pairs, wire::Request};
use std::collections::HashSet;

/// The fields of the form that are read; all others are tolerated, as Entra does with `client_info`, `claims` and
/// `x-client-…`.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// The body's fields. A body of another type is not read, so that everything is missing in it.
    ///
    /// A field that is there twice is refused before all else: which of the two would the other checks be about?
    pub(super) fn of_body(request: &Request) -> Result<Self, Refusal> {
        let is_form = request
            .header("content-type")
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        Self::of(if is_form { pairs(&request.body) } else { Vec::new() })
    }

    /// The query's parameters, under the same rule.
    pub(super) fn of_query(request: &Request) -> Result<Self, Refusal> {
        Self::of(request.query.clone())
    }

    fn of(pairs: Vec<(String, String)>) -> Result<Self, Refusal> {
        let mut names = HashSet::new();
        match pairs.iter().find(|(name, _)| !names.insert(name.as_str())) {
            Some((twice, _)) => Err(Refusal::duplicated(twice)),
            None => Ok(Self(pairs)),
        }
    }

    /// A field's value; one that is empty counts as absent (RFC 6749, 3.1).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key == name)?.1.as_str();
        (!value.is_empty()).then_some(value)
    }

    /// The same, where it cannot be done without.
    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }
}
