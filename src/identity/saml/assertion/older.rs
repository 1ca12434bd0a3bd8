//! What an assertion of SAML 1.1 says (SAML 1.1 Core, 2.3 and 2.4), as AD FS issues them by WS-Trust.

use super::{NOT_A_BEARERS, audiences, end, one, text, times};
use crate::identity::claims::Claims;
use roxmltree::Node;
use std::time::SystemTime;

/// The namespace of 1.0 and of 1.1.
pub(super) const SAML: &str = "urn:oasis:names:tc:SAML:1.0:assertion";

const BEARER: &str = "urn:oasis:names:tc:SAML:1.0:cm:bearer";
const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";

/// What it says, and from when on it is good. Each statement has a subject of its own, which is the same in all.
pub(super) fn read(assertion: Node<'_, '_>) -> Result<(Claims, Option<SystemTime>), String> {
    if (assertion.attribute("MajorVersion"), assertion.attribute("MinorVersion")) != (Some("1"), Some("1")) {
        return Err("its version is not 1.1".to_owned());
    }
    let issuer = assertion.attribute("Issuer").unwrap_or_default();
    if issuer.is_empty() || issuer.chars().any(char::is_control) {
        return Err("its Issuer is empty, or holds control characters".to_owned());
    }
    let statements = assertion.children().filter(|child| child.tag_name().name().ends_with("Statement"));
    let subjects = statements.map(|statement| subject(one(statement, "Subject")?));
    let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
    let (sub, is_email) = match &subjects[..] {
        [] => return Err("it has no statement".to_owned()),
        [first, others @ ..] if others.iter().all(|other| other == first) => first.clone(),
        _ => return Err("it has more than one subject".to_owned()),
    };
    let conditions = one(assertion, "Conditions")?;
    let limits = [Some(conditions)];
    let claims = Claims {
        iss: issuer.to_owned(),
        user: is_email.then(|| sub.clone()),
        sub,
        aud: audiences(conditions, "AudienceRestrictionCondition")?,
        exp: end(&limits)?,
        workspace: None,
    };
    Ok((claims, times(&limits, "NotBefore")?.into_iter().max()))
}

/// The name, and whether it is a person's address.
fn subject(subject: Node<'_, '_>) -> Result<(String, bool), String> {
    let confirmation = one(subject, "SubjectConfirmation")?;
    let mut methods =
        confirmation.children().filter(|child| child.has_tag_name((SAML, "ConfirmationMethod")));
    if !methods.any(|method| text(method).is_ok_and(|method| method == BEARER)) {
        return Err(NOT_A_BEARERS.to_owned());
    }
    let name = one(subject, "NameIdentifier")?;
    Ok((text(name)?, name.attribute("Format") == Some(EMAIL)))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::clock;

    fn assertion() -> String {
        let subject = "<Subject><NameIdentifier Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\">\
             jane@acme.example</NameIdentifier><SubjectConfirmation><ConfirmationMethod>\
             urn:oasis:names:tc:SAML:1.0:cm:bearer</ConfirmationMethod></SubjectConfirmation></Subject>";
        format!(
            "<Assertion xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\" MajorVersion=\"1\" MinorVersion=\"1\" \
             AssertionID=\"_1\" Issuer=\"http://adfs.acme.example/adfs/services/trust\">\
             <Conditions NotBefore=\"2026-11-24T13:00:00Z\" NotOnOrAfter=\"2026-11-24T14:00:00Z\">\
             <AudienceRestrictionCondition><Audience>urn:federation:MicrosoftOnline</Audience>\
             </AudienceRestrictionCondition></Conditions>\
             <AttributeStatement>{subject}</AttributeStatement><AuthenticationStatement>{subject}</AuthenticationStatement>\
             <Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"/></Assertion>"
        )
    }

    #[test]
    fn what_it_says() {
        let read = parse(&assertion()).unwrap();
        assert_eq!(read.claims.iss, "http://adfs.acme.example/adfs/services/trust");
        assert_eq!((read.claims.sub.as_str(), read.claims.user.is_some()), ("jane@acme.example", true));
        assert_eq!(read.claims.aud, ["urn:federation:MicrosoftOnline"]);
        assert_eq!(clock::rfc3339(read.claims.exp), "2026-11-24T14:00:00Z");
    }

    #[test]
    fn what_is_refused() {
        let good = assertion();
        for (from, to, why) in [
            ("MinorVersion=\"1\"", "MinorVersion=\"0\"", "its version is not 1.1"),
            ("Issuer=\"http://adfs.acme.example/adfs/services/trust\"", "Issuer=\"\"", "its Issuer is empty"),
            ("cm:bearer", "cm:holder-of-key", "its subject is not confirmed to a bearer"),
            ("AudienceRestrictionCondition", "X", "it is for no audience"),
            ("Signature", "X", "it is not signed itself"),
            ("AttributeStatement", "X", ""),
        ] {
            let said = parse(&good.replace(from, to)).err().unwrap_or_default();
            assert!(said.starts_with(why), "{said}, wanted {why}");
        }
        let other = good.replacen("jane@", "john@", 1);
        assert_eq!(parse(&other).err().as_deref(), Some("it has more than one subject"));
    }
}
