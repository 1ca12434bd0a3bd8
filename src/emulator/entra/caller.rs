//! Whom a token speaks for, as services write it into their logs.

use serde_json::Value;
use std::fmt;

/// A person or a workspace. Both are names that may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum Caller {
    /// A person, by user principal name.
    User(String),
    /// A workspace: the application speaks for itself. By subject.
    Workspace(String),
}

impl Caller {
    /// Reads an access token's claims, of version 1 or 2. `None`: they say neither.
    ///
    /// `idtyp` decides where it is there (applications may leave it out of their tokens); otherwise a token with
    /// delegated permissions (`scp`) is a person's.
    pub(in crate::emulator) fn of(claims: &Value) -> Option<Self> {
        let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let is_user = match claims["idtyp"].as_str() {
            Some(kind) => kind == "user",
            None => claims["scp"].is_string(),
        };
        if is_user {
            let name = text("upn").or_else(|| text("preferred_username")).or_else(|| text("oid"));
            name.map(Self::User)
        } else {
            text("sub").map(Self::Workspace)
        }
    }
}

/// `user jane@acme.example`, `workspace 5f3c…`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Workspace(subject) => write!(f, "workspace {subject}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_and_workspaces_are_told_apart() {
        let told = |claims: Value| Caller::of(&claims).map(|caller| caller.to_string());
        let user = json!({"idtyp": "user", "upn": "jane@acme.example", "sub": "s", "scp": "x"});
        assert_eq!(told(user).as_deref(), Some("user jane@acme.example"));
        let second = json!({"scp": "x", "preferred_username": "jane@acme.example"});
        assert_eq!(told(second).as_deref(), Some("user jane@acme.example"));
        assert_eq!(told(json!({"idtyp": "app", "sub": "s"})).as_deref(), Some("workspace s"));
        assert_eq!(told(json!({"sub": "s", "roles": ["r"]})).as_deref(), Some("workspace s"));
        // A name alone makes nobody a person.
        assert_eq!(told(json!({"idtyp": "app", "sub": "s", "upn": "x"})).as_deref(), Some("workspace s"));
        assert_eq!(told(json!({})), None);
    }
}
