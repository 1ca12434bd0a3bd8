//! What is issued verifies; what was changed, moved or wrapped does not.

use super::*;
use crate::{clock::from_unix, emulator::jwt::SigningKey};
use std::{sync::LazyLock, time::Duration};

const NOW: u64 = 1_795_478_400;
const ENTITY: &str = "http://adfs.example/adfs/services/trust";
const EXPECTED: Expected<'_> = Expected { audiences: &["urn:aud"], recipients: &["https://here/"] };

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new(ENTITY, SigningKey::generate().unwrap()));

fn statement() -> Statement<'static> {
    Statement {
        name_id: "jane & <co>",
        attributes: &[(UPN, "jane@acme.example"), ("q\"t", "a>b")],
        audience: "urn:aud",
        recipient: "https://here/",
        life: Duration::from_mins(1),
    }
}

fn issued() -> String {
    ISSUER.issue(&statement(), from_unix(NOW)).unwrap()
}

fn check_at(xml: &str, at: u64) -> Result<Assertion, Invalid> {
    verify(xml, &[ISSUER.federation()], &EXPECTED, from_unix(at))
}

fn check(xml: &str) -> Result<Assertion, Invalid> {
    check_at(xml, NOW)
}

#[test]
fn what_is_issued_verifies_and_is_canonical() {
    let xml = issued();
    let assertion = check(&xml).unwrap();
    assert_eq!((assertion.issuer.as_str(), assertion.name_id.as_str()), (ENTITY, "jane & <co>"));
    assert_eq!(assertion.attribute(UPN), Some("jane@acme.example"));
    assert_eq!(assertion.attribute("q\"t"), Some("a>b"));
    assert_eq!(assertion.expires, from_unix(NOW + 60));
    let document = roxmltree::Document::parse(&xml).unwrap();
    // The one thing that is not: the signature's namespace is declared a second time, so that `SignedInfo` can be
    // signed as it stands.
    let again = format!("<ds:SignedInfo xmlns:ds=\"{SIGNATURE}\">");
    let whole = canonical::canonical(document.root_element(), None).unwrap();
    assert_eq!(whole, xml.replace(&again, "<ds:SignedInfo>"));
}

#[test]
fn another_way_of_writing_the_same_verifies_too() {
    let xml = issued().replace("<saml:Issuer>", "<saml:Issuer  >").replace("></ds:SignatureMethod>", "/>");
    let xml = format!("<?xml version='1.0'?>\n{xml}\n");
    assert!(check(&xml).is_ok());
}

#[test]
fn what_was_changed_does_not() {
    let xml = issued();
    for (from, to) in [
        ("jane@acme.example", "eve@acme.example"),
        ("urn:aud", "urn:oth"),
        ("Version=\"2.0\"", "Version=\"2.0\" More=\"1\""),
        ("</saml:Subject>", "</saml:Subject> "),
    ] {
        let forged = xml.replacen(from, to, 1);
        assert_ne!(forged, xml);
        assert_eq!(check(&forged), Err(Invalid::Signature), "{to}");
    }
    // A digest that fits does not help: the digest itself is signed.
    let other = ISSUER.issue(&Statement { name_id: "eve", ..statement() }, from_unix(NOW)).unwrap();
    let value = |xml: &str| {
        let start = xml.find("<ds:SignatureValue>").unwrap();
        let end = xml.find("</ds:SignatureValue>").unwrap();
        xml[start..end].to_owned()
    };
    assert_eq!(check(&other.replace(&value(&other), &value(&xml))), Err(Invalid::Signature));
}

#[test]
fn a_strangers_signature_does_not_count() {
    let stranger = Issuer::new(ENTITY, SigningKey::generate().unwrap());
    let xml = stranger.issue(&statement(), from_unix(NOW)).unwrap();
    assert_eq!(check(&xml), Err(Invalid::UnknownKey));
    let unknown = Issuer::new("https://sts.windows.net/t/", SigningKey::generate().unwrap());
    let xml = unknown.issue(&statement(), from_unix(NOW)).unwrap();
    assert_eq!(check(&xml), Err(Invalid::Issuer("https://sts.windows.net/t/".to_owned())));
}

