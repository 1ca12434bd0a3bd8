//! A certificate authority made at start, and the one certificate that every port presents.

use super::client_certificate::AnyCertificate;
use crate::error::{Class, Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::PrivateKeyDer,
    server::{NoClientAuth, danger::ClientCertVerifier},
    version,
};
use std::{sync::Arc, time::Duration, time::SystemTime};

/// Names in the certificate: the loopback, and what a client asks for when it comes through the proxy.
/// Several clients send no server name for an IP address; they get this same certificate.
pub(super) const NAMES: [&str; 10] = [
    "127.0.0.1",
    "localhost",
    "login.microsoftonline.com",
    "login.windows.net",
    "sts.windows.net",
    "management.azure.com",
    "*.vault.azure.net",
    "*.azure-api.net",
    "app.gitpod.io",
    "api.gitpod.io",
];

/// Longer than anybody leaves an emulator running, and short enough for clients that frown on long lives.
const LIFE: Duration = Duration::from_hours(90 * 24);

/// What TLS needs on both sides.
pub(super) struct Tls {
    /// The authority's certificate, for clients to trust.
    pub(super) ca_pem: String,
    /// The servers' side.
    pub(super) server: Arc<ServerConfig>,
    /// The gateway's: it asks its clients for a certificate and does without one.
    pub(super) gateway: Arc<ServerConfig>,
}

/// Makes the authority and the certificate. The authority's key is dropped here, so nothing else can be signed with it.
pub(super) fn make(now: SystemTime) -> Result<Tls> {
    let ca =
        CertifiedIssuer::self_signed(authority(now), KeyPair::generate().map_err(failed)?).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = leaf(now)?.signed_by(&key, &ca).map_err(failed)?;
    let key = PrivateKeyDer::from(key);
    let server = |clients: Arc<dyn ClientCertVerifier>| -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(failed)?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key.clone_key())
            .map_err(failed)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    };
    Ok(Tls {
        ca_pem: ca.pem(),
        server: server(Arc::new(NoClientAuth))?,
        gateway: server(Arc::new(AnyCertificate::new()))?,
    })
}

fn authority(now: SystemTime) -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "apim-agent emulator CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut ca, now);
    ca
}

fn leaf(now: SystemTime) -> Result<CertificateParams> {
    let mut leaf = CertificateParams::new(NAMES.map(str::to_owned)).map_err(failed)?;
    leaf.distinguished_name.push(DnType::CommonName, "apim-agent emulator");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Python since 3.13 verifies strictly, which demands the extension.
    leaf.use_authority_key_identifier_extension = true;
    valid(&mut leaf, now);
    Ok(leaf)
}

/// From an hour ago, for containers whose clock is a little behind.
fn valid(certificate: &mut CertificateParams, now: SystemTime) {
    certificate.not_before = (now - Duration::from_hours(1)).into();
    certificate.not_after = (now + LIFE).into();
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(Class::Internal, "Cannot make the emulator's certificates").why(error.to_string())
}
