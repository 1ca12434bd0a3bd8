//! On-behalf-of: an API turns the token that a person's client sent it into one for the API behind it.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow>. The API is the application of
//! this directory itself, which exposes `api://{client_id}/access_as_user`.

use super::{
    client::{Credential, known, persons_tenant},
    errors::Refusal,
    issue::{Proof, Session},
    scope::{self, is_own},
    token::{Call, Granted},
};
use crate::{
    clock,
    emulator::{
        jwt::{self, Invalid},
        world::World,
    },
};
use serde_json::Value;
use std::time::SystemTime;

pub(super) async fn grant(call: &Call<'_>) -> Result<Granted, Refusal> {
    let (entra, form) = (call.entra, call.form);
    let world = &entra.world;
    persons_tenant(world, call.tenant)?;
    known(world, call.tenant, form)?;
    let credential = Credential::of(form).ok_or_else(Refusal::no_client_credential)?;
    if form.need("requested_token_use")? != "on_behalf_of" {
        return Err(Refusal::malformed_request());
    }
    let assertion = form.need("assertion")?;
    let scope = scope::for_user(world, form.need("scope")?)?;
    credential.check(world, &entra.trust, call.now).await?;

    let claims = jwt::verify(assertion, entra.keys.jwks()).map_err(unsigned)?.claims;
    check(world, &claims, call.now)?;
    Ok(Granted::User(Session { scope, nonce: None, proof: Proof::Assertion }))
}

fn unsigned(invalid: Invalid) -> Refusal {
    match invalid {
        Invalid::Malformed => Refusal::malformed(),
        Invalid::UnknownKey => Refusal::obo_signature("The key was not found."),
        Invalid::Algorithm | Invalid::Signature => {
            Refusal::obo_signature("Key was found, but use of the key to verify the signature failed.")
        }
    }
}

/// Checks the claims of a token that we signed: still good, an access token, for this application, a person's.
fn check(world: &World, claims: &Value, now: SystemTime) -> Result<(), Refusal> {
    let until = clock::from_unix(claims["exp"].as_u64().unwrap_or(0));
    if until <= now {
        return Err(Refusal::obo_time(now, until));
    }
    // Of what we sign only id tokens have version 2.0.
    if claims["ver"] == "2.0" {
        return Err(Refusal::obo_of_id_token());
    }
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !is_own(world, audience) {
        return Err(Refusal::obo_audience(audience, &world.client_id));
    }
    if claims["idtyp"] != "user" {
        return Err(Refusal::obo_of_application(&world.client_id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_persons_token_for_this_application_serves() {
        let world = World::default();
        let own = format!("api://{}", world.client_id);
        let verdict = |edit: fn(&mut Value)| {
            let mut claims = json!({"aud": own, "exp": 100, "ver": "1.0", "idtyp": "user"});
            edit(&mut claims);
            check(&world, &claims, clock::from_unix(99)).err().map(|refusal| refusal.code)
        };
        assert_eq!(verdict(|_| ()), None);
        assert_eq!(verdict(|claims| claims["exp"] = json!(99)), Some(500_133));
        assert_eq!(verdict(|claims| claims["exp"] = Value::Null), Some(500_133));
        assert_eq!(verdict(|claims| claims["ver"] = json!("2.0")), Some(240_002));
        assert_eq!(verdict(|claims| claims["aud"] = json!("https://management.azure.com")), Some(500_131));
        assert_eq!(verdict(|claims| claims["idtyp"] = json!("app")), Some(7_000_114));
    }

    #[test]
    fn a_bad_signature_has_its_reason() {
        assert_eq!(unsigned(Invalid::Malformed).code, 50_027);
        assert!(unsigned(Invalid::UnknownKey).text.ends_with("[Reason - The key was not found.]"));
        assert_eq!(unsigned(Invalid::Algorithm).code, 50_013);
        assert_eq!(unsigned(Invalid::Signature).code, 50_013);
    }
}
