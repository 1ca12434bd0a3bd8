//! Client certificates, checked as the policy `validate-client-certificate` does.
//!
//! <https://learn.microsoft.com/azure/api-management/validate-client-certificate-policy>. `gitpod/policies/partner.xml`
//! is the policy that a real gateway needs for it. The caller is told only whether a certificate was there and good;
//! `context.LastError.Reason` says why one was refused, and here our log does.

use crate::clock;
use ring::digest;
use std::{sync::Arc, time::SystemTime};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// The SHA-1 of a certificate's DER: what API Management and Key Vault call a certificate by.
pub type Thumbprint = [u8; 20];

/// The certificates that the policy allows at the moment, each by its thumbprint.
pub type Thumbprints = Arc<dyn Fn() -> Vec<Thumbprint> + Send + Sync>;

/// The thumbprint of a certificate, given in DER.
pub fn thumbprint(der: &[u8]) -> Thumbprint {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    let mut thumbprint = [0; 20];
    thumbprint.copy_from_slice(hash.as_ref());
    thumbprint
}

/// A thumbprint as .NET and the portal write it: upper-case hexadecimal digits.
pub(super) fn shown(thumbprint: &Thumbprint) -> String {
    crate::lease::random::hex(thumbprint).to_uppercase()
}

/// Why a certificate was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The client presented none.
    NotFound,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It cannot be read, or is for another use than proving a client.
    NotTrusted,
    /// It is none of those allowed.
    IdentityNotMatched,
}

impl Refusal {
    /// What the caller reads.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NotFound => "Client certificate missing",
            _ => "Invalid client certificate",
        }
    }

    /// `context.LastError.Reason`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "ClientCertificateNotFound",
            Self::NotYetValid => "ClientCertificateNotYetValid",
            Self::Expired => "ClientCertificateExpired",
            Self::NotTrusted => "ClientCertificateNotTrusted",
            Self::IdentityNotMatched => "ClientCertificateIdentityNotMatched",
        }
    }
}

/// Checks what the client presented in TLS, where it also proved that it holds the key.
///
/// The chain is not built (`validate-trust="false"`): a thumbprint names one certificate, whoever has issued it.
pub(super) fn check(
    der: Option<&[u8]>,
    allowed: &[Thumbprint],
    now: SystemTime,
) -> Result<Thumbprint, Refusal> {
    let der = der.ok_or(Refusal::NotFound)?;
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Refusal::NotTrusted)?;
    if !rest.is_empty() {
        return Err(Refusal::NotTrusted);
    }
    // Both ends belong to the validity (RFC 5280, 4.1.2.5).
    let (validity, now) = (certificate.validity(), clock::unix(now).cast_signed());
    if now < validity.not_before.timestamp() {
        return Err(Refusal::NotYetValid);
    }
    if now > validity.not_after.timestamp() {
        return Err(Refusal::Expired);
    }
    if !proves_clients(&certificate) {
        return Err(Refusal::NotTrusted);
    }
    let thumbprint = thumbprint(der);
    if allowed.contains(&thumbprint) { Ok(thumbprint) } else { Err(Refusal::IdentityNotMatched) }
}

/// A certificate that lists its uses must list this one (RFC 5280, 4.2.1.12).
fn proves_clients(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.any || usage.value.client_auth,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose as Usage, KeyPair};

    const NOW: u64 = 1_795_478_400;

    /// Valid for a minute around now.
    fn certificate(usages: &[Usage]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.not_before = (from_unix(NOW - 30)).into();
        params.not_after = (from_unix(NOW + 30)).into();
        params.extended_key_usages = usages.to_vec();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn verdict(der: &[u8], at: u64) -> Result<Thumbprint, Refusal> {
        check(Some(der), &[[0; 20], thumbprint(der)], from_unix(at))
    }

    #[test]
    fn an_allowed_certificate_is_good_to_both_ends_of_its_time() {
        let der = certificate(&[]);
        for at in [NOW - 30, NOW, NOW + 30] {
            assert_eq!(verdict(&der, at), Ok(thumbprint(&der)));
        }
        assert_eq!(verdict(&der, NOW - 31), Err(Refusal::NotYetValid));
        assert_eq!(verdict(&der, NOW + 31), Err(Refusal::Expired));
    }

    #[test]
    fn uses_that_are_listed_must_include_clients() {
        for (usages, good) in [
            (vec![Usage::ClientAuth], true),
            (vec![Usage::ServerAuth, Usage::ClientAuth], true),
            (vec![Usage::Any], true),
            (vec![Usage::ServerAuth], false),
            (vec![Usage::CodeSigning, Usage::EmailProtection], false),
        ] {
            let der = certificate(&usages);
            assert_eq!(verdict(&der, NOW).is_ok(), good, "{usages:?}");
        }
        assert_eq!(verdict(&certificate(&[Usage::ServerAuth]), NOW), Err(Refusal::NotTrusted));
    }

    #[test]
    fn strangers_and_what_is_no_certificate_are_refused() {
        let der = certificate(&[]);
        let now = from_unix(NOW);
        assert_eq!(check(None, &[[0; 20]], now), Err(Refusal::NotFound));
        assert_eq!(
            check(Some(&der), &[thumbprint(&certificate(&[]))], now),
            Err(Refusal::IdentityNotMatched)
        );
        assert_eq!(check(Some(&der), &[], now), Err(Refusal::IdentityNotMatched));
        for bad in [&b""[..], b"0", &der[..der.len() - 1], &[&der[..], b"x"].concat()] {
            assert_eq!(check(Some(bad), &[thumbprint(bad)], now), Err(Refusal::NotTrusted));
        }
    }

    #[test]
    fn thumbprints_are_written_as_the_portal_does() {
        // SHA-1 of "abc", FIPS 180.
        assert_eq!(shown(&thumbprint(b"abc")), "A9993E364706816ABA3E25717850C26C9CD0D89D");
    }
}
