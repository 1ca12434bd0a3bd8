//! A gateway on loopback that wants a certificate of every client, and answers 200 to whoever has a good one.

use super::{Issuer, is_ca, key, params};
use crate::http::{Client, Options};
use rcgen::{CertificateParams, CertifiedIssuer};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

pub(super) struct Gateway {
    pub(super) url: Url,
    folder: tempfile::TempDir,
    served: Arc<AtomicUsize>,
}

impl Gateway {
    /// For clients whose certificate `issuer` vouches for.
    pub(super) async fn start(issuer: &Issuer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = CertifiedIssuer::self_signed(params("servers", is_ca), key()).expect("a root");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).expect("written");
        let own = key();
        let names = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let leaf = names.signed_by(&own, &ca).expect("a leaf");
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.serialize_der())),
            )
            .expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        let served = Arc::new(AtomicUsize::new(0));
        let (acceptor, count) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(&served));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => stream,
                    Err((_, mut refused)) => {
                        // Read to its end: a socket closed with bytes unread is reset, and the alert lost with it.
                        let _ = refused.shutdown().await;
                        let _ = tokio::io::copy(&mut refused, &mut tokio::io::sink()).await;
                        continue;
                    }
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0)
                {}
                count.fetch_add(1, Ordering::Relaxed);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.expect("answered");
                stream.shutdown().await.expect("closed");
            }
        });
        Self { url: url.parse().expect("a URL"), folder, served }
    }

    /// A client that trusts it.
    pub(super) fn client(&self) -> Client {
        let ca_file = Some(self.folder.path().join("ca.pem"));
        Client::new(&Options { ca_file, ..Options::default() }).expect("a client")
    }

    /// How many requests it has answered.
    pub(super) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}
