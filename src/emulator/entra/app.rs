//! `client_credentials`: a token for the application itself.
//!
//! The order of the checks is known in part: a missing credential is complained about even for tenants that do not
//! exist, and of a federated credential the issuer comes first. The subject stands before the audience because issuer
//! and subject together name one credential, which then has its audience.

use super::{
    client::{Credential, known},
    errors::Refusal,
    scope,
    token::{Call, Granted},
};

pub(super) async fn grant(call: &Call<'_>) -> Result<Granted, Refusal> {
    let (world, form) = (&call.entra.world, call.form);
    let credential = Credential::of(form).ok_or_else(Refusal::no_credential)?;
    if !call.tenant.eq_ignore_ascii_case(&world.tenant_id) {
        return Err(Refusal::tenant(call.tenant));
    }
    known(world, call.tenant, form)?;
    let resource = scope::for_app(world, form.need("scope")?)?;
    let subject = credential.check(world, &call.entra.trust, call.now).await?;
    Ok(Granted::App { resource, subject })
}
