//! The subscriptions of one APIM service at Azure Resource Manager, through `azure_core`'s pipeline.
//!
//! API: `Microsoft.ApiManagement/service/subscriptions`, version 2024-05-01. Keys only ever travel towards ARM: they are
//! ours, and `listSecrets` is never called. Retries are off in the pipeline: when to try again is the lifecycle's business.

use super::{
    arm_error::{self, Answer, Effect, Fault, Operation},
    bearer::Bearer,
    subscription_key::record::Side,
};
use crate::{
    clock, config,
    error::{Class, Error, Result},
    exchange::{AccessToken, Exchange},
    http::{self, transport},
    secret::Secret,
};
use azure_core::http::{
    Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request, Transport, Url,
    headers::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, RETRY_AFTER},
};
use bytes::Bytes;
use serde::Serialize;
use std::{io, sync::Arc, time::SystemTime};
use zeroize::Zeroizing;

const API_VERSION: &str = "2024-05-01";

/// One APIM service's subscriptions.
pub struct Arm {
    pipeline: Pipeline,
    /// `…/service/NAME`.
    service: Url,
    bearer: Bearer,
    /// Opens connections ahead; the pipeline's own transport cannot.
    warmer: Option<http::Client>,
}

/// A subscription as it is created.
pub struct New<'a> {
    /// `/products/ID`, `/apis/ID` or `/apis`.
    pub scope: &'a str,
    /// 1 to 100 characters.
    pub display_name: &'a str,
    /// Its first key.
    pub primary: &'a Secret,
    /// Its second key.
    pub secondary: &'a Secret,
}

/// What changes of a subscription.
pub struct Change<'a> {
    /// A new key for one side.
    pub key: Option<(Side, &'a Secret)>,
    /// 1 to 100 characters.
    pub display_name: &'a str,
    /// The date after which the gateway's policy refuses it. APIM itself only keeps it.
    pub expiration: SystemTime,
}

/// A subscription that has been created.
pub struct Created {
    /// Its version.
    pub etag: Option<String>,
    /// Whether it did not exist before.
    pub fresh: bool,
}

impl Arm {
    /// For the APIM service with the resource id `service`. Connects nowhere yet.
    pub fn new(config: &config::Arm, service: &str, exchange: Arc<dyn Exchange>, http: http::Client) -> Self {
        let mut arm = Self::over(http.transport(), config, service, exchange);
        arm.warmer = Some(http);
        arm
    }

    /// The same over any transport, without connections opened ahead.
    pub fn over(
        transport: Transport,
        config: &config::Arm,
        service: &str,
        exchange: Arc<dyn Exchange>,
    ) -> Self {
        let options = transport::options(transport);
        let version = option_env!("CARGO_PKG_VERSION");
        let pipeline = Pipeline::new(option_env!("CARGO_PKG_NAME"), version, options, vec![], vec![], None);
        let mut url = config.url.clone();
        url.set_path(&format!("{}{service}", config.url.path().trim_end_matches('/')));
        Self { pipeline, service: url, bearer: Bearer::new(exchange, &config.scope), warmer: None }
    }

    /// Opens the connection, so that the first request finds it open.
    pub async fn warm(&self) {
        if let Some(http) = &self.warmer {
            http.warm(&self.service).await;
        }
    }

    /// The connection and the token at the same time; says whom the token was issued to.
    pub async fn ready(&self) -> Result<Arc<AccessToken>> {
        let (token, ()) = tokio::join!(self.bearer.get(), self.warm());
        token
    }

    /// Creates the subscription `sid`, or takes it over with new keys if it is there.
    pub async fn create(&self, sid: &str, new: &New<'_>) -> Result<Created, Fault> {
        let body = body(&Properties {
            scope: Some(new.scope),
            display_name: new.display_name,
            primary_key: Some(new.primary.expose()),
            secondary_key: Some(new.secondary.expose()),
            // Without it a subscription waits for an administrator's consent.
            state: Some("active"),
            expiration_date: None,
        })?;
        let response = self.send(Operation::Create, sid, None, Some(body)).await?;
        match response.status().into() {
            200 | 201 => {
                arm_error::is_active(sid, response.body())?;
                Ok(Created { etag: etag(&response), fresh: u16::from(response.status()) == 201 })
            }
            _ => Err(refusal(Operation::Create, &format!("{sid} with scope {}", new.scope), &response)),
        }
    }

    /// Changes the subscription `sid` if it still is at version `etag`; gives its new version.
    pub async fn update(&self, sid: &str, etag: &str, change: &Change<'_>) -> Result<Option<String>, Fault> {
        let key = |wanted| change.key.filter(|(side, _)| *side == wanted).map(|(_, key)| key.expose());
        let body = body(&Properties {
            scope: None,
            display_name: change.display_name,
            primary_key: key(Side::Primary),
            secondary_key: key(Side::Secondary),
            state: None,
            expiration_date: Some(clock::rfc3339(change.expiration)),
        })?;
        let response = self.send(Operation::Update, sid, Some(etag), Some(body)).await?;
        match response.status().into() {
            200 | 204 => Ok(self::etag(&response)),
            _ => Err(refusal(Operation::Update, sid, &response)),
        }
    }

