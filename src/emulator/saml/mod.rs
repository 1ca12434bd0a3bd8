//! SAML 2.0 assertions: written, signed and checked. For one shape, that of a bearer assertion (RFC 7522).
//!
//! The signature is an enveloped XML signature, RSA-SHA256 over exclusive canonical XML. [`verify()`] reads nothing but
//! the element that it found signed, so that no second assertion beside it, around it or in it is ever believed
//! ("signature wrapping").

mod canonical;
mod issue;
#[cfg(test)]
mod tests;
mod verify;

pub(super) use issue::{Issuer, Statement};
pub(super) use verify::{Assertion, Expected, Federation, Invalid, verify};

/// Namespace of assertions.
pub(super) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";

/// Namespace of XML signatures.
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Exclusive canonical XML, without comments.
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// How the bearer of an assertion is confirmed: by having it.
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

/// The attribute in which AD FS names the user principal.
pub(super) const UPN: &str = "http://schemas.xmlsoap.org/claims/UPN";
