//! From a key and some certificates to what a client presents: the leaf that belongs to the key, and those that signed it,
//! in that order. Pure.
//!
//! What would fail in the TLS handshake with a word or two is refused here with the reason: a key that belongs to no
//! certificate, dates, and uses that rule out a TLS client (RFC 5280, 4.2.1.3 and 4.2.1.12).

use super::{bundle::Bundle, pem};
use crate::{
    clock::{self, from_unix},
    error::{Class, Error, Result},
    lease::vault::term,
    secret::Secret,
};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::time::SystemTime;
use x509_parser::{
    certificate::X509Certificate, error::X509Error, extensions::ParsedExtension, prelude::FromDer,
    time::ASN1Time,
};

/// What a client presents.
pub(super) struct Identity {
    /// PEM: the leaf, then each certificate that signed the one before it.
    pub(super) chain: Secret,
    /// PEM: PKCS#8.
    pub(super) key: Secret,
    /// When the first certificate of the chain stops being good.
    pub(super) ends: SystemTime,
    /// What is worth a warning.
    pub(super) remarks: Vec<String>,
}

/// Puts it together for use at `now`. `called` is as in `the certificate NAME`; `public` is the certificate as the vault
/// itself tells it, if it does.
///
/// Errors: `Config` for what can never work; `Denied` and `TryAgain` for dates, as [`term`] does it.
pub(super) fn assemble(
    called: &str,
    bundle: &Bundle,
    public: Option<&[u8]>,
    now: SystemTime,
) -> Result<Identity> {
    let refuse = |why: &str, fix: &str| {
        Error::new(Class::Config, format!("{called} cannot be a client's")).why(why).fix(fix)
    };
    let Some(key) = &bundle.key else {
        return Err(no_key(called));
    };
    let mut parsed = Vec::new();
    for der in &bundle.certificates {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| {
            refuse("one of its certificates is not X.509", "import it again, or create a new version")
        })?;
        if rest.is_empty() {
            parsed.push((der.as_slice(), certificate));
        }
    }
    let public_key = public_key(key).ok_or_else(|| {
        refuse(
            "its private key is of a kind that is not used here",
            "use RSA with 2048 bits or more, or the curves P-256 and P-384",
        )
    })?;
    let mut own = parsed.iter().filter(|(_, certificate)| certificate.public_key().raw == public_key);
    let leaf = match public {
        // A renewal may reuse the key, so the key alone does not say which one is meant.
        Some(public) => own.find(|(der, _)| *der == public),
        None => own.next(),
    };
    let Some(leaf) = leaf else {
        return Err(refuse(
            "its private key belongs to none of its certificates",
            "import certificate and key again; they must be a pair",
        ));
    };
    in_time(called, &leaf.1, now)?;
    if let Some(why) = unfit(&leaf.1) {
        return Err(refuse(
            why,
            "issue it with key usage digitalSignature and extended key usage clientAuth",
        ));
    }
    let chain = chain(leaf, &parsed);
    let mut remarks = Vec::new();
    let left_out = parsed.len() - chain.len();
    if left_out > 0 {
        let s = if left_out == 1 { "" } else { "s" };
        remarks.push(format!("{called}: {left_out} certificate{s} left out that did not sign it"));
    }
    for (_, above) in &chain[1..] {
        if from_asn1(above.validity.not_after) <= now {
            remarks.push(format!("{called}: the certificate of its issuer {} has expired", above.subject()));
        }
    }
    Ok(Identity {
        chain: pem::write("CERTIFICATE", chain.iter().map(|(der, _)| *der)),
        key: pem::write("PRIVATE KEY", [key.as_slice()]),
        ends: from_asn1(leaf.1.validity.not_after),
        remarks,
    })
}

/// The vault keeps the private key to itself.
pub(super) fn no_key(called: &str) -> Error {
    Error::new(Class::Config, format!("{called} cannot be a client's"))
        .why("its private key is not exportable: it never leaves the vault")
        .fix("create a new version with a policy that has key_props.exportable = true (and no HSM key)")
}

/// The key's `SubjectPublicKeyInfo`, in DER.
fn public_key(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8));
    Some(any_supported_type(&key).ok()?.public_key()?.to_vec())
}

fn in_time(called: &str, leaf: &X509Certificate<'_>, now: SystemTime) -> Result<()> {
    term::begun(called, Some(from_asn1(leaf.validity.not_before)), now)?;
    let ends = from_asn1(leaf.validity.not_after);
    if ends <= now {
        return Err(Error::new(Class::Denied, format!("{called} has expired"))
            .why(format!("it was good until {}", clock::rfc3339(ends)))
            .fix("renew it in the vault; with version unset the new one is taken at once"));
    }
    Ok(())
}

/// Why a TLS server would not take it for a client's, from the uses that it lists, if it lists any.
fn unfit(leaf: &X509Certificate<'_>) -> Option<&'static str> {
    for extension in leaf.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::KeyUsage(usage) if !usage.digital_signature() => {
                return Some("its key usage does not allow to sign, which a TLS client has to");
            }
            ParsedExtension::ExtendedKeyUsage(usage) if !usage.client_auth && !usage.any => {
                return Some("its extended key usage does not name TLS clients (clientAuth)");
            }
            _ => {}
        }
    }
    None
}

type Certificate<'a> = (&'a [u8], X509Certificate<'a>);

/// The leaf, then each certificate that signed the one before it, as far as they are there.
fn chain<'c, 'a>(leaf: &'c Certificate<'a>, all: &'c [Certificate<'a>]) -> Vec<&'c Certificate<'a>> {
    let mut chain = vec![leaf];
    let mut last = leaf;
    // None twice: certificates may name each other in a circle.
    while let Some(issuer) = all
        .iter()
        .find(|other| has_signed(&other.1, &last.1) && !chain.iter().any(|known| known.0 == other.0))
    {
        chain.push(issuer);
        last = issuer;
    }
    chain
}

/// By name and by signature. A signature of a kind that ring does not know speaks for nobody, and against nobody.
fn has_signed(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == certificate.issuer().as_raw()
        && matches!(
            certificate.verify_signature(Some(issuer.public_key())),
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)
        )
}

/// Before 1970 is as good as 1970.
fn from_asn1(time: ASN1Time) -> SystemTime {
    from_unix(u64::try_from(time.timestamp()).unwrap_or(0))
}
