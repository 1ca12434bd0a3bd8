//! The subscription entity: what a client may send, and what ARM answers. Pure.
//!
//! Shapes: `SubscriptionCreateParameters`, `SubscriptionUpdateParameters` and `SubscriptionContract` of the official
//! description, 2024-05-01. Properties that those do not have (`expirationDate` in a create) and read-only ones are
//! ignored, as APIM ignores them: a client must not come to rely on their being heard.

use super::{
    error::{ArmError, Detail},
    time_format,
};
use crate::emulator::{
    store::{State, Subscription},
    world::World,
};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// The one API behind the emulated gateway.
pub(super) const API: &str = "echo";

/// Characters that no name in APIM may have (`^[^*#&+:<>?]+$`).
const FORBIDDEN: &[char] = &['*', '#', '&', '+', ':', '<', '>', '?'];

/// What a PUT or PATCH says. `None`: not said (or `null`).
#[derive(Default)]
pub(super) struct Draft {
    pub scope: Option<String>,
    pub display_name: Option<String>,
    pub state: Option<State>,
    pub owner_id: Option<String>,
    pub allow_tracing: Option<bool>,
    pub primary_key: Option<String>,
    pub secondary_key: Option<String>,
    /// PATCH only.
    pub expiration_date: Option<SystemTime>,
    /// PATCH only.
    pub state_comment: Option<String>,
}

impl Draft {
    /// The body of a PUT; `scope` and `displayName` are required.
    pub(super) fn create(body: &[u8], world: &World) -> Result<Self, ArmError> {
        let mut fields = Fields { properties: properties(body)?, refused: Vec::new() };
        let draft = Self::common(&mut fields, world);
        if draft.scope.is_none() && !fields.is_refused("scope") {
            fields.refuse("scope", "Scope is required.");
        }
        if draft.display_name.is_none() && !fields.is_refused("displayName") {
            fields.refuse("displayName", "Display name is required.");
        }
        fields.finish(draft, world)
    }

    /// The body of a PATCH.
    pub(super) fn update(body: &[u8], world: &World) -> Result<Self, ArmError> {
        let mut fields = Fields { properties: properties(body)?, refused: Vec::new() };
        let mut draft = Self::common(&mut fields, world);
        draft.state_comment = fields.text("stateComment", 0, usize::MAX);
        draft.expiration_date = fields.date("expirationDate");
        fields.finish(draft, world)
    }

    fn common(fields: &mut Fields, world: &World) -> Self {
        Self {
            scope: fields.scope(world),
            display_name: fields.text("displayName", 1, 100),
            state: fields.state(),
            owner_id: fields.owner(world),
            allow_tracing: fields.flag("allowTracing"),
            primary_key: fields.text("primaryKey", 1, 256),
            secondary_key: fields.text("secondaryKey", 1, 256),
            ..Self::default()
        }
    }

    /// Carries what the draft says into `subscription`.
    pub(super) fn apply(self, subscription: &mut Subscription) {
        set(&mut subscription.scope, self.scope);
        set(&mut subscription.display_name, self.display_name);
        set(&mut subscription.state, self.state);
        set(&mut subscription.primary_key, self.primary_key);
        set(&mut subscription.secondary_key, self.secondary_key);
        subscription.owner_id = self.owner_id.or(subscription.owner_id.take());
        subscription.allow_tracing = self.allow_tracing.or(subscription.allow_tracing);
        subscription.expiration_date = self.expiration_date.or(subscription.expiration_date);
        subscription.state_comment = self.state_comment.or(subscription.state_comment.take());
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// `sid` as the path parameter allows it: 1 to 256 characters, none of [`FORBIDDEN`].
pub(super) fn check_sid(sid: &str) -> Result<(), ArmError> {
    if sid.is_empty() || sid.chars().count() > 256 || sid.contains(FORBIDDEN) {
        // The wording is ours.
        return Err(ArmError::field(
            "sid",
            "Identifier must have 1 to 256 characters, none of them of *#&+:<>?.",
        ));
    }
    Ok(())
}

/// The answer to GET, PUT, PATCH and in lists. It holds no key: those are for `listSecrets` alone.
pub(super) fn contract(world: &World, subscription: &Subscription) -> Value {
    let service = world.service_id();
    let mut properties = json!({
        "scope": format!("{service}{}", subscription.scope),
        "displayName": subscription.display_name,
        "state": subscription.state,
        "createdDate": time_format::rfc3339(subscription.created_at),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            properties[name] = value;
        }
    };
    add("ownerId", subscription.owner_id.as_ref().map(|owner| json!(format!("{service}{owner}"))));
    add("expirationDate", subscription.expiration_date.map(|date| json!(time_format::rfc3339(date))));
    add("stateComment", subscription.state_comment.as_ref().map(|comment| json!(comment)));
    add("allowTracing", subscription.allow_tracing.map(|allow| json!(allow)));
    json!({
        "id": format!("{service}/subscriptions/{}", subscription.sid),
        "type": "Microsoft.ApiManagement/service/subscriptions",
        "name": subscription.sid,
        "properties": properties,
    })
}

/// The `properties` of a body. They are optional in the description: SDKs leave them out of a PATCH that changes
/// nothing.
fn properties(body: &[u8]) -> Result<Map<String, Value>, ArmError> {
    let invalid = |why: &str| {
        let message = format!("The request content was invalid and could not be deserialized: '{why}'.");
        ArmError::new(400, "InvalidRequestContent", message)
    };
    let mut body = match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => body,
        Ok(_) => return Err(invalid("the content is not an object")),
        // Position and kind only: the text around it may be a key.
        Err(error) => {
            let why = format!("{:?} at line {}, column {}", error.classify(), error.line(), error.column());
            return Err(invalid(&why));
        }
    };
    match body.remove("properties") {
        Some(Value::Object(properties)) => Ok(properties),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(_) => Err(ArmError::field("properties", "Properties must be an object.")),
    }
}

/// The properties of a request, and what was wrong with them so far.
struct Fields {
    properties: Map<String, Value>,
    refused: Vec<Detail>,
}

impl Fields {
    fn refuse(&mut self, target: &'static str, message: impl Into<String>) {
        self.refused.push(Detail { target, message: message.into() });
    }