    /// The version of the subscription `sid`.
    pub async fn version(&self, sid: &str) -> Result<String, Fault> {
        let response = self.send(Operation::Read, sid, None, None).await?;
        match response.status().into() {
            // Without one, "any version" is the best that can be said.
            200 => Ok(etag(&response).unwrap_or_else(|| "*".to_owned())),
            _ => Err(refusal(Operation::Read, sid, &response)),
        }
    }

    /// Deletes the subscription `sid`; fine if it is not there. Whether it was.
    pub async fn delete(&self, sid: &str) -> Result<bool> {
        let response =
            self.send(Operation::Delete, sid, Some("*"), None).await.map_err(|fault| fault.error)?;
        let status = u16::from(response.status());
        if matches!(status, 200 | 204) {
            return Ok(status == 200);
        }
        match refusal(Operation::Delete, sid, &response) {
            Fault { effect: Effect::Missing, .. } => Ok(false),
            Fault { error, .. } => Err(error),
        }
    }

    async fn send(
        &self,
        operation: Operation,
        sid: &str,
        if_match: Option<&str>,
        body: Option<Bytes>,
    ) -> Result<RawResponse, Fault> {
        let mut tokens = 1..=2;
        loop {
            let token = self.bearer.get().await.map_err(nothing_sent)?;
            let mut request = self.request(operation, sid, if_match, body.clone());
            // The SDK's header type cannot be wiped; the request and with it this copy is dropped below.
            request.insert_header(AUTHORIZATION, format!("Bearer {}", token.token.expose()));
            let unchecked = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
            let response = self.pipeline.send(&Context::new(), &mut request, Some(unchecked)).await;
            let response = response.map_err(|error| lost(operation, sid, &error))?;
            tokens.next();
            // A cached token may have been cut short. A second one that is refused too will not get better.
            if u16::from(response.status()) == 401 && !tokens.is_empty() {
                self.bearer.discard(&token).await;
                continue;
            }
            return Ok(response);
        }
    }

    fn request(
        &self,
        operation: Operation,
        sid: &str,
        if_match: Option<&str>,
        body: Option<Bytes>,
    ) -> Request {
        let method = match operation {
            Operation::Create => Method::Put,
            Operation::Update => Method::Patch,
            Operation::Read => Method::Get,
            Operation::Delete => Method::Delete,
        };
        let mut url = self.service.clone();
        url.set_path(&format!("{}/subscriptions/{sid}", self.service.path()));
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let mut request = Request::new(url, method);
        request.insert_header(ACCEPT, "application/json");
        if let Some(etag) = if_match {
            request.insert_header(IF_MATCH, etag.to_owned());
        }
        if let Some(body) = body {
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_body(body);
        }
        request
    }
}

#[derive(Serialize)]
struct Parameters<'a> {
    properties: &'a Properties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secondary_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<String>,
}

/// The request's body, in a buffer that never grows and is wiped with its last owner: it holds keys.
fn body(properties: &Properties<'_>) -> Result<Bytes, Fault> {
    let parameters = Parameters { properties };
    let mut length = Length(0);
    let measured = serde_json::to_writer(&mut length, &parameters);
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    let written = measured.and_then(|()| serde_json::to_writer(&mut *text, &parameters));
    let internal = |error: serde_json::Error| {
        Error::new(Class::Internal, "a request to ARM has no JSON form").why(error.to_string())
    };
    written.map_err(|error| nothing_sent(internal(error)))?;
    Ok(Bytes::from_owner(text))
}

/// A writer that only counts.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn etag(response: &RawResponse) -> Option<String> {
    response.headers().get_optional_string(&ETAG).filter(|etag| !etag.is_empty())
}

fn refusal(operation: Operation, subscription: &str, response: &RawResponse) -> Fault {
    let answer = Answer {
        status: response.status().into(),
        content_type: response.headers().get_optional_str(&CONTENT_TYPE),
        retry_after: response.headers().get_optional_str(&RETRY_AFTER),
        body: response.body(),
    };
    arm_error::read(operation, subscription, &answer, clock::now())
}

fn nothing_sent(error: Error) -> Fault {
    Fault { effect: Effect::None, error }
}

/// No whole answer arrived: whether the request did is not known.
fn lost(operation: Operation, sid: &str, error: &azure_core::Error) -> Fault {
    // Our own transport's error says it best.
    if let Some(ours) = transport::from_azure(error) {
        return Fault { effect: Effect::Unknown, error: ours };
    }
    let what = format!("ARM did not {operation} the subscription {sid}: no answer arrived");
    Fault { effect: Effect::Unknown, error: Error::new(Class::Unavailable, what).why(error.to_string()) }
}
