//! The subscriptions of one APIM service at ARM: list, look, delete. All I/O of `reap` is here.
//!
//! API: `Microsoft.ApiManagement/service/subscriptions`, version 2024-05-01. Every request keeps to the budget, and what
//! ARM says of it in its answers is heard. No key is ever asked for.

use super::{
    budget::{Bucket, Budget},
    judge::Subscription,
    page::{Page, Pages},
};
use crate::{
    clock, config,
    error::{Class, Error, Result},
    exchange::{AccessToken, Exchange},
    http::{Client, answer::retry_after},
    lease::{
        arm_error::{self, Answer, Effect, Fault, Operation},
        bearer::Bearer,
    },
};
use azure_core::time::parse_rfc7231;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};
use url::Url;

const API_VERSION: &str = "2024-05-01";

/// How long ARM is left alone after a 429 that does not say it.
const USUAL_WAIT: Duration = Duration::from_secs(10);

/// What ARM's headers with what is left of a budget begin with; the level and the kind of request follow.
const REMAINING: &str = "x-ms-ratelimit-remaining-";

/// Which budget a request draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reads,
    Deletes,
}

/// A token of the budget for deletes, to be used by [`Service::delete`]; without that it goes back.
pub(super) struct Permit<'a> {
    service: &'a Service,
    used: bool,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.service.bucket(Kind::Deletes).give_back();
        }
    }
}

/// One subscription as it is now.
pub(super) struct Current {
    /// Itself.
    pub(super) subscription: Subscription,
    /// Its version.
    pub(super) etag: HeaderValue,
}

/// What became of a DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    /// It is gone, by us.
    Done,
    /// It was gone already.
    Gone,
    /// It has changed since it was looked at, and is still there.
    Changed,
}

/// One APIM service's subscriptions.
pub struct Service {
    http: Client,
    bearer: Bearer,
    /// `…/service/NAME/subscriptions`.
    subscriptions: Url,
    buckets: [Mutex<Bucket>; 2],
    throttled: AtomicU64,
    /// By how many seconds our clock was ahead of ARM's at its last answer.
    ahead: AtomicU64,
}

impl Service {
    /// The service with the ARM resource id `service`, within `budget`. Connects nowhere yet.
    pub fn new(
        arm: &config::Arm,
        service: &str,
        budget: Budget,
        exchange: Arc<dyn Exchange>,
        http: Client,
    ) -> Self {
        let mut url = arm.url.clone();
        url.set_path(&format!("{}{service}/subscriptions", arm.url.path().trim_end_matches('/')));
        let now = Instant::now();
        let buckets = [budget.reads, budget.deletes].map(|rate| Mutex::new(Bucket::new(rate, now)));
        let bearer = Bearer::new(exchange, &arm.scope);
        Self {
            http,
            bearer,
            subscriptions: url,
            buckets,
            throttled: AtomicU64::default(),
            ahead: AtomicU64::default(),
        }
    }

    /// How often ARM has said 429.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// By how much our clock is ahead of ARM's, as of its last answer. Who is judged by a clock that is wrong by days
    /// would seem to be dead.
    pub(super) fn ahead(&self) -> Duration {
        Duration::from_secs(self.ahead.load(Ordering::Relaxed))
    }

    /// The first page's place, and the way on from there. ARM leaves out what cannot be the agent's, by its id.
    pub(super) fn pages(&self) -> (Url, Pages) {
        let mut url = self.subscriptions.clone();
        url.query_pairs_mut()
            .append_pair("api-version", API_VERSION)
            .append_pair("$filter", "startswith(name,'ws-')");
        // The plus sign for a space is only for forms; there is none.
        (url.clone(), Pages::of(url))
    }

    /// One page of the list.
    pub(super) async fn page(&self, url: &Url) -> Result<Page> {
        let answer = self.send(Kind::Reads, Method::GET, url, None).await?;
        if answer.status() == 200 {
            return Page::read(answer.body());
        }
        let Fault { mut error, .. } = refusal(Operation::Read, "", &answer);
        "ARM did not list the subscriptions".clone_into(&mut error.what);
        Err(error)
    }

