use super::*;
use crate::identity::testing::{broken, not_here};
use base64::{Engine as _, engine::general_purpose};

/// A signed assertion, as far as anybody can see who does not verify it.
fn assertion() -> String {
    r#"<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0" IssueInstant="2026-11-24T13:00:00Z">
  <saml:Issuer>https://adfs.acme.example/adfs/services/trust</saml:Issuer>
  <ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignatureValue>c2lnbmVk</ds:SignatureValue></ds:Signature>
  <saml:Subject>
    <saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">jane@acme.example</saml:NameID>
    <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
      <saml:SubjectConfirmationData NotOnOrAfter="2026-11-24T13:50:00Z" Recipient="https://sts.example/token"/>
    </saml:SubjectConfirmation>
  </saml:Subject>
  <saml:Conditions NotBefore="2026-11-24T13:00:00Z" NotOnOrAfter="2026-11-24T14:00:00.000Z">
    <saml:AudienceRestriction><saml:Audience>https://sts.example</saml:Audience><saml:Audience>urn:b</saml:Audience></saml:AudienceRestriction>
  </saml:Conditions>
</saml:Assertion>"#
        .to_owned()
}

fn response(inside: &str, attributes: &str) -> String {
    format!(
        r#"<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" {attributes}>{inside}</p:Response>"#
    )
}

fn wrong(text: &str) -> String {
    parse(text).err().expect("it was taken")
}

#[test]
fn what_it_says() {
    let text = assertion();
    let read = parse(&text).unwrap();
    assert_eq!(read.claims.iss, "https://adfs.acme.example/adfs/services/trust");
    assert_eq!(
        (read.claims.sub.as_str(), read.claims.user.as_deref()),
        ("jane@acme.example", Some("jane@acme.example"))
    );
    assert_eq!(read.claims.aud, ["https://sts.example", "urn:b"]);
    assert_eq!(clock::rfc3339(read.claims.exp), "2026-11-24T13:50:00Z", "the earlier end counts");
    assert_eq!(read.not_before.map(clock::rfc3339).as_deref(), Some("2026-11-24T13:00:00Z"));
    assert_eq!(read.xml.expose(), text);
}

#[test]
fn however_it_is_wrapped_it_is_the_text_that_was_signed() {
    let text = assertion();
    let lines = general_purpose::STANDARD.encode(&text);
    let lines: Vec<_> = lines.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for wrapped in [
        format!("\u{feff}<?xml version=\"1.0\"?>\n{text}\n"),
        lines.join("\r\n"),
        general_purpose::URL_SAFE_NO_PAD.encode(&text),
        response(&text, ""),
        general_purpose::STANDARD.encode(response(&format!("<a/>{text}"), "")),
    ] {
        assert_eq!(parse(&wrapped).unwrap().xml.expose(), text, "{wrapped}");
    }
}

#[test]
fn a_response_that_cannot_be_parted_from_it() {
    let text = assertion();
    let bare = text.replace(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "");
    let declared = "xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"";
    assert_eq!(wrong(&response(&bare, declared)), "it is in a response, and cannot stand without it");
    // The prefix is there in both, and means something else.
    let inner = text.replace("<saml:Issuer>", "<x/><saml:Issuer>");
    assert_eq!(
        wrong(&response(&inner, "xmlns=\"urn:other\"")),
        "it is in a response, and cannot stand without it"
    );
    for inside in [String::new(), format!("{text}{text}"), format!("<a>{text}</a>")] {
        assert_eq!(wrong(&response(&inside, "")), "it is a response without exactly one assertion in it");
    }
}

#[test]
fn what_is_refused() {
    let good = assertion();
    let without = |from: &str, to: &str| {
        let (before, rest) = good.split_once(from).unwrap();
        format!("{before}{}", rest.split_once(to).unwrap().1)
    };
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let no_end = with(" NotOnOrAfter=\"2026-11-24T14:00:00.000Z\"", "")
        .replace(" NotOnOrAfter=\"2026-11-24T13:50:00Z\"", "");
    for (text, why) in [
        ("not XML at all".to_owned(), "it is neither XML nor base64"),
        (general_purpose::STANDARD.encode("hello"), "its base64 holds no XML"),
        (format!("<!DOCTYPE a [<!ENTITY e \"x\">]>{good}"), "it has a DTD, which no assertion needs"),
        (format!("<a>{}</a>", "<b/>".repeat(20_000)), "it has more elements than any assertion"),
        (good.replace("</saml:Assertion>", ""), "it is not well-formed XML, at line"),
        (format!("{good}{good}"), "it is not well-formed XML, at line"),
        (good.replace("SAML:2.0:assertion", "SAML:1.0:assertion"), "its version is not 1.1"),
        (
            format!("<s:EncryptedAssertion xmlns:s=\"{}\"/>", "urn:oasis:names:tc:SAML:2.0:assertion"),
            "it is encrypted",
        ),
        ("<html/>".to_owned(), "its root is not an Assertion"),
        (with("Version=\"2.0\"", "Version=\"2.1\""), "its Version is not 2.0"),
        (without("<ds:Signature ", "</ds:Signature>"), "it is not signed itself"),
        (without("<saml:Issuer>", "</saml:Issuer>"), "it has no Issuer"),
        (
            with("<saml:Conditions", "<saml:Issuer>x</saml:Issuer><saml:Conditions"),
            "it has more than one Issuer",
        ),
        (with("jane@", "jane@<!-- -->"), "its NameID holds more than a text"),
        (with("jane@", "jane&#10;@"), "its NameID is empty, or holds control characters"),
        (with("<saml:NameID", "<saml:EncryptedID/><saml:NameID"), "its subject is encrypted"),
        (with("cm:bearer", "cm:holder-of-key"), "its subject is not confirmed to a bearer"),
        (without("<saml:AudienceRestriction>", "</saml:AudienceRestriction>"), "it is for no audience"),
        (with("2026-11-24T13:50:00Z", "tomorrow"), "its NotOnOrAfter is not a time"),
        (no_end, "nothing in it says when it expires"),
    ] {
        let said = wrong(&text);
        assert!(said.starts_with(why), "{said}, wanted {why}");
    }
}

