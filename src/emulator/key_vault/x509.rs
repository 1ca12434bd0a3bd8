//! What the vault tells of a certificate. Pure.

use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension},
    prelude::FromDer,
    public_key::PublicKey,
};

/// The parts of a certificate that the vault reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The subject, such as `CN=partner-client`.
    pub(super) subject: String,
    /// Start and end, in seconds since the Unix epoch.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// Extended key usages as dotted numbers.
    pub(super) extended_key_usages: Vec<String>,
    /// Key usages by the vault's names.
    pub(super) key_usages: Vec<&'static str>,
    /// DNS names among the subject's alternative ones.
    pub(super) dns_names: Vec<String>,
    /// The public key's bits, without its algorithm.
    pub(super) public_key: Vec<u8>,
    /// `RSA` or `EC`.
    pub(super) key_type: &'static str,
    /// In bits.
    pub(super) key_size: usize,
}

/// Reads a certificate; `None` where it is none, or one that the vault would not take.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let (key_type, key_size) = match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => ("RSA", key.key_size()),
        PublicKey::EC(point) => ("EC", point.key_size()),
        _ => return None,
    };
    let time = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
    let mut facts = Facts {
        subject: certificate.subject().to_string(),
        not_before: time(certificate.validity().not_before)?,
        not_after: time(certificate.validity().not_after)?,
        extended_key_usages: Vec::new(),
        key_usages: Vec::new(),
        dns_names: Vec::new(),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
        key_type,
        key_size,
    };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) => facts.extended_key_usages = extended(usage),
            ParsedExtension::KeyUsage(usage) => facts.key_usages = usages(*usage),
            ParsedExtension::SubjectAlternativeName(names) => {
                let dns = names.general_names.iter().filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some((*name).to_owned()),
                    _ => None,
                });
                facts.dns_names = dns.collect();
            }
            _ => {}
        }
    }
    rest.is_empty().then_some(facts)
}

/// The usages that have a name in X.509, and the others, as dotted numbers (RFC 5280, 4.2.1.12).
fn extended(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (usage.any, "2.5.29.37.0"),
        (usage.server_auth, "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, "1.3.6.1.5.5.7.3.9"),
    ];
    let named = named.into_iter().filter(|(there, _)| *there).map(|(_, number)| number.to_owned());
    named.chain(usage.other.iter().map(ToString::to_string)).collect()
}

/// `KeyUsageType` of the official description.
fn usages(usage: KeyUsage) -> Vec<&'static str> {
    let all = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
}
