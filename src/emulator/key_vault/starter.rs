//! What is in the vault from the start: one secret and one client certificate, new at each start.

use super::{
    body::Changes,
    certificate::{Material, PEM},
    certificates::secret,
    store::{SecretValue, Vault},
};
use crate::{
    emulator::world::World,
    error::{Class, Error, Result},
    secret::Secret,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::time::{Duration, SystemTime};

/// Long enough for any emulator, short enough for clients that frown on long lives.
const LIFE: Duration = Duration::from_hours(90 * 24);

/// A vault with `world.secret_name` and `world.certificate_name` in it.
pub(in crate::emulator) fn stock(world: &World, now: SystemTime) -> Result<Vault> {
    let failed = |why: String| Error::new(Class::Internal, "Cannot fill the emulated vault").why(why);
    let vault = Vault::new();
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| failed(error.to_string()))?;
    let value = SecretValue {
        value: Secret::new(URL_SAFE_NO_PAD.encode(random)),
        content_type: Some("text/plain".to_owned()),
        managed: false,
        pem: None,
    };
    let material = client_certificate(&world.certificate_name, now)?;
    let certificate = material.certificate(PEM, "Unknown");
    let key = secret(&material, &world.certificate_name, PEM)?;
    let mut inner = vault.lock();
    inner
        .set_secret(&world.secret_name, value, Changes::default(), now)
        .and_then(|()| inner.import(&world.certificate_name, certificate, key, Changes::default(), now))
        .map_err(|refused| failed(refused.message))?;
    drop(inner);
    Ok(vault)
}

/// A P-256 key with a certificate for client authentication and the authority that signed it, whose key is dropped.
///
/// The authority is not the one of the servers: what a gateway trusts for clients should not be what clients trust.
fn client_certificate(name: &str, now: SystemTime) -> Result<Material> {
    let failed = |error: rcgen::Error| {
        Error::new(Class::Internal, "Cannot make the emulated vault's certificate").why(error.to_string())
    };
    let mut authority = named("apim-agent emulator client CA", now);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(failed)?).map_err(failed)?;
    let mut leaf = named(name, now);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(failed)?;
    let leaf = leaf.signed_by(&key, &authority).map_err(failed)?;
    let pem = Secret::new(key.serialize_pem() + &leaf.pem() + &authority.pem());
    Material::from_pem(pem.expose()).map_err(|refused| {
        Error::new(Class::Internal, "Cannot read the emulated vault's own certificate").why(refused.message)
    })
}

fn named(name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + LIFE).into();
    params
}
