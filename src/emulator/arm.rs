//! Azure Resource Manager, as far as APIM subscriptions need it.
//!
//! A request goes through the same gates, in the same order, as in Azure: api-version, token, throttling, the Azure
//! subscription, the role assignment, the resource group, the service, and only then the operation. Facts come from
//! the official description (2024-05-01); where a status or wording is not known, the place says so.

mod api_version;
mod auth;
mod bucket;
mod catalog;
mod error;
mod filter;
mod media;
mod paging;
mod route;
mod subscription;
mod subscriptions;
mod time_format;
mod trace;

#[cfg(test)]
mod tests;

use crate::{
    clock,
    emulator::{
        jwt,
        store::Store,
        wire::{Request, Response, Service},
        world::World,
    },
};
use async_trait::async_trait;
use auth::Caller;
use bucket::{Bucket, Kind};
use error::ArmError;
use route::{Call, ServiceName};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};
use subscriptions::{Context, Slot};

/// The emulated ARM.
pub struct Arm {
    world: Arc<World>,
    store: Arc<Store>,
    entra_keys: Arc<jwt::SigningKey>,
    /// By principal and the header that tells of it, which names level (tenant or subscription) and kind of operation.
    buckets: Mutex<HashMap<(String, &'static str), Bucket>>,
    /// Requests so far.
    count: AtomicU64,
}

impl Arm {
    /// ARM over `store`, for tokens signed with `entra_keys`.
    pub fn new(world: Arc<World>, store: Arc<Store>, entra_keys: Arc<jwt::SigningKey>) -> Self {
        Self { world, store, entra_keys, buckets: Mutex::default(), count: AtomicU64::new(0) }
    }

    /// Answers `request` as of `now`: all that [`Service::answer`] does, with the time as an input.
    pub fn answer_at(&self, request: &Request, now: SystemTime) -> Response {
        // What stands in front of ARM says this, and does not know ARM's headers.
        if media::lacks_length(request) {
            return media::length_required();
        }
        let mut caller = None;
        let answer = self.gates(request, now, &mut caller).unwrap_or_else(|error| error.response());
        let mut answer = trace::stamp(answer, request, now, self.count.fetch_add(1, Ordering::Relaxed));
        // Entra's own tokens always say whether they are a person's.
        answer.caller = caller.map(|Caller { client, who, .. }| {
            who.map_or_else(|| format!("app {client}"), |who| who.to_string())
        });
        answer
    }

    fn gates(
        &self,
        request: &Request,
        now: SystemTime,
        seen: &mut Option<Caller>,
    ) -> Result<Response, ArmError> {
        let place = format!("{} {}", request.method, request.path);
        let call =
            route::find(&request.method, &request.path).ok_or_else(|| ArmError::not_implemented(&place))?;
        if !call.operation.implemented {
            return Err(ArmError::not_implemented(call.operation.id));
        }
        api_version::check(&call, request.query("api-version"))?;
        if call.operation.id == "Metadata_Endpoints" {
            return Ok(Response::json(200, &catalog::endpoints(&request.host)));
        }
        // Twice there, it stands for one whose format is wrong.
        let authorization =
            if request.repeats("authorization") { Some("") } else { request.header("authorization") };
        let caller = auth::authenticate(authorization, &self.world, now, |token| {
            jwt::verify(token, self.entra_keys.jwks())
        })?;
        let caller = seen.insert(caller);
        let (header, left) = self.throttle(&call, caller, request, now)?;
        let answer = self.authorized(&call, caller, request, now).unwrap_or_else(|error| error.response());
        Ok(answer.header(header, left.to_string()))
    }

    /// Takes a token from the caller's bucket: the header to tell of it, and how many are left.
    fn throttle(
        &self,
        call: &Call,
        caller: &Caller,
        request: &Request,
        now: SystemTime,
    ) -> Result<(&'static str, u64), ArmError> {
        let kind = Kind::of(&request.method);
        let header = kind.remaining(call.service.is_some());
        // One map for the life of an emulator: as many entries as it has seen principals.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets
            .entry((caller.object_id.clone(), header))
            .or_insert_with(|| Bucket::new(kind, self.world.arm_refill, now));
        let left = bucket.take(now).map_err(|wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            let message = format!(
                "Number of '{}' requests for subscription '{}' actor '{}' exceeded. Please try again after \
                 '{seconds}' seconds after additional tokens are available. Refer to \
                 https://aka.ms/arm-throttling for additional information.",
                kind.name(),
                self.world.subscription_id,
                caller.object_id
            );
            ArmError::new(429, "TooManyRequests", message)
                .header("Retry-After", seconds.to_string())
                .header(header, "0")
        })?;
        Ok((header, left))
    }