    fn is_refused(&self, target: &str) -> bool {
        self.refused.iter().any(|detail| detail.target == target)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.properties.get(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str, min: usize, max: usize) -> Option<String> {
        match self.value(name)?.as_str() {
            Some(text) if (min..=max).contains(&text.chars().count()) => Some(text.to_owned()),
            Some(_) => {
                self.refuse(name, format!("'{name}' must have {min} to {max} characters."));
                None
            }
            None => {
                self.refuse(name, format!("'{name}' must be a string."));
                None
            }
        }
    }

    fn flag(&mut self, name: &'static str) -> Option<bool> {
        let flag = self.value(name)?.as_bool();
        if flag.is_none() {
            self.refuse(name, format!("'{name}' must be a boolean."));
        }
        flag
    }

    fn state(&mut self) -> Option<State> {
        let state = serde_json::from_value(self.value("state")?.clone()).ok();
        if state.is_none() {
            self.refuse(
                "state",
                "'state' must be one of suspended, active, expired, submitted, rejected, cancelled.",
            );
        }
        state
    }

    fn date(&mut self, name: &'static str) -> Option<SystemTime> {
        let date = self.value(name)?.as_str().and_then(time_format::parse);
        if date.is_none() {
            self.refuse(name, format!("'{name}' must be a date and time such as 2026-11-24T14:00:00Z."));
        }
        date
    }

    /// The scope below the service, out of its short or its full form.
    fn scope(&mut self, world: &World) -> Option<String> {
        let scope = self.text("scope", 0, usize::MAX)?;
        let short = short_id(&scope, world).and_then(|short| {
            let parts: Vec<&str> = short.split('/').skip(1).collect();
            match parts[..] {
                [all] if all.eq_ignore_ascii_case("apis") => Some("/apis".to_owned()),
                [kind, id] if is_name(id) && kind.eq_ignore_ascii_case("apis") => Some(format!("/apis/{id}")),
                [kind, id] if is_name(id) && kind.eq_ignore_ascii_case("products") => {
                    Some(format!("/products/{id}"))
                }
                _ => None,
            }
        });
        if short.is_none() {
            self.refuse(
                "scope",
                "Subscription scope should be one of '/apis', '/apis/{apiId}', '/products/{productId}'",
            );
        }
        short
    }

    /// The owner below the service. Whether that user exists is not checked: the emulator has no users.
    fn owner(&mut self, world: &World) -> Option<String> {
        let owner = self.text("ownerId", 0, usize::MAX)?;
        let short = short_id(&owner, world).filter(|short| {
            let parts: Vec<&str> = short.split('/').skip(1).collect();
            matches!(parts[..], [kind, id] if kind.eq_ignore_ascii_case("users") && is_name(id))
        });
        if short.is_none() {
            self.refuse("ownerId", "'ownerId' must be a user's id in the form /users/{userId}.");
        }
        short.map(str::to_owned)
    }

    /// All fields are read: refuses them together, and then a scope that does not exist.
    ///
    /// That APIM answers 404 for such a scope rather than 400 is not confirmed.
    fn finish(self, draft: Draft, world: &World) -> Result<Draft, ArmError> {
        if !self.refused.is_empty() {
            return Err(ArmError::validation(self.refused));
        }
        match draft.scope.as_deref().map(|scope| exists(scope, world)) {
            Some(Err(missing)) => Err(ArmError::entity_not_found(missing)),
            _ => Ok(draft),
        }
    }
}

/// Whether a scope is there; else what is missing.
fn exists(scope: &str, world: &World) -> Result<(), &'static str> {
    if let Some(product) = scope.strip_prefix("/products/") {
        let known = [&world.product, &world.foreign_product];
        return known.iter().any(|known| known.eq_ignore_ascii_case(product)).then_some(()).ok_or("Product");
    }
    match scope.strip_prefix("/apis/") {
        Some(api) if !api.eq_ignore_ascii_case(API) => Err("Api"),
        _ => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(FORBIDDEN)
}

/// The part of an id below the service, with its leading slash; ids of other services are none of ours.
fn short_id<'a>(id: &'a str, world: &World) -> Option<&'a str> {
    if !id.to_ascii_lowercase().starts_with("/subscriptions/") {
        return id.starts_with('/').then_some(id);
    }
    let service = world.service_id();
    let (head, below) = id.split_at_checked(service.len())?;
    (head.eq_ignore_ascii_case(&service) && below.starts_with('/')).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(properties: &Value) -> Vec<u8> {
        json!({ "properties": properties }).to_string().into_bytes()
    }

