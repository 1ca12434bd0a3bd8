use super::*;
use crate::{clock::from_unix, identity::claims};
use base64::engine::general_purpose::STANDARD;
use ring::signature::{self, KeyPair as _, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;

// Made for this test and known to the world: they open nothing. ring makes no RSA keys itself.
const RSA: &str = include_str!("test_rsa.base64");
const RSA_SHORT: &str = include_str!("test_rsa_short.base64");

const ENDPOINT: &str = "https://sts.example/token";

fn pem(label: &str, body: &str) -> Secret {
    Secret::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.trim_end()))
}

fn rsa() -> Secret {
    pem("PRIVATE KEY", RSA)
}

/// The PKCS#1 key inside of the PKCS#8 one, behind its header.
fn pkcs1() -> Secret {
    let der = STANDARD.decode(RSA.replace('\n', "")).unwrap();
    pem("RSA PRIVATE KEY", &STANDARD.encode(&der[26..]))
}

fn p256() -> (Secret, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    (Secret::new(key.serialize_pem()), key.public_key_raw().to_vec())
}

fn rsa_public() -> Vec<u8> {
    let der = STANDARD.decode(RSA.replace('\n', "")).unwrap();
    RsaKeyPair::from_pkcs8(&der).unwrap().public_key().as_ref().to_vec()
}

/// Header and claims of an assertion whose signature is right.
fn verified(
    assertion: &Secret,
    public: &[u8],
    algorithm: &'static dyn VerificationAlgorithm,
) -> (Value, Value) {
    let (message, signature) = assertion.expose().rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(algorithm, public).verify(message.as_bytes(), &signature).expect("its signature");
    let (header, payload) = message.split_once('.').unwrap();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(payload))
}

#[test]
fn an_assertion_says_who_and_for_whom_and_is_short_lived() {
    let now = from_unix(1_795_478_400);
    let (ec, ec_public) = p256();
    let rsa_public = rsa_public();
    let keys: [(Secret, &[u8], &'static dyn VerificationAlgorithm, &str); 3] = [
        (rsa(), &rsa_public, &signature::RSA_PKCS1_2048_8192_SHA256, "RS256"),
        (pkcs1(), &rsa_public, &signature::RSA_PKCS1_2048_8192_SHA256, "RS256"),
        (ec, &ec_public, &signature::ECDSA_P256_SHA256_FIXED, "ES256"),
    ];
    for (pem, public, algorithm, name) in keys {
        let assertion = sign(&pem, "agent", ENDPOINT, now).unwrap();
        let (header, mut payload) = verified(&assertion, public, algorithm);
        assert_eq!(header, serde_json::json!({"alg": name, "typ": "JWT"}));
        let id = payload.as_object_mut().unwrap().remove("jti").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(id.as_str().unwrap()).unwrap().len(), 16);
        assert_eq!(
            payload,
            serde_json::json!({
                "iss": "agent", "sub": "agent", "aud": ENDPOINT,
                "iat": 1_795_478_400, "nbf": 1_795_478_370, "exp": 1_795_478_520,
            })
        );
        assert!(claims::parse(assertion.expose()).is_ok());
    }
}

#[test]
fn no_assertion_comes_twice() {
    let (pem, _) = p256();
    let now = from_unix(1_795_478_400);
    let [one, two] = [(); 2].map(|()| sign(&pem, "agent", ENDPOINT, now).unwrap());
    let message = |assertion: &Secret| assertion.expose().rsplit_once('.').unwrap().0.to_owned();
    assert!(message(&one) != message(&two), "the jti differs, not only the signature");
}

#[test]
fn names_that_json_has_to_escape_stay_names() {
    let (pem, public) = p256();
    let name = "a\"b\\c\u{7}ü";
    let assertion = sign(&pem, name, ENDPOINT, from_unix(1)).unwrap();
    let (_, payload) = verified(&assertion, &public, &signature::ECDSA_P256_SHA256_FIXED);
    assert_eq!((payload["iss"].as_str(), payload["nbf"].as_u64()), (Some(name), Some(0)));
}

#[test]
fn a_key_that_cannot_be_used_is_not_shown() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
    let garbled = RSA.replacen("MII", "AAA", 1);
    for (pem, why) in [
        (Secret::new("secret".to_owned()), "there is no unencrypted private key in key_file"),
        (pem("ENCRYPTED PRIVATE KEY", RSA), "there is no unencrypted private key in key_file"),
        (pem("EC PRIVATE KEY", RSA), "it is not PKCS#8"),
        (pem("PRIVATE KEY", RSA_SHORT), "TooSmall"),
        (Secret::new(p384), "WrongAlgorithm"),
        (pem("PRIVATE KEY", &garbled), "InvalidEncoding"),
    ] {
        let error = sign(&pem, "agent", ENDPOINT, from_unix(1)).err().unwrap();
        assert_eq!((error.class, error.why.as_deref()), (Class::Config, Some(why)));
        assert!(error.fix.is_some() && !error.to_string().contains("secret"));
    }
}