#[test]
fn wrapping_is_seen() {
    let xml = issued();
    let evil = xml.replace("jane@acme.example", "eve@acme.example");
    let (start, end) = (xml.find("<ds:Signature ").unwrap(), xml.find("</ds:Signature>").unwrap() + 15);
    let (signature, unsigned) = (&xml[start..end], format!("{}{}", &xml[..start], &xml[end..]));
    let id_start = xml.find("ID=\"").unwrap() + 4;
    let id = &xml[id_start..id_start + xml[id_start..].find('"').unwrap()];

    // The signed one inside the forged one's signature, with the forged one's own id and with the same.
    let object = format!("<ds:Object>{unsigned}</ds:Object></ds:Signature>");
    let inside = evil.replace("</ds:Signature>", &object);
    assert!(matches!(check(&inside), Err(Invalid::Shape(_))));
    assert!(matches!(check(&inside.replacen(id, "_other", 1)), Err(Invalid::Shape(_))));
    // The forged one around the signed one, and with the signature moved up.
    let around = evil.replace(signature, "").replace("</saml:Assertion>", &format!("{xml}</saml:Assertion>"));
    assert!(matches!(check(&around), Err(Invalid::Shape(_))));
    let moved = evil.replace("</saml:Assertion>", &format!("{unsigned}</saml:Assertion>"));
    assert!(matches!(check(&moved), Err(Invalid::Shape(_))));
    // Both below another root.
    let response = format!("<r xmlns=\"urn:r\">{evil}{xml}</r>");
    assert!(matches!(check(&response), Err(Invalid::Element { .. })));
    // A second signature, a second reference, a second subject.
    assert!(matches!(
        check(&xml.replace(signature, &format!("{signature}{signature}"))),
        Err(Invalid::Shape(_))
    ));
    let reference = format!("</ds:Reference><ds:Reference URI=\"#{id}\"></ds:Reference>");
    assert!(matches!(check(&xml.replace("</ds:Reference>", &reference)), Err(Invalid::Shape(_))));
    assert!(matches!(check(&unsigned), Err(Invalid::Shape(_))), "none at all");
}

#[test]
fn other_algorithms_and_references_are_refused() {
    let xml = issued();
    for (from, to) in [
        (RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        (RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        (SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"),
        (ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        (EXCLUSIVE, "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
        ("URI=\"#", "URI=\"#x"),
        ("URI=\"#", "URI=\"\" X=\""),
    ] {
        assert!(matches!(check(&xml.replacen(from, to, 1)), Err(Invalid::Shape(_))), "{to}");
    }
}

#[test]
fn what_is_no_assertion_is_told_from_what_is_none_of_ours() {
    let xml = issued();
    for bad in ["", "<", "text", "<a></b>", &xml[..xml.len() - 1]] {
        assert_eq!(check(bad), Err(Invalid::Xml), "{bad}");
    }
    let split = xml.replace("jane@", "jane<!-- -->@");
    assert_eq!(check(&split), Err(Invalid::Xml));
    assert_eq!(check(&xml.replace("<saml:Issuer>", "<?x y?><saml:Issuer>")), Err(Invalid::Xml));
    assert_eq!(check(&format!("<!DOCTYPE a [<!ENTITY e \"x\">]>{xml}")), Err(Invalid::Xml));
    let first = "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:1.0:assertion\"></saml:Assertion>";
    let namespace = "urn:oasis:names:tc:SAML:1.0:assertion".to_owned();
    assert_eq!(check(first), Err(Invalid::Element { name: "Assertion".to_owned(), namespace }));
}

#[test]
fn it_holds_for_its_time_its_audience_and_its_recipient() {
    let xml = issued();
    assert_eq!(check_at(&xml, NOW - 1), Err(Invalid::Time));
    assert!(check_at(&xml, NOW + 59).is_ok());
    assert_eq!(check_at(&xml, NOW + 60), Err(Invalid::Time));
    let with = |change: fn(&mut Statement<'static>)| {
        let mut statement = statement();
        change(&mut statement);
        check(&ISSUER.issue(&statement, from_unix(NOW)).unwrap())
    };
    assert_eq!(with(|s| s.audience = "urn:other"), Err(Invalid::Audience("urn:other".to_owned())));
    assert!(matches!(with(|s| s.recipient = "https://elsewhere/"), Err(Invalid::Confirmation(_))));
}
