//! Real certificates, made here or by OpenSSL, and the kind against a vault on loopback.

mod gateway;

use super::{
    super::vault::testing::{FakeVault, NEXT, VERSION},
    bundle::Bundle,
    identity::Identity,
    *,
};
use crate::{clock::from_unix, secret::Secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use gateway::Gateway;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose as Extended, IsCa,
    KeyPair, KeyUsagePurpose as Usage, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use serde_json::json;
use zeroize::Zeroizing;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Good from 2020 to 2090 unless `edit` says otherwise.
fn params(name: &str, edit: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    edit(&mut params);
    params
}

fn is_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// A root, an intermediate that it signed, and one of the same name as the root that did not sign anything.
struct Ca {
    root: Issuer,
    intermediate: Issuer,
    double: Issuer,
}

impl Ca {
    fn new() -> Self {
        let alone = || CertifiedIssuer::self_signed(params("root", is_ca), key()).expect("a root");
        let root = alone();
        let intermediate = CertifiedIssuer::signed_by(params("between", is_ca), key(), &root);
        Self { intermediate: intermediate.expect("an intermediate"), root, double: alone() }
    }

    fn leaf(&self, key: &KeyPair, edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let certificate = params("leaf", edit).signed_by(key, &self.intermediate).expect("a leaf");
        certificate.der().to_vec()
    }

    fn certificates(&self, leaf: &[u8]) -> [Vec<u8>; 4] {
        let ders = [&self.root, &self.intermediate, &self.double].map(|issuer| issuer.der().to_vec());
        let [root, intermediate, double] = ders;
        [leaf.to_vec(), intermediate, root, double]
    }
}

fn bundle(key: &KeyPair, certificates: &[Vec<u8>]) -> Bundle {
    Bundle { key: Some(Zeroizing::new(key.serialize_der())), certificates: certificates.to_vec() }
}

fn assembled(bundle: &Bundle, public: Option<&[u8]>) -> Result<Identity> {
    identity::assemble("the certificate partner", bundle, public, clock::now())
}

fn fails(bundle: &Bundle) -> Error {
    let error = assembled(bundle, None).map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("partner") && error.fix.is_some(), "{error}");
    error
}

/// The certificates of a PEM text, in DER.
fn ders(chain: &Secret) -> Vec<Vec<u8>> {
    pem::read(chain.expose()).expect("PEM").iter().map(|block| block.content.to_vec()).collect()
}

#[test]
fn whatever_order_the_vault_has_the_chain_has_its_own() {
    let (ca, key) = (Ca::new(), key());
    let certificates = ca.certificates(&ca.leaf(&key, |_| ()));
    for turn in 0..certificates.len() {
        for swapped in [false, true] {
            let mut order = certificates.clone();
            order.rotate_left(turn);
            if swapped {
                order.swap(0, 2);
            }
            let identity = assembled(&bundle(&key, &order), None).expect("an identity");
            assert!(
                ders(&identity.chain) == certificates[..3],
                "leaf, intermediate, root; the double is out"
            );
            assert_eq!(identity.remarks.len(), 1, "{:?}", identity.remarks);
            assert_eq!(identity.ends, from_unix(3_786_912_000));
            let key_pem = identity.key.expose();
            assert!(
                KeyPair::from_pem(key_pem).is_ok() && key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n")
            );
        }
    }
}

#[test]
fn a_leaf_alone_or_without_its_root_is_good_too() {
    let (ca, key) = (Ca::new(), key());
    let certificates = ca.certificates(&ca.leaf(&key, |_| ()));
    for length in 1..=2 {
        let identity = assembled(&bundle(&key, &certificates[..length]), None).expect("an identity");
        assert_eq!((ders(&identity.chain).len(), identity.remarks.len()), (length, 0));
    }
    let alone = params("alone", |_| ()).self_signed(&key).expect("self-signed").der().to_vec();
    let identity = assembled(&bundle(&key, std::slice::from_ref(&alone)), Some(&alone)).expect("an identity");
    assert_eq!(ders(&identity.chain), [alone]);
}

#[test]
fn the_key_must_be_the_leafs_and_the_leaf_the_one_that_the_vault_means() {
    let (ca, key, other) = (Ca::new(), key(), key());
    let (old, new) =
        (ca.leaf(&key, |_| ()), ca.leaf(&key, |params| params.use_authority_key_identifier_extension = true));
    let both = bundle(&key, &[old.clone(), new.clone()]);
    for meant in [&old, &new] {
        let identity = assembled(&both, Some(meant)).expect("the key is reused");
        assert_eq!(&ders(&identity.chain)[0], meant);
    }
    let error = assembled(&both, Some(&ca.leaf(&other, |_| ()))).map(|_| ()).expect_err("not in it");
    assert!(error.to_string().contains("belongs to none"), "{error}");
    assert!(fails(&bundle(&other, std::slice::from_ref(&old))).to_string().contains("belongs to none"));
    assert!(fails(&bundle(&key, &[])).to_string().contains("belongs to none"));
    let none = Bundle { key: None, certificates: vec![old] };
    assert!(fails(&none).to_string().contains("not exportable"));
    assert!(fails(&bundle(&key, &[b"junk".to_vec()])).to_string().contains("not X.509"));
}