#[test]
fn the_person_whom_an_attribute_names() {
    let format = " Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\"";
    let nobody = assertion().replace(format, "");
    assert_eq!(parse(&nobody).unwrap().claims.user, None);
    let statement = "</saml:Conditions><saml:AttributeStatement><saml:Attribute \
        Name=\"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn\"><saml:AttributeValue>jane@acme.example\
        </saml:AttributeValue></saml:Attribute></saml:AttributeStatement>";
    let user = parse(&nobody.replace("</saml:Conditions>", statement)).unwrap().claims.user;
    assert_eq!(user.as_deref(), Some("jane@acme.example"));
}

#[test]
fn only_what_all_restrictions_allow() {
    let more = "<saml:AudienceRestriction><saml:Audience>urn:b</saml:Audience></saml:AudienceRestriction></saml:Conditions>";
    assert_eq!(parse(&assertion().replace("</saml:Conditions>", more)).unwrap().claims.aud, ["urn:b"]);
}

#[test]
fn when_and_for_whom() {
    let read = parse(&assertion()).unwrap();
    let at = |time: &str, audience| check(&read, audience, clock::parse_rfc3339(time).unwrap());
    assert!(at("2026-11-24T13:49:59Z", None).is_ok());
    assert!(at("2026-11-24T12:56:00Z", Some("urn:b")).is_ok(), "clocks differ a little");
    for (time, audience, what) in [
        ("2026-11-24T13:50:00Z", None, "the SAML assertion has expired"),
        ("2026-11-24T12:54:00Z", None, "the SAML assertion is not good yet"),
        ("2026-11-24T13:10:00Z", Some("urn:c"), "the SAML assertion is for another audience"),
    ] {
        assert_eq!(at(time, audience).unwrap_err().what, what);
    }
}

#[tokio::test]
async fn from_a_file_or_a_command() {
    let want = Want { audience: "a", scope: None };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("assertion");
    let later = assertion().replace("2026-11-24T13:50", "2999-11-24T13:50").replace("T14:00", "T23:59");
    let later =
        later.replace("2026-11-24T23:59", "2999-11-24T23:59").replace("NotBefore=\"2026", "NotBefore=\"1999");
    std::fs::write(&path, &later).unwrap();
    let cat = ["cat", path.to_str().unwrap()].map(str::to_owned).to_vec();
    for source in [(Some(path.clone()), None), (None, Some(cat))] {
        let source =
            Saml { file: source.0, argv: source.1, audience: None, deadline: Duration::from_mins(1) };
        let (subject, proof) = source.prove(&want).await.map_err(|_| "no assertion").unwrap();
        assert_eq!((subject.source, subject.actor), ("saml", Actor::User));
        assert!(matches!(proof, Proof::Saml(xml) if xml.expose() == later));
    }
    let on =
        |file: Option<PathBuf>| Saml { file, argv: None, audience: None, deadline: Duration::from_mins(1) };
    assert_eq!(not_here(on(None).prove(&want).await), "identity.assertion_file is not set");
    std::fs::write(&path, "secret words").unwrap();
    let error = broken(on(Some(path.clone())).prove(&want).await);
    assert!(
        error.what.ends_with("is not a SAML assertion") && !error.to_string().contains("words"),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(broken(on(Some(path)).prove(&want).await).what.ends_with("does not exist"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text in "[<>/=\"a-zA-Z&;:!\\[\\] ]{0,200}", place in 0_usize..1200, put in "\\PC{0,9}") {
        let _ = parse(&text);
        let mut assertion = assertion();
        let place = (place..assertion.len()).find(|at| assertion.is_char_boundary(*at)).unwrap_or(0);
        assertion.insert_str(place, &put);
        let _ = parse(&assertion);
    }
}