    fn create(properties: &Value) -> Result<Draft, ArmError> {
        Draft::create(&body(properties), &World::default())
    }

    fn targets(properties: &Value) -> Vec<&'static str> {
        let error = create(properties).err().expect("refused");
        assert_eq!((error.status, error.code), (400, "ValidationError"));
        error.details.iter().map(|detail| detail.target).collect()
    }

    #[test]
    fn scopes_are_taken_in_short_and_full_form() {
        let service = World::default().service_id();
        for (sent, kept) in [
            ("/products/starter".to_owned(), "/products/starter"),
            (format!("{service}/products/unlimited"), "/products/unlimited"),
            (format!("{}/apis", service.to_uppercase()), "/apis"),
            ("/APIs/echo".to_owned(), "/apis/echo"),
        ] {
            let draft = create(&json!({ "scope": sent, "displayName": "d" })).ok().unwrap();
            assert_eq!(draft.scope.as_deref(), Some(kept), "{sent}");
        }
        for sent in [
            "",
            "/",
            "apis",
            "/products",
            "/products/",
            "/products/a/b",
            "/users/1",
            "/products/a:b",
            &service,
        ] {
            let error = create(&json!({ "scope": sent, "displayName": "d" })).err().unwrap();
            assert_eq!(error.details[0].target, "scope", "{sent}");
            assert_eq!(
                error.details[0].message,
                "Subscription scope should be one of '/apis', '/apis/{apiId}', '/products/{productId}'"
            );
        }
        for sent in ["/products/none", "/apis/none"] {
            let error = create(&json!({ "scope": sent, "displayName": "d" })).err().unwrap();
            assert_eq!((error.status, error.code), (404, "ResourceNotFound"));
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        assert_eq!(targets(&json!({})), ["scope", "displayName"]);
        assert_eq!(targets(&Value::Null), ["scope", "displayName"]);
        let all = json!({
            "scope": "x", "displayName": "", "state": "Active", "ownerId": "/groups/1", "allowTracing": "yes",
            "primaryKey": "", "secondaryKey": "k".repeat(257),
        });
        let named =
            ["scope", "displayName", "state", "ownerId", "allowTracing", "primaryKey", "secondaryKey"];
        assert_eq!(targets(&all), named);
        assert_eq!(targets(&json!({ "scope": "/apis", "displayName": "d".repeat(101) })), ["displayName"]);
        assert_eq!(targets(&json!({ "scope": "/apis", "displayName": 7 })), ["displayName"]);
        assert!(
            create(
                &json!({ "scope": "/apis", "displayName": "d".repeat(100), "primaryKey": "k".repeat(256) })
            )
            .is_ok()
        );
    }

    #[test]
    fn no_refusal_repeats_a_key() {
        let error =
            create(&json!({ "scope": "/apis", "displayName": "d", "primaryKey": "tell-me".repeat(99) }));
        assert!(!format!("{:?}", error.err().unwrap()).contains("tell-me"));
        let torn =
            Draft::create(br#"{"properties":{"primaryKey":"tell-me"#, &World::default()).err().unwrap();
        assert_eq!((torn.status, torn.code), (400, "InvalidRequestContent"));
        assert!(!torn.message.contains("tell-me"));
    }

    #[test]
    fn an_expiry_is_heard_in_a_patch_only() {
        let properties =
            json!({ "scope": "/apis", "displayName": "d", "expirationDate": "2026-11-24T14:00:00Z" });
        assert_eq!(create(&properties).ok().unwrap().expiration_date, None);
        let draft = Draft::update(&body(&properties), &World::default()).ok().unwrap();
        assert_eq!(draft.expiration_date.map(crate::clock::rfc3339).as_deref(), Some("2026-11-24T14:00:00Z"));
        for refused in ["soon", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"] {
            let body = body(&json!({ "expirationDate": refused }));
            assert!(Draft::update(&body, &World::default()).is_err(), "{refused}");
        }
        assert!(Draft::update(b"{}", &World::default()).is_ok(), "a PATCH may change nothing");
        assert!(Draft::update(b"[]", &World::default()).is_err());
        assert!(Draft::update(br#"{"properties":7}"#, &World::default()).is_err());
    }

    #[test]
    fn sids_are_checked() {
        assert!(check_sid("ws-0123 abc").is_ok() && check_sid(&"s".repeat(256)).is_ok());
        assert!(check_sid("").is_err() && check_sid("a:b").is_err() && check_sid(&"s".repeat(257)).is_err());
    }
}
