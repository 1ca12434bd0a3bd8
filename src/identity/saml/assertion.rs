//! What a SAML assertion says (SAML 2.0 Core, 2.3 to 2.5; for the older ones [`older`]). Pure, and strict: what could be read
//! in two ways is refused.

mod older;

use crate::{clock, identity::claims::Claims, secret::Secret};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use roxmltree::{Document, Node, ParsingOptions};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// SAML 2.0's namespaces, of assertions and of the protocol, and XML signature's.
const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

/// How a `NameID` and attributes of AD FS name a person.
const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const PERSON: [&str; 3] = [
    "http://schemas.xmlsoap.org/claims/UPN",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
];

/// An assertion has some dozens of elements.
const MOST_NODES: u32 = 10_000;

/// An assertion, and what it says.
pub struct Assertion {
    /// Its XML, as it was signed: from `<Assertion` to its end.
    pub xml: Secret,
    /// `Issuer`, `NameID`, `Audience`, and the first moment at which it is no longer good.
    pub claims: Claims,
    /// The first moment at which it is good, if it says so.
    pub not_before: Option<SystemTime>,
}

/// Reads an assertion, as XML or in base64, alone or as the one in a `Response`.
///
/// Error: what is wrong, without a part of it.
pub fn parse(text: &str) -> Result<Assertion, String> {
    let xml = unwrapped(text)?;
    let document = document(&xml)?;
    let assertion = find(document.root_element())?;
    let (claims, not_before) = read(assertion)?;
    if assertion == document.root_element() {
        return Ok(Assertion { xml: Secret::new(xml[assertion.range()].to_owned()), claims, not_before });
    }
    // Alone, it lacks what its response declares. Where it needs that, it is another text than was signed.
    let alone = &xml[assertion.range()];
    let stands_alone = self::document(alone).is_ok_and(|alone| {
        let root = alone.root_element();
        find(root).is_ok_and(|found| found == root && is_same(assertion, root))
    });
    if !stands_alone {
        return Err("it is in a response, and cannot stand without it".to_owned());
    }
    Ok(Assertion { xml: Secret::new(alone.to_owned()), claims, not_before })
}

/// The XML: as it stands, or out of base64 of either alphabet.
fn unwrapped(text: &str) -> Result<Zeroizing<String>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('<') {
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let packed = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
    let bytes = [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(packed.as_bytes()).ok())
        .map(Zeroizing::new)
        .ok_or("it is neither XML nor base64")?;
    let xml = std::str::from_utf8(&bytes).ok().map(|xml| xml.trim_start_matches('\u{feff}').trim());
    match xml {
        Some(xml) if xml.starts_with('<') => Ok(Zeroizing::new(xml.to_owned())),
        _ => Err("its base64 holds no XML".to_owned()),
    }
}

/// Well-formed XML without a DTD: entities could make it say anything.
fn document(xml: &str) -> Result<Document<'_>, String> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => "it has a DTD, which no assertion needs".to_owned(),
        roxmltree::Error::NodesLimitReached => "it has more elements than any assertion".to_owned(),
        // The words of other errors quote the text.
        error => {
            format!("it is not well-formed XML, at line {}, column {}", error.pos().row, error.pos().col)
        }
    })
}

/// The assertion: the root, or the only one in a response.
fn find<'a, 'i>(root: Node<'a, 'i>) -> Result<Node<'a, 'i>, String> {
    let encrypted = || Err("it is encrypted, so that only its audience can read it".to_owned());
    match (root.tag_name().namespace(), root.tag_name().name()) {
        (Some(SAML | older::SAML), "Assertion") => Ok(root),
        (Some(SAML), "EncryptedAssertion") => encrypted(),
        (Some(PROTOCOL), "Response") => {
            let inside: Vec<_> = root.descendants().filter(|node| is(*node, "Assertion")).collect();
            match inside[..] {
                [only] if only.parent() == Some(root) => Ok(only),
                [] if root.descendants().any(|node| is(node, "EncryptedAssertion")) => encrypted(),
                _ => Err("it is a response without exactly one assertion in it".to_owned()),
            }
        }
        _ => Err("its root is not an Assertion".to_owned()),
    }
}

/// Whether it is SAML's element of that name. The versions do not mix: an assertion's namespace is that of all in it.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.has_tag_name((SAML, name)) || node.has_tag_name((older::SAML, name))
}

/// Whether two elements have the same names in the same namespaces, all the way down.
fn is_same(one: Node<'_, '_>, other: Node<'_, '_>) -> bool {
    let names = |node: Node<'_, '_>| {
        let name = node.tag_name();
        (name.namespace().map(str::to_owned), name.name().to_owned())
    };
    let (one, other) = (one.descendants(), other.descendants());
    one.filter(Node::is_element).map(names).eq(other.filter(Node::is_element).map(names))
}

