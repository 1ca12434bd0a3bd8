//! `saml2-bearer` (RFC 7522): a SAML 2.0 assertion of the federated AD FS becomes a person's token.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-saml-bearer-assertion>. Entra knows no issuers but the AD FS
//! that its domain is federated with: assertions of all others are refused, those that it wrote itself included.

use super::{
    client::{any_client, known, persons_tenant},
    errors::Refusal,
    issue::Session,
    scope,
    token::{Call, Granted},
};
use crate::emulator::{
    saml::{self, Assertion, Expected, Invalid, UPN},
    world::World,
};
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Entra's name at its federation partners: the audience of their assertions.
pub(in crate::emulator) const AUDIENCE: &str = "urn:federation:MicrosoftOnline";

/// Where those assertions are delivered.
pub(in crate::emulator) const RECIPIENT: &str = "https://login.microsoftonline.com/login.srf";

/// Padding should be left out (RFC 7522, 2.1), and may be there.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) async fn grant(call: &Call<'_>) -> Result<Granted, Refusal> {
    let (entra, form) = (call.entra, call.form);
    let world = &entra.world;
    persons_tenant(world, call.tenant)?;
    known(world, call.tenant, form)?;
    let assertion = form.need("assertion")?;
    let scope = scope::for_user(world, form.need("scope")?)?;
    let proof = any_client(call).await?;
    let xml = BASE64URL.decode(assertion).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let xml = xml.ok_or_else(|| Refusal::saml_unreadable("It is not base64url of a text."))?;
    let token_endpoint = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", world.tenant_id);
    let expected = Expected { audiences: &[AUDIENCE], recipients: &[RECIPIENT, &token_endpoint] };
    let assertion = saml::verify(&xml, &entra.federations, &expected, call.now).map_err(refusal)?;
    person(world, &assertion)?;
    Ok(Granted::User(Session { scope, nonce: None, proof }))
}

/// Checks that the assertion is about the one person of the directory.
fn person(world: &World, assertion: &Assertion) -> Result<(), Refusal> {
    let upn = assertion.attribute(UPN).unwrap_or(&assertion.name_id);
    if upn.eq_ignore_ascii_case(&world.sign_in.user.upn) {
        Ok(())
    } else {
        Err(Refusal::saml_user(upn, &world.tenant_id))
    }
}

/// Entra's words for what is wrong with an assertion.
fn refusal(invalid: Invalid) -> Refusal {
    match invalid {
        Invalid::Xml => {
            Refusal::saml_unreadable("It is not well-formed XML, or has parts that assertions have not.")
        }
        Invalid::Element { name, namespace } => Refusal::saml_unreadable(&format!(
            "Cannot read SecurityToken. Expected element is (Assertion, {}) the actual element is ({name}, {namespace}).",
            saml::ASSERTION
        )),
        Invalid::Shape(why) => Refusal::saml_unreadable(why),
        Invalid::Issuer(issuer) => Refusal::saml_realm(&issuer),
        Invalid::UnknownKey => Refusal::saml_key(),
        Invalid::Signature => Refusal::saml_signature(),
        Invalid::Time => Refusal::saml_condition("the assertion is not within its valid time range."),
        Invalid::Audience(audience) => Refusal::saml_condition(&format!(
            "the audience '{audience}' does not match the expected '{AUDIENCE}'."
        )),
        Invalid::Confirmation(why) => Refusal::saml_condition(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flaw_has_its_code() {
        let element = Invalid::Element { name: "Response".to_owned(), namespace: "urn:x".to_owned() };
        for (invalid, error, code) in [
            (Invalid::Xml, "invalid_request", 50_008),
            (element, "invalid_request", 50_008),
            (Invalid::Shape("x"), "invalid_request", 50_008),
            (Invalid::Issuer("https://sts.windows.net/t/".to_owned()), "invalid_request", 50_107),
            (Invalid::UnknownKey, "invalid_grant", 500_081),
            (Invalid::Signature, "invalid_grant", 50_006),
            (Invalid::Time, "invalid_grant", 500_089),
            (Invalid::Audience("x".to_owned()), "invalid_grant", 500_089),
            (Invalid::Confirmation("x"), "invalid_grant", 500_089),
        ] {
            let refusal = refusal(invalid);
            assert_eq!((refusal.status, refusal.error, refusal.code), (400, error, code));
        }
    }
}
