//! What a request's body says: attributes, tags, texts. Pure.

use super::error::VaultError;
use crate::emulator::wire::Request;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// How long a deleted object can be recovered.
pub(super) const RETENTION: Duration = Duration::from_hours(90 * 24);

/// Application-specific names and values.
pub(super) type Tags = BTreeMap<String, String>;

/// `SecretAttributes` and `CertificateAttributes` of the official description; times in seconds since the Unix epoch.
///
/// `nbf` and `exp` of a secret are for information: Key Vault hands out a secret outside of them all the same
/// (<https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#date-time-controlled-operations>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) enabled: bool,
    pub(super) not_before: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) created: u64,
    pub(super) updated: u64,
}

impl Attributes {
    /// Of a new version.
    pub(super) fn new(now: SystemTime) -> Self {
        let now = crate::clock::unix(now);
        Self { enabled: true, not_before: None, expires: None, created: now, updated: now }
    }

    /// Of a policy or a list's row, which have no more than this.
    pub(super) fn short(&self) -> Value {
        let mut json = json!({ "enabled": self.enabled, "created": self.created, "updated": self.updated });
        for (name, time) in [("nbf", self.not_before), ("exp", self.expires)] {
            if let Some(time) = time {
                json[name] = json!(time);
            }
        }
        json
    }

    /// With what the vault does on deletion.
    pub(super) fn json(&self) -> Value {
        let mut json = self.short();
        json["recoveryLevel"] = json!("Recoverable+Purgeable");
        json["recoverableDays"] = json!(RETENTION.as_secs() / (24 * 3600));
        json
    }
}

/// What a body says of attributes and tags. `None`: not said, or `null`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) enabled: Option<bool>,
    pub(super) not_before: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) tags: Option<Tags>,
}

impl Changes {
    /// Carries the attributes over.
    pub(super) fn apply(&self, attributes: &mut Attributes) {
        attributes.enabled = self.enabled.unwrap_or(attributes.enabled);
        attributes.not_before = self.not_before.or(attributes.not_before);
        attributes.expires = self.expires.or(attributes.expires);
    }
}

/// A request's JSON object. Its properties are read by name; those that the description does not have are ignored.
pub(super) struct Body(Map<String, Value>);

impl Body {
    /// Reads it.
    pub(super) fn of(request: &Request) -> Result<Self, VaultError> {
        let media_type = request.header("content-type").and_then(|value| value.split(';').next());
        if !media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json")) {
            return Err(VaultError::media_type());
        }
        // Not what is wrong with it: the text around the error may be a secret.
        match serde_json::from_slice(&request.body) {
            Ok(Value::Object(body)) => Ok(Self(body)),
            _ => Err(VaultError::bad_parameter("The request body is not a JSON object.")),
        }
    }

    /// A property that is there and not `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text, where it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, VaultError> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| invalid(name))).transpose()
    }

    /// `attributes` and `tags`.
    pub(super) fn changes(&self) -> Result<Changes, VaultError> {
        let mut changes = Changes::default();
        if let Some(attributes) = self.get("attributes") {
            let attributes = attributes.as_object().ok_or_else(|| invalid("attributes"))?;
            let said = |name: &str| attributes.get(name).filter(|value| !value.is_null());
            let time =
                |name: &str| said(name).map(|value| value.as_u64().ok_or_else(|| invalid(name))).transpose();
            changes.enabled =
                said("enabled").map(|value| value.as_bool().ok_or_else(|| invalid("enabled"))).transpose()?;
            changes.not_before = time("nbf")?;
            changes.expires = time("exp")?;
        }
        if let Some(tags) = self.get("tags") {
            let tags = tags.as_object().ok_or_else(|| invalid("tags"))?;
            let pair = |(name, value): (&String, &Value)| {
                Ok((name.clone(), value.as_str().ok_or_else(|| invalid("tags"))?.to_owned()))
            };
            changes.tags = Some(tags.iter().map(pair).collect::<Result<_, VaultError>>()?);
        }
        Ok(changes)
    }
}

/// 400 for a property of the wrong kind.
pub(super) fn invalid(property: &str) -> VaultError {
    VaultError::bad_parameter(format!("Property {property} has invalid value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::testing::request;

    fn body(json: &Value) -> Result<Body, VaultError> {
        Body::of(
            &request("PUT", "/secrets/a")
                .with_header("content-type", "application/json; charset=utf-8")
                .with_body(json.to_string()),
        )
    }

    #[test]
    fn wrong_kinds_are_refused_by_name() {
        for (json, property) in [
            (json!({ "attributes": { "exp": "soon" } }), "exp"),
            (json!({ "attributes": { "nbf": -1 } }), "nbf"),
            (json!({ "attributes": { "enabled": 1 } }), "enabled"),
            (json!({ "attributes": 1 }), "attributes"),
            (json!({ "tags": { "a": 1 } }), "tags"),
        ] {
            let refused = body(&json).ok().unwrap().changes().unwrap_err();
            assert_eq!(refused, invalid(property), "{json}");
        }
        let nulls = json!({ "attributes": { "exp": null }, "tags": null, "contentType": null });
        let nulls = body(&nulls).ok().unwrap();
        assert_eq!(nulls.changes().unwrap(), Changes::default());
        assert_eq!(nulls.text("contentType").unwrap(), None);
    }

    #[test]
    fn a_body_that_is_none_is_not_told_back() {
        let torn = request("PUT", "/secrets/a")
            .with_header("content-type", "application/json")
            .with_body(r#"{"value":"tell-me"#);
        assert!(!Body::of(&torn).err().unwrap().message.contains("tell-me"));
        assert_eq!(body(&json!([])).err().unwrap().status, 400);
        let plain = request("PUT", "/secrets/a").with_body("{}");
        assert_eq!(Body::of(&plain).err().unwrap().status, 415);
    }
}