#[test]
fn every_kind_of_key_that_tls_takes_is_taken() {
    // RSA, which is Key Vault's default, comes from OpenSSL below.
    let ca = Ca::new();
    let keys =
        [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].map(|kind| KeyPair::generate_for(kind).expect("a key"));
    for key in &keys {
        assembled(&bundle(key, &[ca.leaf(key, |_| ())]), None).expect("an identity");
    }
    // A curve that nobody knows.
    let mut strange = keys[0].serialize_der();
    strange[20] ^= 1;
    let strange =
        Bundle { key: Some(Zeroizing::new(strange)), certificates: vec![ca.leaf(&keys[0], |_| ())] };
    assert!(fails(&strange).to_string().contains("not used here"));
}

#[test]
fn what_a_server_would_turn_away_is_refused_with_the_reason() {
    let (ca, key) = (Ca::new(), key());
    let refused = |edit: &dyn Fn(&mut CertificateParams)| fails(&bundle(&key, &[ca.leaf(&key, edit)]));
    let error = refused(&|params| params.extended_key_usages = vec![Extended::ServerAuth]);
    assert!(error.class == Class::Config && error.to_string().contains("clientAuth"), "{error}");
    let error = refused(&|params| params.key_usages = vec![Usage::KeyEncipherment]);
    assert!(error.class == Class::Config && error.to_string().contains("digitalSignature"), "{error}");
    let error = refused(&|params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    assert!(error.class == Class::Denied && error.to_string().contains("2021-01-01T00:00:00Z"), "{error}");
    let error = refused(&|params| params.not_before = rcgen::date_time_ymd(2080, 1, 1));
    assert!(error.class == Class::Denied && error.to_string().contains("2080-01-01T00:00:00Z"), "{error}");
    for good in [vec![Extended::ServerAuth, Extended::ClientAuth], vec![Extended::Any]] {
        let leaf = ca.leaf(&key, |params| {
            params.extended_key_usages = good;
            params.key_usages = vec![Usage::DigitalSignature, Usage::KeyEncipherment];
        });
        assembled(&bundle(&key, &[leaf]), None).expect("an identity");
    }
}

#[test]
fn openssls_pkcs12_is_read_as_azure_and_windows_write_it() {
    for (name, text) in [
        ("legacy", include_str!("../../../tests/cases/pkcs12/legacy.b64")),
        ("rc2", include_str!("../../../tests/cases/pkcs12/rc2.b64")),
        ("modern", include_str!("../../../tests/cases/pkcs12/modern.b64")),
    ] {
        let bundle =
            bundle::read(&format!("{}\r\n", text.trim())).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(bundle.certificates.len(), 4, "{name}");
        let identity = assembled(&bundle, None).expect("an identity");
        assert_eq!((ders(&identity.chain).len(), identity.remarks.len()), (3, 1), "{name}");
    }
}

#[test]
fn a_bundle_that_cannot_be_read_is_told_without_its_content() {
    let (ca, key) = (Ca::new(), key());
    let leaf = STANDARD.encode(ca.leaf(&key, |_| ()));
    let pem = key.serialize_pem();
    let sealed = pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let sec1 = pem.replace("PRIVATE KEY", "EC PRIVATE KEY");
    let legacy = include_str!("../../../tests/cases/pkcs12/legacy.b64").trim();
    let torn = &legacy[..legacy.len() / 8 * 4];
    for (value, words) in [
        ("hunter2!", "neither PEM nor PKCS#12"),
        ("aHVudGVyMg==", "PKCS#12 cannot be read"),
        (&leaf, "PKCS#12 cannot be read"),
        (torn, "PKCS#12 cannot be read"),
        (&format!("{pem}{pem}"), "two private keys"),
        (&sealed, "ENCRYPTED PRIVATE KEY"),
        (&sec1, "EC PRIVATE KEY"),
        (&pem[..pem.len() - 10], "ends as another one"),
    ] {
        let why = bundle::read(value).err().unwrap_or_else(|| panic!("read: {words}"));
        assert!(why.contains(words), "{why}");
        assert!(!why.contains("hunter2") && !why.contains(&pem[40..60]), "{why}");
    }
}

/// A certificate in a vault, and the lessor for it.
struct Scene {
    fake: FakeVault,
    ca: Ca,
}

impl Scene {
    async fn new() -> Self {
        Self { fake: FakeVault::start().await, ca: Ca::new() }
    }

    /// Puts a pair there as `version`; gives the leaf's DER.
    fn store(&self, version: &str) -> Vec<u8> {
        let key = key();
        let leaf = self.ca.leaf(&key, |params| params.extended_key_usages = vec![Extended::ClientAuth]);
        let certificates = self.ca.certificates(&leaf);
        let text: String = certificates
            .iter()
            .map(|der| pem::write("CERTIFICATE", [der.as_slice()]))
            .fold(key.serialize_pem(), |text, block| text + block.expose());
        let policy = json!({"key_props": {"exportable": true}, "secret_props": {"contentType": "application/x-pem-file"}});
        let more = json!({"cer": STANDARD.encode(&leaf), "policy": policy});
        self.fake.certificate("partner", version, &more);
        self.fake.secret("partner", version, &text, &json!({"managed": true}));
        leaf
    }

    fn lessor(&self, probe: Option<Probe>) -> VaultCertificate {
        let place = InVault {
            exchange: "default".to_owned(),
            vault: self.fake.server.url.clone(),
            name: "partner".to_owned(),
            version: None,
        };
        VaultCertificate::new(self.fake.vault(), &place, Duration::from_hours(1), probe)
    }
}

fn parts(lease: &Lease) -> (&Secret, &Secret) {
    match &lease.value {
        Value::Files(parts) => match parts.as_slice() {
            [chain, key] if (chain.extension, key.extension) == ("crt", "key") => {
                (&chain.content, &key.content)
            }
            _ => panic!("other parts"),
        },
        Value::Text(_) => panic!("a text"),
    }
}

#[tokio::test]
async fn a_pair_is_of_one_version_and_a_new_version_is_taken_over_whole() {
    let scene = Scene::new().await;
    let (leaf, lessor) = (scene.store(VERSION), scene.lessor(None));
    assert_eq!(lessor.release().await.expect("no call"), Released::Nothing);
    let first = lessor.issue().await.expect("a lease");
    assert_eq!(ders(parts(&first).0)[0], leaf);
    // Between the two calls a new version of the secret alone: it is not asked for.
    scene.fake.secret("partner", NEXT, "half", &json!({}));
    let again = lessor.issue().await.expect("the same");
    assert_eq!(parts(&again).1.expose(), parts(&first).1.expose());
    let leaf = scene.store(NEXT);
    let next = lessor.issue().await.expect("the next version");
    assert_eq!(ders(parts(&next).0)[0], leaf);
    assert_ne!(parts(&next).1.expose(), parts(&first).1.expose());
    assert_eq!(next.expires_at, next.issued_at + Duration::from_hours(1));
    assert_eq!(next.refresh_at, Some(next.issued_at + Duration::from_mins(15)));
    assert_eq!(lessor.release().await.expect("no call"), Released::Kept);
    let asked = scene.fake.asked();
    // Without the first request of each client, which only brings the challenge.
    let asked = |path: &str| asked.iter().filter(|(asked, token)| token.is_some() && asked == path).count();
    assert_eq!(asked(&format!("/secrets/partner/{VERSION}")), 2);
    assert_eq!(asked(&format!("/secrets/partner/{NEXT}")), 1);
    assert_eq!(asked("/secrets/partner/"), 0);
}

#[tokio::test]
async fn a_key_that_stays_in_the_vault_is_not_asked_for() {
    let scene = Scene::new().await;
    scene.store(VERSION);
    scene.fake.certificate("partner", VERSION, &json!({"policy": {"key_props": {"exportable": false}}}));
    let error = scene.lessor(None).issue().await.map(|_| ()).expect_err("refused");
    assert!(error.class == Class::Config && error.to_string().contains("exportable"), "{error}");
    scene.fake.certificate("partner", VERSION, &json!({"attributes": {"enabled": false}}));
    let error = scene.lessor(None).issue().await.map(|_| ()).expect_err("refused");
    assert!(error.class == Class::Denied && error.to_string().contains("disabled"), "{error}");
    assert!(!scene.fake.asked().iter().any(|(path, _)| path.starts_with("/secrets/")));
}

#[tokio::test]
async fn the_certificate_is_presented_to_a_gateway_that_asks_for_one() {
    let scene = Scene::new().await;
    scene.store(VERSION);
    let gateway = Gateway::start(&scene.ca.root).await;
    let probe = |path: &str| Some(Probe::new(&gateway.url, path, gateway.client()));
    let lessor = scene.lessor(probe("/orders"));
    let lease = lessor.issue().await.expect("a lease");
    lessor.probe(&lease).await.expect("accepted");
    assert_eq!(gateway.served(), 1);

    // Signed by somebody whom the gateway does not know.
    let stranger = Scene { fake: scene.fake, ca: Ca::new() };
    stranger.store(NEXT);
    let lessor = stranger.lessor(probe("/orders"));
    let lease = lessor.issue().await.expect("a lease");
    let error = lessor.probe(&lease).await.expect_err("refused");
    assert!(error.class == Class::Denied && error.to_string().contains("handshake"), "{error}");
    assert_eq!(gateway.served(), 1);
}