    /// The subscription `sid` as it is now; `None` if it is gone.
    pub(super) async fn look(&self, sid: &str) -> Result<Option<Current>> {
        let answer = self.send(Kind::Reads, Method::GET, &self.url(sid), None).await?;
        if answer.status() != 200 {
            return match refusal(Operation::Read, sid, &answer) {
                Fault { effect: Effect::Missing, .. } => Ok(None),
                Fault { error, .. } => Err(error),
            };
        }
        let unclear = |why: &str| {
            Error::new(Class::Unavailable, format!("ARM did not show the subscription {sid}"))
                .why(why)
                .fix("see what answers in ARM's place (a proxy?)")
        };
        let subscription: Subscription = serde_json::from_slice(answer.body())
            .map_err(|_| unclear("it answered with success and a body that does not describe it"))?;
        if subscription.sid != sid {
            return Err(unclear("it answered with another one"));
        }
        // Without its version it could be one that was renewed a moment ago.
        let etag = answer.headers().get(header::ETAG).filter(|etag| !etag.is_empty());
        let etag = etag.ok_or_else(|| unclear("its answer has no ETag, so it cannot be deleted safely"))?;
        Ok(Some(Current { subscription, etag: etag.clone() }))
    }

    /// Waits until the budget allows one more DELETE.
    pub(super) async fn permit(&self) -> Permit<'_> {
        self.wait_for(Kind::Deletes).await;
        Permit { service: self, used: false }
    }

    /// Deletes the subscription `sid` if it still is at version `etag`.
    pub(super) async fn delete(
        &self,
        sid: &str,
        etag: &HeaderValue,
        mut permit: Permit<'_>,
    ) -> Result<Deleted> {
        permit.used = true;
        let answer = self.exchange(Kind::Deletes, Method::DELETE, &self.url(sid), Some(etag)).await?;
        match answer.status().as_u16() {
            200 => Ok(Deleted::Done),
            204 => Ok(Deleted::Gone),
            _ => match refusal(Operation::Delete, sid, &answer) {
                Fault { effect: Effect::Missing, .. } => Ok(Deleted::Gone),
                Fault { effect: Effect::Stale, .. } => Ok(Deleted::Changed),
                Fault { error, .. } => Err(error),
            },
        }
    }

    /// `sid` is one of ours, so a path may hold it as it is.
    fn url(&self, sid: &str) -> Url {
        let mut url = self.subscriptions.clone();
        url.set_path(&format!("{}/{sid}", self.subscriptions.path()));
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        url
    }

    /// One request when the budget allows it.
    async fn send(
        &self,
        kind: Kind,
        method: Method,
        url: &Url,
        etag: Option<&HeaderValue>,
    ) -> Result<Response<Bytes>> {
        self.wait_for(kind).await;
        self.exchange(kind, method, url, etag).await
    }

    /// One request that has its token of the budget, and once more where ARM refuses our access token: a cached one may
    /// have been cut short.
    async fn exchange(
        &self,
        kind: Kind,
        method: Method,
        url: &Url,
        etag: Option<&HeaderValue>,
    ) -> Result<Response<Bytes>> {
        let token = match self.bearer.get().await {
            Ok(token) => token,
            Err(error) => {
                self.bucket(kind).give_back();
                return Err(error);
            }
        };
        let answer = self.once(kind, method.clone(), url, etag, &token).await?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        self.bearer.discard(&token).await;
        let token = self.bearer.get().await?;
        self.wait_for(kind).await;
        self.once(kind, method, url, etag, &token).await
    }

    async fn once(
        &self,
        kind: Kind,
        method: Method,
        url: &Url,
        etag: Option<&HeaderValue>,
        token: &AccessToken,
    ) -> Result<Response<Bytes>> {
        let sent = match request(method, url, etag, token) {
            Ok(request) => self.http.send(request).await,
            Err(error) => Err(error),
        };
        let now = Instant::now();
        if let Ok(answer) = &sent {
            self.ahead.store(ahead(answer.headers(), clock::now()), Ordering::Relaxed);
        }
        let remaining = sent.as_ref().ok().and_then(|answer| remaining(kind, answer.headers()));
        match &sent {
            Ok(answer) if answer.status() == 429 => {
                self.throttled.fetch_add(1, Ordering::Relaxed);
                let wait = retry_after(answer.headers(), clock::now()).unwrap_or(USUAL_WAIT);
                self.bucket(kind).refused(wait, now);
            }
            _ => self.bucket(kind).answered(remaining, now),
        }
        sent
    }

    async fn wait_for(&self, kind: Kind) {
        loop {
            let taken = self.bucket(kind).take(Instant::now());
            match taken {
                Ok(()) => return,
                Err(wait) => sleep(wait).await,
            }
        }
    }

    fn bucket(&self, kind: Kind) -> MutexGuard<'_, Bucket> {
        // No code that holds it panics.
        self.buckets[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(
    method: Method,
    url: &Url,
    etag: Option<&HeaderValue>,
    token: &AccessToken,
) -> Result<Request<Bytes>> {
    let internal = |error: &dyn std::fmt::Display| {
        Error::new(Class::Internal, "a request to ARM cannot be made").why(error.to_string())
    };
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.token.expose()))
        .map_err(|_| internal(&"the access token has characters that no header may have"))?;
    bearer.set_sensitive(true);
    let mut request = Request::builder()
        .method(method)
        .uri(url.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, bearer);
    if let Some(etag) = etag {
        request = request.header(header::IF_MATCH, etag);
    }
    request.body(Bytes::new()).map_err(|error| internal(&error))
}

