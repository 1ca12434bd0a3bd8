//! Checks assertions: the signature first, then whom, what and when they are for.

use super::{ASSERTION, BEARER, ENVELOPED, EXCLUSIVE, RSA_SHA256, SHA256, SIGNATURE, canonical::canonical};
use crate::clock;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, rsa::PublicKeyComponents, signature::RSA_PKCS1_2048_8192_SHA256};
use roxmltree::{Document, Node, NodeType};
use std::time::SystemTime;

/// An issuer that is believed.
#[derive(Clone, Debug)]
pub(in crate::emulator) struct Federation {
    /// Its entity id, exactly.
    pub(in crate::emulator) entity_id: String,
    /// The key that it signs with.
    pub(in crate::emulator) key: PublicKeyComponents<Vec<u8>>,
}

/// Whom an assertion must be for.
pub(in crate::emulator) struct Expected<'a> {
    /// The checker's names; one must be among the assertion's audiences.
    pub(in crate::emulator) audiences: &'a [&'a str],
    /// Where assertions are delivered to the checker; one must be the confirmation's `Recipient`.
    pub(in crate::emulator) recipients: &'a [&'a str],
}

/// What a checked assertion says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::emulator) struct Assertion {
    /// Its `ID`.
    pub(in crate::emulator) id: String,
    /// Its issuer.
    pub(in crate::emulator) issuer: String,
    /// The subject's `NameID`.
    pub(in crate::emulator) name_id: String,
    /// The attributes and their values, in order.
    pub(in crate::emulator) attributes: Vec<(String, Vec<String>)>,
    /// Its end.
    pub(in crate::emulator) expires: SystemTime,
}

