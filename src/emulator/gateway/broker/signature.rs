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

#[cfg(test)]
mod tests {
    use super::*;

    /// An RSA key of openssl's, and its signatures of "header.payload" by `openssl dgst -sha256 -sign`, the second with
    /// `-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32`.
    const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1ZkMNgnZgRjbBcKGR/YF
Fzx/INQVnGGrcmTYfqXHnN9S2gj6IhIV7LgthLGZS3g/OlG2qvksQGNaBbrzSGVa
XX8KG3Ls5u+WacbtzStuSrcn+N4rY3whIi/IGBG3NahzDWpjl46V1VItSqt5rJsw
A4XEJmUgTQgeoR+9a/itJH8YGVX1HSs6b5iUC1BArpEEKIOE6uEhfF9l4TvJ5G+E
5IcJ089op2SvQesiF3Af3DZx78irfk0m9ySyMHkRTOvw+Kxck+S01c4WGQRQD0dW
4wq9Y7x127i2Nt7YjrjhtJs780JS6y7jisqh61FYjhKqfMBBAjO1/bCrQRaTBU+e
/QIDAQAB
-----END PUBLIC KEY-----
";
    const RS256: &str = "J1Rpu6W3bPPqxPvVJ1RDFyhntsNRaWFjyNoIYfDR31BdOA9JdQD3YTf52ojqFxM7ql-9hXLXZAnspiDxCZ7YFFZ9Pjt2HRtu\
        Mq2GM3ta9-Lw3Y9JONzPDpmAhQMmh5Lb1OqqRdG4lqtCdVDf-STnAEcXJrSrb-HMAU-HkaYUOejF8xykcFSoFqEwetv2RVcgDLB35aTZ8uWzwy-A\
        3p3r1MtUr6NEswqQL0CYMHcPUL40qwEtoWh3coWRfFDJrDZYYzMWdyLJFOmJdfwK3V2Vk8OFN3kzLyMTgjXLunG0g71eYhtw0oW8enBq7V4eEFGC\
        9UVjDtzHlMM9IL3W6FDfug";
    const PS256: &str = "QYs58zxnq4-Rh11PnTdnvXtKQGBFKdIjPIMq_VYl3JTkAxfqbcpkpg93iVxjmJLx_URaA7GNig3NW7vuqbVbY0SJrsP7Fdlq\
        hhvpu7oIGvCREDbLVjjISoJ1pbWNa5_UANX3Zi-zUpLYYDfL1IqzwugOhnSHalx7Ruc8wfaO9OGjZid4_4TlSYQHNE42AN-qiAwx5Oouz0QjqoUX\
        uhdHHJ1G958HjGlObiauMqN4cvYICh4xsbNTqkUGfTH-w8MjRcshHgKKZB56nWcaMUAH2UZOJxcDbkM5oQ6YY9vto1HcWr0Jhr_MfeIgvmR3GwED\
        _j-t7kQD0VD5e6tzLGtixw";

    #[test]
    fn signatures_hold_for_their_text_algorithm_and_key_only() {
        let token = |signature: &str| format!("header.payload.{signature}");
        assert!(holds(&token(RS256), "RS256", RSA));
        assert!(holds(&token(PS256), "PS256", RSA));
        let other = rcgen::KeyPair::generate().unwrap().public_key_pem();
        for (token, algorithm, key) in [
            (token(PS256), "RS256", RSA),
            (token(RS256), "ES256", RSA),
            (token(RS256), "none", RSA),
            (token(""), "none", RSA),
            (token(RS256).replace("payload", "payloae"), "RS256", RSA),
            (token(RS256), "RS256", other.as_str()),
            (token(RS256), "RS256", "no PEM"),
            (token("!"), "RS256", RSA),
            ("header".to_owned(), "RS256", RSA),
        ] {
            assert!(!holds(&token, algorithm, key), "{algorithm} {token}");
        }
    }
}