/// How many seconds `now` is ahead of the answer's `Date` (RFC 9110, 6.6.1), which has whole ones; 0 without one.
fn ahead(headers: &HeaderMap, now: SystemTime) -> u64 {
    let date = headers.get(header::DATE).and_then(|date| parse_rfc7231(date.to_str().ok()?).ok());
    date.and_then(|date| now.duration_since(date.into()).ok()).map_or(0, |ahead| ahead.as_secs())
}

/// The least that ARM says is left for requests of that kind, at whatever level it says so.
fn remaining(kind: Kind, headers: &HeaderMap) -> Option<u32> {
    let kind = match kind {
        Kind::Reads => "reads",
        Kind::Deletes => "deletes",
    };
    let ours = headers
        .iter()
        .filter(|(name, _)| name.as_str().strip_prefix(REMAINING).is_some_and(|rest| rest.ends_with(kind)));
    ours.filter_map(|(_, value)| value.to_str().ok()?.trim().parse().ok()).min()
}

fn refusal(operation: Operation, sid: &str, answer: &Response<Bytes>) -> Fault {
    let text = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let answer = Answer {
        status: answer.status().as_u16(),
        content_type: text(header::CONTENT_TYPE),
        retry_after: text(header::RETRY_AFTER),
        body: answer.body(),
    };
    let Fault { effect, error } = arm_error::read(operation, sid, &answer, clock::now());
    Fault { effect, error: advised(answer.status, error) }
}

/// With the advice of this command instead of the agent's, whose settings and rights are others.
fn advised(status: u16, error: Error) -> Error {
    match (status, error.fix.as_deref()) {
        (403, Some(fix)) => {
            let missing = fix.split_once(" is missing: ").map(|(action, _)| format!("{action} is missing: "));
            let missing = missing.unwrap_or_default();
            error.fix(format!(
                "{missing}give the application the role of docs/azure.md, \"Cleaning up after dead workspaces\", on the APIM \
                 service, and wait some minutes for it to spread"
            ))
        }
        (404, Some(_)) => error.fix("check --service, the resource id of the APIM service"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_noticed() {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT"; // 1445412480
        let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(date))]);
        for (now, expected) in [(1_445_412_480, 0), (1_445_412_479, 0), (1_445_498_881, 86_401), (0, 0)] {
            assert_eq!(ahead(&headers, clock::from_unix(now)), expected, "{now}");
        }
        assert_eq!(ahead(&HeaderMap::new(), clock::from_unix(1_445_498_881)), 0);
    }

    #[test]
    fn the_least_that_is_left_counts() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        let both = headers(&[
            ("x-ms-ratelimit-remaining-subscription-deletes", "199"),
            ("x-ms-ratelimit-remaining-subscription-global-deletes", "17"),
            ("x-ms-ratelimit-remaining-subscription-reads", "3"),
            ("x-ms-ratelimit-remaining-subscription-resource-requests", "1"),
        ]);
        assert_eq!((remaining(Kind::Deletes, &both), remaining(Kind::Reads, &both)), (Some(17), Some(3)));
        let odd = headers(&[("x-ms-ratelimit-remaining-subscription-deletes", "many")]);
        assert_eq!(remaining(Kind::Deletes, &odd), None);
        assert_eq!(remaining(Kind::Deletes, &HeaderMap::new()), None);
    }
}