impl Assertion {
    /// The value of an attribute that has one.
    pub(in crate::emulator) fn attribute(&self, name: &str) -> Option<&str> {
        let (_, values) = self.attributes.iter().find(|(known, _)| known == name)?;
        match values.as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// Why an assertion is not believed. The texts tell what was found; none repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum Invalid {
    /// Not XML, or with a document type, comments or processing instructions.
    Xml,
    /// The document is about something else.
    Element {
        /// The element's name.
        name: String,
        /// And its namespace.
        namespace: String,
    },
    /// Something is missing, or there twice, or in the wrong place.
    Shape(&'static str),
    /// Nobody that is trusted.
    Issuer(String),
    /// Signed with a key that is not the issuer's.
    UnknownKey,
    /// The signature does not hold.
    Signature,
    /// Too early or too late.
    Time,
    /// For somebody else.
    Audience(String),
    /// The subject is not confirmed for a bearer who brings it here.
    Confirmation(&'static str),
}

/// Checks an assertion that a bearer brought, at `now`. Clocks get no tolerance.
pub(in crate::emulator) fn verify(
    xml: &str,
    federations: &[Federation],
    expected: &Expected<'_>,
    now: SystemTime,
) -> Result<Assertion, Invalid> {
    // The parser refuses document types, and with them entities.
    let document = Document::parse(xml).map_err(|_| Invalid::Xml)?;
    // A comment could split a name for one reader and not for another.
    let plain = |node: Node<'_, '_>| !matches!(node.node_type(), NodeType::Comment | NodeType::PI);
    if !document.descendants().all(plain) {
        return Err(Invalid::Xml);
    }
    let root = document.root_element();
    if !root.has_tag_name((ASSERTION, "Assertion")) {
        let (name, namespace) = (root.tag_name().name(), root.tag_name().namespace().unwrap_or_default());
        return Err(Invalid::Element { name: name.to_owned(), namespace: namespace.to_owned() });
    }
    if root.attribute("Version") != Some("2.0") {
        return Err(Invalid::Shape("Its Version is not 2.0."));
    }
    let issuer = content(one(root, ASSERTION, "Issuer")?)?;
    let federation = federations
        .iter()
        .find(|federation| federation.entity_id == issuer)
        .ok_or_else(|| Invalid::Issuer(issuer.to_owned()))?;
    let id = signed(root, &federation.key)?;

    // From here on all that is read lies below `root`, which is what the signature covers.
    let expires = conditions(root, expected, now)?;
    let subject = one(root, ASSERTION, "Subject")?;
    confirmation(subject, expected, now)?;
    Ok(Assertion {
        id: id.to_owned(),
        issuer: issuer.to_owned(),
        name_id: content(one(subject, ASSERTION, "NameID")?)?.to_owned(),
        attributes: attributes(root)?,
        expires,
    })
}

/// Checks that one signature covers all of `root`, and that it is by `key`; gives the id.
fn signed<'a>(root: Node<'a, 'a>, key: &PublicKeyComponents<Vec<u8>>) -> Result<&'a str, Invalid> {
    let id = root.attribute("ID").filter(|id| !id.is_empty()).ok_or(Invalid::Shape("It has no ID."))?;
    // A reference could mean any element with that id: there is to be no other with an id of any kind.
    let ids = root.descendants().flat_map(|node| node.attributes());
    if ids.filter(|attribute| attribute.name().eq_ignore_ascii_case("id")).count() != 1 {
        return Err(Invalid::Shape("Another element in it has an ID as well."));
    }
    let of = |name: &str| root.descendants().filter(move |node| node.has_tag_name((SIGNATURE, name))).count();
    if of("Signature") != 1 || of("SignedInfo") != 1 {
        return Err(Invalid::Shape("It has not exactly one signature."));
    }
    let signature = one(root, SIGNATURE, "Signature")?;
    let info = one(signature, SIGNATURE, "SignedInfo")?;
    algorithm(one(info, SIGNATURE, "CanonicalizationMethod")?, EXCLUSIVE)?;
    algorithm(one(info, SIGNATURE, "SignatureMethod")?, RSA_SHA256)?;
    let reference = one(info, SIGNATURE, "Reference")?;
    if reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')) != Some(id) {
        return Err(Invalid::Shape("Its signature refers to something else."));
    }
    match elements(one(reference, SIGNATURE, "Transforms")?).collect::<Vec<_>>()[..] {
        [first, second] => {
            algorithm(first, ENVELOPED)?;
            algorithm(second, EXCLUSIVE)?;
        }
        _ => return Err(Invalid::Shape("Its signature has other transforms than the two it should have.")),
    }
    algorithm(one(reference, SIGNATURE, "DigestMethod")?, SHA256)?;

    let covered = canonical(root, Some(signature)).ok_or(Invalid::Xml)?;
    let found = digest::digest(&digest::SHA256, covered.as_bytes());
    let promised = base64(content(one(reference, SIGNATURE, "DigestValue")?)?)?;
    let value = base64(content(one(signature, SIGNATURE, "SignatureValue")?)?)?;
    let info = canonical(info, None).ok_or(Invalid::Xml)?;
    let held = key.verify(&RSA_PKCS1_2048_8192_SHA256, info.as_bytes(), &value).is_ok();
    if held && found.as_ref() == promised {
        return Ok(id);
    }
    // The key that the document names is not used; it only tells the two failures apart.
    Err(if names_another_key(signature, key) { Invalid::UnknownKey } else { Invalid::Signature })
}

fn names_another_key(signature: Node<'_, '_>, key: &PublicKeyComponents<Vec<u8>>) -> bool {
    let modulus = signature.descendants().find(|node| node.has_tag_name((SIGNATURE, "Modulus")));
    let modulus = modulus.and_then(|node| content(node).ok()).and_then(|text| base64(text).ok());
    modulus.is_some_and(|modulus| modulus != key.n)
}

/// The method that an element of the signature names; it must take no parameters.
fn algorithm(node: Node<'_, '_>, expected: &str) -> Result<(), Invalid> {
    if node.attribute("Algorithm") == Some(expected) && elements(node).next().is_none() {
        Ok(())
    } else {
        Err(Invalid::Shape("Its signature is made in a way that is not supported."))
    }
}

/// Checks `Conditions`; gives the end.
fn conditions(root: Node<'_, '_>, expected: &Expected<'_>, now: SystemTime) -> Result<SystemTime, Invalid> {
    let conditions = one(root, ASSERTION, "Conditions")?;
    let until = time(conditions, "NotOnOrAfter")?.ok_or(Invalid::Shape("Its conditions have no end."))?;
    let early = time(conditions, "NotBefore")?.is_some_and(|from| now < from);
    if early || until <= now {
        return Err(Invalid::Time);
    }
    for condition in elements(conditions) {
        // A condition that is not understood makes an assertion invalid (SAML core, 2.5.1).
        if !["AudienceRestriction", "OneTimeUse"]
            .iter()
            .any(|name| condition.has_tag_name((ASSERTION, *name)))
        {
            return Err(Invalid::Shape("It has a condition that is not supported."));
        }
    }
    let restriction = one(conditions, ASSERTION, "AudienceRestriction")?;
    let audiences: Vec<&str> = elements(restriction).map(content).collect::<Result<_, _>>()?;
    if audiences.iter().any(|audience| expected.audiences.contains(audience)) {
        Ok(until)
    } else {
        Err(Invalid::Audience(audiences.join(",")))
    }
}

/// Checks that a bearer confirms the subject, here and now (RFC 7522, 3, point 5).
fn confirmation(subject: Node<'_, '_>, expected: &Expected<'_>, now: SystemTime) -> Result<(), Invalid> {
    let confirmation = one(subject, ASSERTION, "SubjectConfirmation")?;
    if confirmation.attribute("Method") != Some(BEARER) {
        return Err(Invalid::Confirmation("the subject confirmation method is not bearer."));
    }
    let data = one(confirmation, ASSERTION, "SubjectConfirmationData")?;
    if !data.attribute("Recipient").is_some_and(|recipient| expected.recipients.contains(&recipient)) {
        return Err(Invalid::Confirmation("the Recipient of the subject confirmation is not this service."));
    }
    let until = time(data, "NotOnOrAfter")?.ok_or(Invalid::Shape("Its subject confirmation has no end."))?;
    let early = time(data, "NotBefore")?.is_some_and(|from| now < from);
    if early || until <= now { Err(Invalid::Time) } else { Ok(()) }
}

fn attributes(root: Node<'_, '_>) -> Result<Vec<(String, Vec<String>)>, Invalid> {
    let statements = elements(root).filter(|node| node.has_tag_name((ASSERTION, "AttributeStatement")));
    let read = |attribute: Node<'_, '_>| {
        let name = attribute.attribute("Name").ok_or(Invalid::Shape("An attribute has no name."))?;
        let values = elements(attribute).map(|value| content(value).map(str::to_owned));
        Ok((name.to_owned(), values.collect::<Result<_, _>>()?))
    };
    statements.flat_map(elements).map(read).collect()
}

/// The only child element of that name.
fn one<'a>(parent: Node<'a, 'a>, namespace: &str, name: &str) -> Result<Node<'a, 'a>, Invalid> {
    let mut found = elements(parent).filter(|node| node.has_tag_name((namespace, name)));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        _ => Err(Invalid::Shape("An element that must be there once is missing, or there more often.")),
    }
}

fn elements<'a>(parent: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    parent.children().filter(Node::is_element)
}

/// The text of an element that has nothing else in it.
fn content<'a>(node: Node<'a, 'a>) -> Result<&'a str, Invalid> {
    let mut children = node.children();
    match (children.next(), children.next()) {
        (None, _) => Ok(""),
        (Some(text), None) if text.is_text() => Ok(text.text().unwrap_or_default()),
        _ => Err(Invalid::Shape("An element that should have a text has other things in it.")),
    }
}

fn time(node: Node<'_, '_>, name: &str) -> Result<Option<SystemTime>, Invalid> {
    let time = |text| clock::parse_rfc3339(text).ok_or(Invalid::Shape("One of its times is none."));
    node.attribute(name).map(time).transpose()
}

/// Base64 in XML may be wrapped.
fn base64(text: &str) -> Result<Vec<u8>, Invalid> {
    let plain: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(plain).map_err(|_| Invalid::Shape("A value in its signature is not base64."))
}
