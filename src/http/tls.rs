//! Who is trusted, and who we are.

use crate::{
    error::{Class, Error, Result},
    secret::Secret,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

/// TLS 1.2 and 1.3 with ring, HTTP/1.1 only. The provider is passed, not installed for the process.
pub(super) fn config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(crypto::ring::default_provider());
    let private = ca_file.map(|path| private_roots(path, &provider)).transpose()?;
    let trust = Arc::new(Trust { provider: Arc::clone(&provider), private, system: OnceLock::new() });
    if trust.private.is_none() {
        // The system's roots will be needed at the first handshake: read them while the name is being resolved. If
        // there is no thread to be had, that handshake reads them itself.
        let early = Arc::clone(&trust);
        let _ = std::thread::Builder::new().name("roots".to_owned()).spawn(move || early.system().is_some());
    }
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Error::new(Class::Internal, "TLS cannot be set up").why(error.to_string()))?
        // Not less checking: `Trust` asks rustls' own verifier, once or twice.
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A certificate chain, leaf first, and its private key, both PEM. It is checked that they belong together, since a server
/// would only say that the handshake failed.
pub(super) fn certified(chain: &str, key: &Secret) -> Result<Arc<CertifiedKey>> {
    let bad = |why: &str| {
        Error::new(Class::Config, "the client certificate cannot be used")
            .why(why)
            .fix("it is PEM: the certificate and those that signed it, and its private key (PKCS#8, PKCS#1 or SEC 1)")
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain =
        chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| bad("there is no certificate in it"))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| bad("there is no private key in it"))?;
    // The reasons of the library say nothing of the key.
    let certified = CertifiedKey::from_der(chain, key, &crypto::ring::default_provider())
        .map_err(|error| bad(&error.to_string()))?;
    Ok(Arc::new(certified))
}

/// The private CA first, then the system's roots: a certificate is good if either vouches for it.
///
/// The reason for two stores is time. Reading the system's 145 roots from Debian's 290 files takes 2.4 ms, and 15 ms
/// when they are not in the page cache (measured, release build), and with a private CA they are often not needed.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    private: Option<Arc<WebPkiServerVerifier>>,
    /// `None` inside: this system has no roots.
    system: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
}

impl Trust {
    /// The system's roots (or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`), read once.
    fn system(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let load = || {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!("some of the system's root certificates cannot be read: {error}");
            }
            let mut roots = RootCertStore::empty();
            // A system's bundle may hold certificates that are no proper roots: those are left out.
            let (used, unusable) = roots.add_parsable_certificates(found.certs);
            tracing::debug!("read {used} root certificates of the system, left out {unusable}");
            verifier(roots, &self.provider).ok()
        };
        self.system.get_or_init(load).as_ref()
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ask = |verifier: &Arc<WebPkiServerVerifier>| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let unknown = || rustls::Error::from(CertificateError::UnknownIssuer);
        let first = self.private.as_ref().map_or_else(|| Err(unknown()), ask);
        let Err(refused) = first else { return first };
        match self.system().map_or_else(|| Err(unknown()), ask) {
            // The system does not know the issuer, so what the private CA found wrong is the better reason.
            Err(error) if error == unknown() => Err(refused),
            second => second,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The roots in `path`. Strict, unlike with the system's: somebody chose this file, so all of it must be good.
fn private_roots(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let bad = |why: String| {
        Error::new(Class::Config, format!("ca_file {} cannot be used", path.display()))
            .why(why)
            .fix("ca_file is a PEM file with one or more -----BEGIN CERTIFICATE----- blocks")
    };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for (place, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let certificate = certificate.map_err(|error| bad(format!("certificate {}: {error}", place + 1)))?;
        roots.add(certificate).map_err(|error| bad(format!("certificate {}: {error}", place + 1)))?;
    }
    if roots.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    verifier(roots, provider).map_err(|error| bad(error.to_string()))
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::client::VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_ca_file_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refusal = || config(Some(&path)).unwrap_err();

        assert!(refusal().to_string().contains("ca.pem cannot be used: No such file"), "{}", refusal());
        std::fs::write(&path, "hello").unwrap();
        assert!(refusal().to_string().contains("it holds no certificate"), "{}", refusal());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refusal().to_string().contains("certificate 1: "), "{}", refusal());
        assert_eq!(refusal().class, Class::Config);
    }
}
