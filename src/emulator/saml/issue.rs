//! Writes assertions, as AD FS does.
//!
//! The text is written in canonical form (<https://www.w3.org/TR/xml-exc-c14n/>): namespaces declared where they are
//! first used, attributes sorted, no empty-element tags. So it can be hashed as it stands.

use super::{
    ASSERTION, BEARER, ENVELOPED, EXCLUSIVE, RSA_SHA256, SHA256, SIGNATURE, canonical, verify::Federation,
};
use crate::{
    clock,
    emulator::{jwt::SigningKey, random},
    error::Result,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest;
use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

/// Who signs assertions.
pub(in crate::emulator) struct Issuer {
    /// Its entity id, the `Issuer` of its assertions.
    entity_id: String,
    keys: SigningKey,
}

/// What an assertion says.
pub(in crate::emulator) struct Statement<'a> {
    /// The subject's `NameID`.
    pub(in crate::emulator) name_id: &'a str,
    /// Attributes of one value each.
    pub(in crate::emulator) attributes: &'a [(&'a str, &'a str)],
    /// Whom it is for.
    pub(in crate::emulator) audience: &'a str,
    /// Where it may be delivered.
    pub(in crate::emulator) recipient: &'a str,
    /// How long it holds, from now on.
    pub(in crate::emulator) life: Duration,
}

impl Issuer {
    pub(in crate::emulator) fn new(entity_id: &str, keys: SigningKey) -> Self {
        Self { entity_id: entity_id.to_owned(), keys }
    }

    /// What others need to check its assertions.
    pub(in crate::emulator) fn federation(&self) -> Federation {
        Federation { entity_id: self.entity_id.clone(), key: self.keys.public_key() }
    }

    /// A signed assertion.
    pub(in crate::emulator) fn issue(&self, statement: &Statement<'_>, now: SystemTime) -> Result<String> {
        let id = format!("_{}", random::text()?);
        let (head, tail) = self.assertion(&id, statement, now);
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, format!("{head}{tail}").as_bytes()));
        let signed_info = format!(
            "<ds:SignedInfo xmlns:ds=\"{SIGNATURE}\">\
             <ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"{RSA_SHA256}\"></ds:SignatureMethod>\
             <ds:Reference URI=\"#{id}\"><ds:Transforms>\
             <ds:Transform Algorithm=\"{ENVELOPED}\"></ds:Transform>\
             <ds:Transform Algorithm=\"{EXCLUSIVE}\"></ds:Transform></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{SHA256}\"></ds:DigestMethod>\
             <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        );
        let signature = STANDARD.encode(self.keys.signature(signed_info.as_bytes())?);
        let key = self.keys.public_key();
        Ok(format!(
            "{head}<ds:Signature xmlns:ds=\"{SIGNATURE}\">{signed_info}\
             <ds:SignatureValue>{signature}</ds:SignatureValue><ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue>\
             <ds:Modulus>{}</ds:Modulus><ds:Exponent>{}</ds:Exponent>\
             </ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo></ds:Signature>{tail}",
            STANDARD.encode(key.n),
            STANDARD.encode(key.e),
        ))
    }

    /// The assertion before and after the place of its signature.
    fn assertion(&self, id: &str, statement: &Statement<'_>, now: SystemTime) -> (String, String) {
        let text = |text: &str| {
            let mut out = String::new();
            canonical::text(text, &mut out);
            out
        };
        let value = |text: &str| {
            let mut out = String::new();
            canonical::value(text, &mut out);
            out
        };
        let (from, until) = (clock::rfc3339(now), clock::rfc3339(now + statement.life));
        let head = format!(
            "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"{id}\" IssueInstant=\"{from}\" Version=\"2.0\">\
             <saml:Issuer>{}</saml:Issuer>",
            text(&self.entity_id)
        );
        let mut tail = format!(
            "<saml:Subject><saml:NameID>{}</saml:NameID><saml:SubjectConfirmation Method=\"{BEARER}\">\
             <saml:SubjectConfirmationData NotOnOrAfter=\"{until}\" Recipient=\"{}\"></saml:SubjectConfirmationData>\
             </saml:SubjectConfirmation></saml:Subject>\
             <saml:Conditions NotBefore=\"{from}\" NotOnOrAfter=\"{until}\"><saml:AudienceRestriction>\
             <saml:Audience>{}</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
             <saml:AuthnStatement AuthnInstant=\"{from}\"><saml:AuthnContext><saml:AuthnContextClassRef>\
             urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport\
             </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>",
            text(statement.name_id),
            value(statement.recipient),
            text(statement.audience),
        );
        if !statement.attributes.is_empty() {
            tail.push_str("<saml:AttributeStatement>");
            for (name, content) in statement.attributes {
                // Writing into a String cannot fail.
                let _ = write!(
                    tail,
                    "<saml:Attribute Name=\"{}\"><saml:AttributeValue>{}</saml:AttributeValue></saml:Attribute>",
                    value(name),
                    text(content)
                );
            }
            tail.push_str("</saml:AttributeStatement>");
        }
        tail.push_str("</saml:Assertion>");
        (head, tail)
    }
}
