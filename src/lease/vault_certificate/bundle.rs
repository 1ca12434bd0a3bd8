//! What a certificate's secret holds: a private key and certificates, as PEM or as PKCS#12: pure.
//!
//! Which of the two it is shows at a glance, so the content type that the vault tells is not relied on.

use super::pem;
use base64::{Engine, engine::general_purpose::STANDARD};
use p12_keystore::Pkcs12Archive;
use zeroize::Zeroizing;

/// A key and certificates, in no order that could be relied on.
pub(super) struct Bundle {
    /// PKCS#8 in DER; `None` if the vault keeps it to itself.
    pub(super) key: Option<Zeroizing<Vec<u8>>>,
    /// X.509 in DER.
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Reads either. Errors say what is wrong and nothing of what it holds.
pub(super) fn read(value: &str) -> Result<Bundle, String> {
    if pem::is_pem(value) { of_pem(value) } else { of_pkcs12(value) }
}

fn of_pem(text: &str) -> Result<Bundle, String> {
    let mut bundle = Bundle { key: None, certificates: Vec::new() };
    for block in pem::read(text)? {
        match block.label {
            "CERTIFICATE" => bundle.certificates.push(block.content.to_vec()),
            "PRIVATE KEY" if bundle.key.is_some() => return Err("it holds two private keys".to_owned()),
            "PRIVATE KEY" => bundle.key = Some(block.content),
            // What Key Vault takes and gives is PKCS#8 (RFC 5958) without a password.
            label if label.ends_with("PRIVATE KEY") => {
                return Err(format!("its private key is {label:?} where PKCS#8, \"PRIVATE KEY\", is wanted"));
            }
            _ => {}
        }
    }
    Ok(bundle)
}

/// Key Vault gives PKCS#12 in base64 and with the empty password, whatever password it was imported with.
fn of_pkcs12(text: &str) -> Result<Bundle, String> {
    let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
    base64.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(base64.len())]);
    let length = STANDARD.decode_slice(&*base64, &mut der);
    der.truncate(length.map_err(|_| "it is neither PEM nor PKCS#12 in base64")?);
    // The library's own copy of the key is not overwritten when it is freed. Its reasons may quote what it read.
    let archive = Pkcs12Archive::from_pkcs12(&der, "")
        .map_err(|_| "its PKCS#12 cannot be read with the empty password, which is how Key Vault gives it")?;
    if archive.keys.len() > 1 {
        return Err("it holds two private keys".to_owned());
    }
    Ok(Bundle {
        key: archive.keys.first().map(|bag| Zeroizing::new(bag.key.as_der().to_vec())),
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
    })
}
