//! The one HTTP client: TLS by rustls and ring, private CAs, deadlines, size limits, no redirects.

use crate::error::Result;
use bytes::Bytes;
use std::{path::PathBuf, time::Duration};
use url::Url;

/// What the client needs to know.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A PEM bundle trusted besides the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Deadline of one request, connection and body included.
    pub timeout: Duration,
    /// `HTTPS_PROXY`, where set.
    pub proxy: Option<String>,
    /// `NO_PROXY`, where set.
    pub no_proxy: Option<String>,
}

/// A cheap handle; clones share connections.
#[derive(Clone)]
pub struct Client {}

impl Client {
    /// Reads the roots; connects nowhere.
    pub fn new(_options: &Options) -> Result<Self> {
        todo!()
    }

    /// One request, the whole answer whatever its status, within the deadline. Follows no redirect.
    pub async fn send(&self, _request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        todo!()
    }

    /// Opens a connection that the next request to the same host will use. Failures are left for that request to meet.
    pub async fn warm(&self, _url: &Url) {
        todo!()
    }

    /// The same client as the Azure SDK's transport.
    pub fn transport(&self) -> azure_core::http::Transport {
        todo!()
    }
}
