//! TCP, the CONNECT proxy, TLS, HTTP/1.1: from an origin to a connection that takes requests.

use super::{
    Options,
    deadline::Deadline,
    failure,
    origin::Origin,
    pool::Sender,
    proxy::{self, Proxies},
    tls,
};
use crate::error::{Class, Error, Result};
use http::Uri;
use hyper::{
    client::conn::http1,
    rt::{Read, Write},
};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{
    ClientConfig,
    client::Resumption,
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// The head of an answer may be this long; hyper's own limit is 400 KB.
const MAX_HEAD: usize = 64 * 1024;
/// And have this many headers.
const MAX_HEADERS: usize = 100;

/// Opens connections.
pub(super) struct Connector {
    /// Resolves names, and tries IPv4 when IPv6 is slow (RFC 8305).
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    proxies: Proxies,
}

impl Connector {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Ok(Self { tcp, tls: tls::config(options.ca_file.as_deref())?, proxies: Proxies::new(options)? })
    }

    /// One that presents this certificate where it is asked for one.
    pub(super) fn with_certificate(&self, certificate: Arc<CertifiedKey>) -> Self {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certificate));
        // A session that was opened as nobody must not be taken up again as somebody.
        tls.resumption = Resumption::default();
        Self { tcp: self.tcp.clone(), tls: Arc::new(tls), proxies: self.proxies.clone() }
    }

    /// A fresh connection to `origin`, ready for a request.
    pub(super) async fn open(&self, origin: &Origin, deadline: Deadline) -> Result<Sender> {
        let stream = match self.proxies.on_the_way_to(origin)? {
            None => self.tcp(origin, &origin.uri()?, deadline).await?,
            Some(proxy) => {
                let place = Origin::of_proxy(proxy.uri());
                let mut stream = self.tcp(&place, proxy.uri(), deadline).await?;
                let tunnel = proxy::tunnel(&mut stream, origin, proxy.basic_auth());
                deadline
                    .run(&place, "waiting for the proxy", tunnel)
                    .await?
                    .map_err(|refusal| failure::tunnelling(origin, &place, &refusal))?;
                stream
            }
        };
        if origin.tls {
            let name = ServerName::try_from(origin.host.clone()).map_err(|_| {
                Error::new(
                    Class::Config,
                    format!("{:?} is no host name that a certificate could hold", origin.host),
                )
                .fix("use a host name or an IP address")
            })?;
            let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
            let stream = deadline.run(origin, "in the TLS handshake", handshake).await?;
            speak(TokioIo::new(stream.map_err(|error| failure::securing(origin, &error))?), origin, deadline)
                .await
        } else {
            speak(TokioIo::new(stream), origin, deadline).await
        }
    }

    async fn tcp(&self, place: &Origin, uri: &Uri, deadline: Deadline) -> Result<TcpStream> {
        let connecting = self.tcp.clone().call(uri.clone());
        let stream = deadline.run(place, "connecting", connecting).await?;
        Ok(stream.map_err(|error| failure::connecting(place, &error))?.into_inner())
    }
}

/// HTTP/1.1 over `io`. The connection lives in a task of its own that ends when the server closes it or when nobody
/// holds its [`Sender`] any more.
async fn speak<T>(io: T, origin: &Origin, deadline: Deadline) -> Result<Sender>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let mut protocol = http1::Builder::new();
    protocol.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let opened = deadline.run(origin, "connecting", protocol.handshake(io)).await?;
    let (sender, connection) = opened.map_err(|error| failure::talking(origin, &error))?;
    let place = origin.to_string();
    tokio::spawn(async move {
        // Whoever waits for an answer gets the error too; without anybody waiting it is only a closed connection.
        if let Err(error) = connection.await {
            tracing::debug!("connection to {place} ended: {error}");
        }
    });
    Ok(sender)
}
