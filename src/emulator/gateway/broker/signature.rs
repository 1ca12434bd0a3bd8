//! The signatures of client assertions (RFC 7515), by public keys in PEM.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};

/// Whether `token`, a compact JWS whose header names `algorithm`, was signed with the private half of `public_key`, the
/// PEM of a `SubjectPublicKeyInfo`. ring refuses a key that is of another kind than the algorithm.
pub(super) fn holds(token: &str, algorithm: &str, public_key: &str) -> bool {
    let algorithm: &dyn VerificationAlgorithm = match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "ES256" => &ECDSA_P256_SHA256_FIXED,
        _ => return false,
    };
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let Ok(der) = SubjectPublicKeyInfoDer::from_pem_slice(public_key.as_bytes()) else { return false };
    let Ok((_, key)) = SubjectPublicKeyInfo::from_der(&der) else { return false };
    let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
    key.verify(signed.as_bytes(), &signature).is_ok()
}
