//! A small TLS server on loopback for tests: it keeps what it was asked, and answers whatever bytes it is told to.

use super::{Client, Options};
use bytes::Bytes;
use http::{Method, Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// One request as it came, and the number of the connection that it came on, from 0.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    /// The certificate that the client presented, in DER.
    pub(crate) certificate: Option<Vec<u8>>,
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What a test wants done with a request.
pub(crate) enum Reply {
    /// A whole answer; the connection stays open.
    Answer(Response<Bytes>),
    /// A whole answer; the connection is closed behind it, unannounced.
    AnswerAndClose(Response<Bytes>),
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing, for ever.
    Nothing,
}

impl Reply {
    /// `status` with a JSON body.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Answer(answer(status, &[("content-type", "application/json")], body))
    }
}

/// An answer with `headers` and `body`.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

/// The server; it dies with the runtime of the test.
pub(crate) struct Server {
    pub(crate) url: Url,
    ca: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepted: Arc<Mutex<usize>>,
}

impl Server {
    /// A server with a CA of its own that answers each request with what `reply` says to it and its number, from 0.
    pub(crate) async fn start(reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(false, reply).await
    }

    /// The same, and it wants every client to present a certificate of its own CA's: see [`Server::certificate`].
    pub(crate) async fn start_mutual(reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(true, reply).await
    }

    async fn start_with(mutual: bool, reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), "service.example".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let config = config
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let accepted = Arc::new(Mutex::new(0));
        let server = Self { url, ca, folder, seen: Arc::clone(&seen), accepted: Arc::clone(&accepted) };
        let (acceptor, reply) = (TlsAcceptor::from(Arc::new(config)), Arc::new(reply));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = {
                    let mut accepted = accepted.lock().unwrap();
                    *accepted += 1;
                    *accepted - 1
                };
                let (acceptor, reply, seen) = (acceptor.clone(), Arc::clone(&reply), Arc::clone(&seen));
                tokio::spawn(async move {
                    // A client that does not trust us ends the handshake: nothing to serve then.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let presented = stream.get_ref().1.peer_certificates();
                        let certificate = presented.map(|chain| chain[0].to_vec());
                        serve(stream, (connection, certificate), &*reply, &seen).await;
                    }
                });
            }
        });
        server
    }

    /// The CA's certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate of the CA's for a client, and its key: PEM texts, and the certificate's DER.
    pub(crate) fn certificate(&self) -> (String, String, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(Vec::new()).unwrap().signed_by(&key, &self.ca).unwrap();
        (leaf.pem(), key.serialize_pem(), leaf.der().to_vec())
    }

    /// A client that trusts this server.
    pub(crate) fn client(&self) -> Client {
        self.client_with(Options::default())
    }

    /// The same with more settings.
    pub(crate) fn client_with(&self, options: Options) -> Client {
        Client::new(&Options { ca_file: Some(self.ca_file()), ..options }).unwrap()
    }

    /// A client that trusts this server and has `timeout` for a request.
    pub(crate) fn client_within(&self, timeout: Duration) -> Client {
        self.client_with(Options { timeout, ..Options::default() })
    }

    /// A request without a body to `path`, which begins with a slash.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request<Bytes> {
        let url = self.url.join(path).unwrap();
        Request::builder().method(method).uri(url.as_str()).body(Bytes::new()).unwrap()
    }

    /// All requests until now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many TCP connections were accepted until now.
    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.lock().unwrap()
    }
}

async fn serve<S>(
    mut stream: S,
    from: (usize, Option<Vec<u8>>),
    reply: &impl Fn(usize, &Seen) -> Reply,
    all: &Mutex<Vec<Seen>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(seen) = read_request(&mut stream, &from).await {
        let number = {
            let mut all = all.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        let (bytes, stay) = match reply(number, &seen) {
            Reply::Answer(answer) => (to_bytes(&answer), true),
            Reply::AnswerAndClose(answer) => (to_bytes(&answer), false),
            Reply::Bytes(bytes) => (bytes, false),
            Reply::Nothing => std::future::pending().await,
        };
        // The client may have had enough (a body over its limit): its test looks at what the client says.
        if stream.write_all(&bytes).await.is_err() || !stay {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    from: &(usize, Option<Vec<u8>>),
) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let length = text
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    while bytes.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let (connection, certificate) = from.clone();
    Some(Seen {
        connection,
        certificate,
        head: text,
        body: String::from_utf8(bytes[head..].to_vec()).unwrap(),
    })
}

fn to_bytes(answer: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {} X\r\n", answer.status().as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(format!("{name}: {}\r\n", value.to_str().unwrap()).as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", answer.body().len()).as_bytes());
    bytes.extend_from_slice(answer.body());
    bytes
}
