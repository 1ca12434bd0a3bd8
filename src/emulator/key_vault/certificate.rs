//! A certificate with its chain and private key: read from PEM or PKCS#12, checked, and written in both. Pure.

use super::{
    error::VaultError,
    x509::{self, Facts},
};
use crate::{
    error::{Class, Error, Result},
    secret::Secret,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use p12_keystore::{
    EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, Pkcs12ImportPolicy, PrivateKey,
    PrivateKeyChain,
};
use ring::digest;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::Zeroizing;

/// `contentType` of PKCS#12, the vault's default.
pub(super) const PKCS12: &str = "application/x-pkcs12";

/// `contentType` of PEM.
pub(super) const PEM: &str = "application/x-pem-file";

/// Rounds of key derivation in what Windows, and so Key Vault, writes.
const ROUNDS: u32 = 2000;

/// A certificate without its private key, which is in the secret of the same name.
pub(super) struct Certificate {
    /// DER.
    pub(super) leaf: Vec<u8>,
    /// SHA-1 of that.
    pub(super) thumbprint: [u8; 20],
    /// What it says.
    pub(super) facts: Facts,
    /// PKCS#12 or PEM: the form of the secret.
    pub(super) content_type: &'static str,
    /// The policy's `issuer.name`, such as `Unknown`.
    pub(super) issuer: String,
}

/// A private key and its certificates.
pub(super) struct Material {
    /// PKCS#8, DER.
    key: Zeroizing<Vec<u8>>,
    /// DER; the one of the key first, then the others in the order in which they came.
    chain: Vec<Vec<u8>>,
    /// What the first one says.
    pub(super) facts: Facts,
}

impl Material {
    /// Reads PEM with a `PRIVATE KEY` (PKCS#8, as the vault wants it) and the certificates, in any order.
    pub(super) fn from_pem(text: &str) -> Result<Self, VaultError> {
        let unreadable = || {
            VaultError::bad_parameter(
                "The specified PEM X.509 certificate content is in an unexpected format. Please check if certificate \
                 is in valid PEM format.",
            )
        };
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| unreadable())?;
        let chain = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| Ok(certificate?.to_vec()))
            .collect::<Result<Vec<_>, rustls::pki_types::pem::Error>>()
            .map_err(|_| unreadable())?;
        Self::new(Zeroizing::new(key.secret_pkcs8_der().to_vec()), chain)
    }

    /// Reads PKCS#12 with one private key.
    pub(super) fn from_pkcs12(bytes: &[u8], password: &str) -> Result<Self, VaultError> {
        let unreadable = || {
            VaultError::bad_parameter(
                "The specified PKCS#12 X.509 certificate content can not be read. Please check if certificate is in \
                 valid PKCS#12 format.",
            )
        };
        let store =
            KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict).map_err(|_| unreadable())?;
        let (_, chain) = store.private_key_chain().ok_or_else(unreadable)?;
        let certificates = chain.certs().iter().map(|certificate| certificate.as_der().to_vec()).collect();
        Self::new(Zeroizing::new(chain.key().as_der().to_vec()), certificates)
    }

    fn new(key: Zeroizing<Vec<u8>>, mut chain: Vec<Vec<u8>>) -> Result<Self, VaultError> {
        let invalid = |why: &str| {
            let message = format!("The specified X.509 certificate content is invalid. Error: {why}");
            VaultError::bad_parameter(message)
        };
        let properties = || invalid("One or more X.509 properties are invalid.");
        let mut facts =
            chain.iter().map(|der| x509::read(der)).collect::<Option<Vec<_>>>().ok_or_else(properties)?;
        // The wordings of the other two are ours.
        let pair = rcgen::KeyPair::try_from(key.as_slice())
            .map_err(|_| invalid("The private key is not an RSA, P-256 or P-384 key in PKCS#8."))?;
        let leaf = facts
            .iter()
            .position(|facts| facts.public_key == pair.public_key_raw())
            .ok_or_else(|| invalid("The private key belongs to none of the certificates."))?;
        let first = chain.remove(leaf);
        chain.insert(0, first);
        Ok(Self { key, chain, facts: facts.swap_remove(leaf) })
    }

    /// The public part; `content_type` is the form of the secret.
    pub(super) fn certificate(&self, content_type: &'static str, issuer: &str) -> Certificate {
        let leaf = self.chain[0].clone();
        let mut thumbprint = [0; 20];
        thumbprint.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &leaf).as_ref());
        let (facts, issuer) = (self.facts.clone(), issuer.to_owned());
        Certificate { leaf, thumbprint, facts, content_type, issuer }
    }

    /// PEM in the vault's order: the key, the leaf, the rest of the chain.
    pub(super) fn pem(&self) -> Secret {
        let key = pem_block("PRIVATE KEY", &self.key);
        let chain: String = self.chain.iter().map(|der| pem_block("CERTIFICATE", der)).collect();
        Secret::new(key + &chain)
    }

    /// PKCS#12 in base64, encrypted as Windows does, with the empty password.
    pub(super) fn pkcs12(&self, name: &str) -> Result<Secret> {
        let failed = |error: p12_keystore::error::Error| {
            Error::new(Class::Internal, "Cannot write the emulated vault's PKCS#12").why(error.to_string())
        };
        let certificate = |der: &Vec<u8>| p12_keystore::Certificate::from_der(der).map_err(failed);
        let chain = self.chain.iter().map(certificate).collect::<Result<Vec<_>>>()?;
        let key = PrivateKey::from_der(&self.key).map_err(failed)?;
        let mut store = KeyStore::new();
        // Anything that ties the key to its certificate.
        let id: &[u8] = &[1, 0, 0, 0];
        store.add_entry(name, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id, key, chain)));
        let bytes = store
            .writer("")
            .encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc)
            .encryption_iterations(ROUNDS)
            .mac_algorithm(MacAlgorithm::HmacSha1)
            .mac_iterations(ROUNDS)
            .write()
            .map_err(failed)?;
        Ok(Secret::new(STANDARD.encode(bytes)))
    }
}

fn pem_block(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut block = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        block.push_str(line);
        block.push('\n');
        rest = more;
    }
    block + &format!("-----END {label}-----\n")
}
