//! The operations on subscriptions: `Subscription_*` of the official description.

use super::{
    error::ArmError,
    filter::Filter,
    paging::{self, Window},
    subscription::{Draft, check_sid, contract},
    trace,
};
use crate::{
    emulator::{
        store::{Changed, Expect, Refused, State, Store, Subscription},
        wire::{Request, Response},
        world::World,
    },
    error::{Class, Error},
};
use serde_json::json;
use std::time::SystemTime;

/// Everything that an operation may need.
pub(super) struct Context<'a> {
    pub world: &'a World,
    pub store: &'a Store,
    pub request: &'a Request,
    pub now: SystemTime,
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Primary,
    Secondary,
}

type Outcome = Result<Response, ArmError>;

impl Context<'_> {
    /// `Subscription_List`.
    pub(super) fn list(&self) -> Outcome {
        let window = Window::of(self.request)?;
        let text = self.request.query("$filter");
        let filter = text.map(Filter::parse).transpose()?.unwrap_or_default();
        let keep = |candidate: &Subscription| filter.keeps(candidate);
        let (rows, count) = self.store.page(text.unwrap_or_default(), keep, window.skip, window.top);
        let rows: Vec<_> = rows.iter().map(|row| contract(self.world, row)).collect();
        Ok(Response::json(200, &paging::page(self.request, window, &rows, count)))
    }

    /// `Subscription_Get`.
    pub(super) fn get(&self, sid: &str) -> Outcome {
        let found = self.find(sid)?;
        Ok(self.entity(200, &found))
    }

    /// `Subscription_GetEntityTag`.
    pub(super) fn head(&self, sid: &str) -> Outcome {
        let found = self.find(sid)?;
        Ok(Response::new(200, "").header("ETag", quoted(&found.etag)))
    }

    /// `Subscription_CreateOrUpdate`. On an existing subscription a key or state that is not named stays as it is.
    pub(super) fn put(&self, sid: &str) -> Outcome {
        check_sid(sid)?;
        let draft = Draft::create(&self.request.body, self.world)?;
        let blank = blank([new_key()?, new_key()?], self.now);
        let expect = expectation(self.request)?.unwrap_or(Expect::Nothing);
        let changed = self.store.change(sid, expect, self.now, Some(blank), |entity| draft.apply(entity));
        match changed {
            Ok(Changed { subscription, created }) => {
                Ok(self.entity(if created { 201 } else { 200 }, &subscription))
            }
            // A precondition on something that is not there.
            Err(Refused::Missing) => Err(ArmError::modified()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// `Subscription_Update`.
    pub(super) fn patch(&self, sid: &str) -> Outcome {
        let expect = required(expectation(self.request)?)?;
        self.find(sid)?;
        let draft = Draft::update(&self.request.body, self.world)?;
        let changed = self.store.change(sid, expect, self.now, None, |entity| draft.apply(entity))?;
        Ok(self.entity(200, &changed.subscription))
    }

    /// `Subscription_Delete`. What is not there is as good as deleted: 204.
    pub(super) fn delete(&self, sid: &str) -> Outcome {
        let expect = required(expectation(self.request)?)?;
        match self.store.delete(sid, expect) {
            Ok(()) => Ok(Response::new(200, "")),
            Err(Refused::Missing) => Ok(Response::new(204, "")),
            Err(refused) => Err(refused.into()),
        }
    }

    /// `Subscription_ListSecrets`.
    pub(super) fn list_secrets(&self, sid: &str) -> Outcome {
        let found = self.find(sid)?;
        let keys = json!({ "primaryKey": found.primary_key, "secondaryKey": found.secondary_key });
        Ok(Response::json(200, &keys).header("ETag", quoted(&found.etag)))
    }

    /// `Subscription_RegeneratePrimaryKey` and `Subscription_RegenerateSecondaryKey`.
    pub(super) fn regenerate(&self, sid: &str, slot: Slot) -> Outcome {
        let key = new_key()?;
        self.store.change(sid, Expect::Any, self.now, None, |entity| match slot {
            Slot::Primary => entity.primary_key = key,
            Slot::Secondary => entity.secondary_key = key,
        })?;
        Ok(Response::new(204, ""))
    }

    fn find(&self, sid: &str) -> Result<Subscription, ArmError> {
        self.store.get(sid).ok_or_else(|| ArmError::entity_not_found("Subscription"))
    }

    fn entity(&self, status: u16, subscription: &Subscription) -> Response {
        Response::json(status, &contract(self.world, subscription)).header("ETag", quoted(&subscription.etag))
    }
}

/// A key as APIM draws it: 32 hexadecimal digits.
fn new_key() -> Result<String, ArmError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|why| {
        ArmError::internal(
            &Error::new(Class::Internal, "no random bytes from the system").why(why.to_string()),
        )
    })?;
    Ok(trace::hex(&bytes))
}

impl From<Refused> for ArmError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing => Self::entity_not_found("Subscription"),
            Refused::Modified => Self::modified(),
            // After APIM's "Product with the same name already exists"; its words for keys are not known.
            Refused::KeyTaken(property) => {
                Self::field(property, "Subscription with the same key already exists")
            }
        }
    }
}

fn blank([primary_key, secondary_key]: [String; 2], now: SystemTime) -> Subscription {
    Subscription {
        sid: String::new(),
        scope: String::new(),
        display_name: String::new(),
        state: State::Submitted,
        owner_id: None,
        allow_tracing: None,
        primary_key,
        secondary_key,
        created_at: now,
        expiration_date: None,
        state_comment: None,
        etag: String::new(),
    }
}

/// `If-Match`, with or without quotes around the tag; a list of tags is not what APIM takes.
fn expectation(request: &Request) -> Result<Option<Expect<'_>>, ArmError> {
    if !request.headers.contains_key("if-match") {
        return Ok(None);
    }
    match request.header("if-match").map(str::trim) {
        Some("*") => Ok(Some(Expect::Any)),
        Some(tag) if !tag.is_empty() && !tag.contains(',') => {
            let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
            Ok(Some(Expect::Tag(bare)))
        }
        _ => Err(ArmError::field("If-Match", "If-Match must hold * or one entity tag.")),
    }
}

/// The description makes `If-Match` required for PATCH and DELETE; the wording is ours.
fn required(expect: Option<Expect<'_>>) -> Result<Expect<'_>, ArmError> {
    expect.ok_or_else(|| ArmError::field("If-Match", "The If-Match header is required."))
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