/// What it says, and from when on it is good.
fn read(assertion: Node<'_, '_>) -> Result<(Claims, Option<SystemTime>), String> {
    if !assertion.children().any(|child| child.has_tag_name((SIGNATURE, "Signature"))) {
        return Err("it is not signed itself".to_owned());
    }
    if assertion.has_tag_name((older::SAML, "Assertion")) {
        return older::read(assertion);
    }
    if assertion.attribute("Version") != Some("2.0") {
        return Err("its Version is not 2.0".to_owned());
    }
    let issuer = text(one(assertion, "Issuer")?)?;
    let subject = one(assertion, "Subject")?;
    if subject.children().any(|child| is(child, "EncryptedID")) {
        return Err("its subject is encrypted, so that only its audience can read it".to_owned());
    }
    let name = one(subject, "NameID")?;
    let sub = text(name)?;
    let conditions = one(assertion, "Conditions")?;
    let confirmations = subject.children().filter(|child| is(*child, "SubjectConfirmation"));
    let bearer: Vec<_> = confirmations.filter(|it| it.attribute("Method") == Some(BEARER)).collect();
    if bearer.is_empty() {
        return Err(NOT_A_BEARERS.to_owned());
    }
    // With several, one that holds is enough, and which ones hold is for the audience to say.
    let data = match bearer[..] {
        [only] => only.children().find(|child| is(*child, "SubjectConfirmationData")),
        _ => None,
    };
    let limits = [Some(conditions), data];
    let (exp, not_before) = (end(&limits)?, times(&limits, "NotBefore")?.into_iter().max());
    let user = if name.attribute("Format") == Some(EMAIL) { Some(sub.clone()) } else { person(assertion) };
    let aud = audiences(conditions, "AudienceRestriction")?;
    Ok((Claims { iss: issuer, sub, aud, exp, workspace: None, user }, not_before))
}

/// Why nobody may hand it in for its subject.
const NOT_A_BEARERS: &str = "its subject is not confirmed to a bearer, so that nobody may hand it in for it";

/// The person that an attribute names. It is only shown, so that one of another form says nothing.
fn person(assertion: Node<'_, '_>) -> Option<String> {
    let statement = assertion.children().find(|child| is(*child, "AttributeStatement"))?;
    let named = |name: &&str| {
        let has_name = |node: &Node<'_, '_>| is(*node, "Attribute") && node.attribute("Name") == Some(name);
        let attribute = statement.children().find(has_name)?;
        text(one(attribute, "AttributeValue").ok()?).ok()
    };
    PERSON.iter().find_map(named)
}

/// The earliest end of all that have one.
fn end(limits: &[Option<Node<'_, '_>>]) -> Result<SystemTime, String> {
    let ends = times(limits, "NotOnOrAfter")?;
    ends.into_iter().min().ok_or_else(|| "nothing in it says when it expires (NotOnOrAfter)".to_owned())
}

/// The values of a time's attribute where it is set.
fn times(elements: &[Option<Node<'_, '_>>], name: &str) -> Result<Vec<SystemTime>, String> {
    let values = elements.iter().flatten().filter_map(|element| element.attribute(name));
    values.map(|text| clock::parse_rfc3339(text).ok_or_else(|| format!("its {name} is not a time"))).collect()
}

/// All audiences. With several restrictions, whose name differs by version, each of them has to hold; then only what is in all
/// of them counts.
fn audiences(conditions: Node<'_, '_>, restriction: &str) -> Result<Vec<String>, String> {
    let mut common: Option<Vec<String>> = None;
    for restricted in conditions.children().filter(|child| is(*child, restriction)) {
        let named = restricted.children().filter(|child| is(*child, "Audience"));
        let named = named.map(text).collect::<Result<Vec<_>, _>>()?;
        common = Some(match common {
            None => named,
            Some(before) => before.into_iter().filter(|audience| named.contains(audience)).collect(),
        });
    }
    common.filter(|audiences| !audiences.is_empty()).ok_or_else(|| "it is for no audience".to_owned())
}

/// The only child of that name.
fn one<'a, 'i>(parent: Node<'a, 'i>, name: &str) -> Result<Node<'a, 'i>, String> {
    let mut found = parent.children().filter(|child| is(*child, name));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("it has no {name}")),
        _ => Err(format!("it has more than one {name}")),
    }
}

/// The text of an element that holds nothing else. A comment in it would make two readers read two texts.
fn text(element: Node<'_, '_>) -> Result<String, String> {
    let name = element.tag_name().name();
    let mut inside = element.children();
    let text = match (inside.next(), inside.next()) {
        (Some(only), None) if only.is_text() => only.text().unwrap_or_default().trim(),
        (None, _) => "",
        _ => return Err(format!("its {name} holds more than a text")),
    };
    // They are shown, and become part of commands that people paste.
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("its {name} is empty, or holds control characters"));
    }
    Ok(text.to_owned())
}