    /// The gates behind the token.
    fn authorized(
        &self,
        call: &Call,
        caller: &Caller,
        request: &Request,
        now: SystemTime,
    ) -> Result<Response, ArmError> {
        let world = &*self.world;
        let Some(service) = &call.service else {
            return Ok(Response::json(200, &catalog::azure_subscriptions(world)));
        };
        if !service.subscription_id.eq_ignore_ascii_case(&world.subscription_id) {
            let message = format!("The subscription '{}' could not be found.", service.subscription_id);
            return Err(ArmError::new(404, "SubscriptionNotFound", message));
        }
        let action = call.operation.action.ok_or_else(|| ArmError::not_implemented(call.operation.id))?;
        auth::authorize(caller, world, action, &scope(call, &request.path))?;
        find_service(service, world)?;
        media::check(request)?;

        let context = Context { world, store: &self.store, request, now };
        match (call.operation.id, &call.names[..]) {
            ("ApiManagementService_Get", []) => Ok(Response::json(200, &catalog::service(world))),
            ("Product_ListByService", []) => Ok(Response::json(200, &catalog::product_list(world, request)?)),
            ("Product_Get", [id]) => {
                Ok(Response::json(200, &catalog::product(world, id)?).header("ETag", "\"AAAAAAAAAAA=\""))
            }
            ("Subscription_List", []) => context.list(),
            ("Subscription_Get", [sid]) => context.get(sid),
            ("Subscription_GetEntityTag", [sid]) => context.head(sid),
            ("Subscription_CreateOrUpdate", [sid]) => context.put(sid),
            ("Subscription_Update", [sid]) => context.patch(sid),
            ("Subscription_Delete", [sid]) => context.delete(sid),
            ("Subscription_ListSecrets", [sid]) => context.list_secrets(sid),
            ("Subscription_RegeneratePrimaryKey", [sid]) => context.regenerate(sid, Slot::Primary),
            ("Subscription_RegenerateSecondaryKey", [sid]) => context.regenerate(sid, Slot::Secondary),
            (other, _) => Err(ArmError::not_implemented(other)),
        }
    }
}

#[async_trait]
impl Service for Arm {
    fn name(&self) -> &'static str {
        "arm"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        route::find(&request.method, &request.path).map(|call| call.operation.id)
    }

    fn operations(&self) -> Vec<&'static str> {
        route::ids()
    }

    async fn answer(&self, _operation: &'static str, request: &Request) -> Response {
        self.answer_at(request, clock::now())
    }
}

/// The resource that a role has to cover: that of the path, or its parent where the last part is an action or a list.
fn scope(call: &Call, path: &str) -> String {
    let path = path.trim_end_matches('/');
    let below = call.operation.path.split('/').filter(|part| !part.is_empty()).count();
    // A list is named by one part and an action by three; a resource by two, or none.
    if below % 2 == 0 {
        path.to_owned()
    } else {
        path.rsplit_once('/').map_or(path, |(parent, _)| parent).to_owned()
    }
}

fn find_service(service: &ServiceName, world: &World) -> Result<(), ArmError> {
    let ServiceName { resource_group, name, .. } = service;
    if !resource_group.eq_ignore_ascii_case(&world.resource_group) {
        let message = format!("Resource group '{resource_group}' could not be found.");
        return Err(ArmError::new(404, "ResourceGroupNotFound", message));
    }
    if !name.eq_ignore_ascii_case(&world.service_name) {
        let message = format!(
            "The Resource 'Microsoft.ApiManagement/service/{name}' under resource group '{resource_group}' was not \
             found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        return Err(ArmError::new(404, "ResourceNotFound", message));
    }
    Ok(())
}
