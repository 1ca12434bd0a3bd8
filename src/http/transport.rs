//! The same client for the Azure SDK.

use super::{Client, USER_AGENT};
use crate::error::{Class, Error, Result};
use async_trait::async_trait;
use azure_core::{
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use bytes::Bytes;
use http::header;
use std::{error::Error as StdError, sync::Arc};

impl Client {
    /// The same client as the Azure SDK's transport.
    pub fn transport(&self) -> Transport {
        Transport::new(Arc::new(self.clone()))
    }
}

/// Options for an Azure client over `transport`: no retries, since those are the lifecycle's.
pub fn options(transport: Transport) -> ClientOptions {
    ClientOptions { transport: Some(transport), retry: RetryOptions::none(), ..ClientOptions::default() }
}

#[async_trait]
impl HttpClient for Client {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.send(outgoing(request).map_err(to_azure)?).await.map_err(to_azure)?;
        Ok(incoming(answer))
    }
}

/// Our error inside the SDK's. The kind is one that the SDK would not retry even if it were allowed to.
pub fn to_azure(error: Error) -> azure_core::Error {
    let message = error.what.clone();
    azure_core::Error::with_error(ErrorKind::Other, error, message)
}

/// Our error out of the SDK's, however deep it wrapped it. `None` if it did not come from our transport.
pub fn from_azure(error: &azure_core::Error) -> Option<Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        next = error.source();
    }
    None
}

/// The SDK's request as ours.
pub(crate) fn outgoing(request: &Request) -> Result<http::Request<Bytes>> {
    let fault = |why: String| {
        Error::new(Class::Internal, "the Azure SDK made a request that cannot be sent").why(why)
    };
    let Body::Bytes(body) = request.body() else {
        return Err(fault("its body is a stream, which nothing here uses".to_owned()));
    };
    let mut ours = http::Request::builder().method(request.method().as_ref()).uri(request.url().as_str());
    for (name, value) in request.headers().iter() {
        let value = value.as_str();
        ours = if name.as_str().eq_ignore_ascii_case(header::USER_AGENT.as_str()) {
            ours.header(header::USER_AGENT, format!("{USER_AGENT} {value}"))
        } else {
            ours.header(
                name.as_str(),
                sensitive(name.as_str(), value).map_err(|error| fault(error.to_string()))?,
            )
        };
    }
    ours.body(body.clone()).map_err(|error| fault(error.to_string()))
}

/// A header value that hyper's own logging leaves out if it is the bearer.
fn sensitive(name: &str, value: &str) -> Result<http::HeaderValue, http::header::InvalidHeaderValue> {
    let mut value = http::HeaderValue::from_str(value)?;
    value.set_sensitive(name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str()));
    Ok(value)
}

/// Our answer as the SDK's. The body is shared, not copied.
pub(crate) fn incoming(answer: http::Response<Bytes>) -> AsyncRawResponse {
    let (parts, body) = answer.into_parts();
    let mut headers = Headers::new();
    for (name, value) in &parts.headers {
        // The SDK's headers are text; what is none is of no use to it.
        if let Ok(value) = value.to_str() {
            headers.insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
        }
    }
    AsyncRawResponse::from_bytes(parts.status.as_u16().into(), headers, body)
}
