//! The APIM subscriptions: written by ARM, read by the gateway, which learns of changes late.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

/// `properties.state` of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The gateway refuses its keys.
    Suspended,
    /// Good.
    Active,
    /// Past its end.
    Expired,
    /// The default of a create: nobody has approved it.
    Submitted,
    /// Refused.
    Rejected,
    /// Ended by its owner.
    Cancelled,
}

/// One APIM subscription as ARM knows it.
#[derive(Clone)]
pub struct Subscription {
    /// Its name, the `sid`.
    pub sid: String,
    /// The scope below the service: `/products/ID`, `/apis`, `/apis/ID`.
    pub scope: String,
    /// Shown to people.
    pub display_name: String,
    /// Whether its keys are good.
    pub state: State,
    /// The user resource it belongs to, as sent.
    pub owner_id: Option<String>,
    /// Whether its calls may be traced.
    pub allow_tracing: Option<bool>,
    /// Primary key.
    pub primary_key: String,
    /// Secondary key.
    pub secondary_key: String,
    /// Created.
    pub created_at: SystemTime,
    /// `expirationDate`: for audit only; the gateway does not enforce it.
    pub expiration_date: Option<SystemTime>,
    /// Why it is in its state.
    pub state_comment: Option<String>,
    /// The entity tag without quotes; another one after each change.
    pub etag: String,
}

/// What the gateway knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Subscription.
    pub sid: String,
    /// Its scope.
    pub scope: String,
    /// Its state.
    pub state: State,
}

/// All subscriptions of the service.
pub struct Store {
    /// How long the gateway does not know a new or changed key. A key that ARM has replaced or deleted is refused at once.
    pub key_delay: Duration,
    subscriptions: Mutex<Vec<Subscription>>,
}

impl Store {
    /// An empty store.
    pub fn new(key_delay: Duration) -> Self {
        Self { key_delay, subscriptions: Mutex::default() }
    }

    /// Whose key that is, as far as the gateway knows at `now`.
    pub fn holder_of(&self, _key: &str, _now: SystemTime) -> Option<Holder> {
        let _ = &self.subscriptions;
        todo!()
    }
}
