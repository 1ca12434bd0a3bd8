//! The gateway and the platforms' own endpoints from outside: client certificates in real TLS, and each way from an
//! identity to a credential that the emulator offers beside the usual one.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

use apim_agent::emulator::{
    Emulator, Options, Ready, classic,
    gateway::{
        broker::{BrokerClient, ClientAuthentication, SUBSCRIPTION_KEY},
        thumbprint,
    },
    world::World,
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A client certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn new(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key: key.into() }
    }
}

/// Presents what it is told to, also a certificate that does not belong to the key.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A client: trusts the emulator's CA, and may have a certificate.
struct Client<'a> {
    ready: &'a Ready,
    presents: Option<Arc<CertifiedKey>>,
    version: &'static rustls::SupportedProtocolVersion,
}

impl<'a> Client<'a> {
    fn new(ready: &'a Ready) -> Self {
        Self { ready, presents: None, version: &TLS13 }
    }

    fn with(ready: &'a Ready, certificate: &Identity, key: &Identity) -> Self {
        let key = rustls::crypto::ring::sign::any_supported_type(&key.key).unwrap();
        let pair = CertifiedKey::new(vec![certificate.certificate.clone()], key);
        Self { presents: Some(Arc::new(pair)), ..Self::new(ready) }
    }

    /// One request on a connection of its own: status and JSON, where the body is some.
    async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<(u16, Value), Failure> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let stream = TcpStream::connect(host).await?;
        let mut request =
            http::Request::builder().method(method).uri(format!("/{path}")).header("Host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        if scheme == "http" {
            return speak(stream, request).await;
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ready.ca_file)?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[self.version])?
            .with_root_certificates(roots);
        let config = match &self.presents {
            Some(pair) => config.with_client_cert_resolver(Arc::new(Presents(pair.clone()))),
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("127.0.0.1")?;
        speak(TlsConnector::from(Arc::new(config)).connect(name, stream).await?, request).await
    }

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<(u16, Value), Failure> {
        self.send("GET", url, headers, String::new()).await
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<(u16, Value), Failure> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send("POST", url, &[("Content-Type", "application/x-www-form-urlencoded")], body).await
    }
}

async fn speak<S>(stream: S, request: http::Request<Full<Bytes>>) -> Result<(u16, Value), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Trades an assertion at Entra for an access token of the echo API.
async fn entra(ready: &Ready, assertion: &str) -> String {
    let url = format!("{}/{}/oauth2/v2.0/token", ready.authority, ready.tenant_id);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", ready.client_id.as_str()),
        ("scope", &ready.api_scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ];
    let (status, body) = Client::new(ready).post(&url, &form).await.unwrap();
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// The status of the echo API for a token, and who its log says called.
async fn echo(emulator: &Emulator, token: &str) -> (u16, String) {
    let ready = emulator.ready();
    let bearer = format!("Bearer {token}");
    let url = format!("{}/echo", ready.gateway);
    let (status, _) = Client::new(ready).get(&url, &[("Authorization", &bearer)]).await.unwrap();
    let row = emulator.journal().rows().into_iter().rfind(|row| row.service == "gateway").unwrap();
    (status, row.caller.unwrap_or_default())
}

#[tokio::test]
async fn the_partner_api_opens_for_an_allowed_certificate_whose_key_is_proved() {
    let day = Duration::from_hours(24);
    let now = apim_agent::clock::now();
    let good = Identity::new(|_| ());
    let expired = Identity::new(|params| params.not_after = (now - day).into());
    let early = Identity::new(|params| params.not_before = (now + day).into());
    let server =
        Identity::new(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let stranger = Identity::new(|_| ());
    let world = World {
        partner_certificates: [&good, &expired, &early, &server]
            .map(|identity| thumbprint(&identity.certificate))
            .to_vec(),
        ..World::default()
    };
    let emulator = Emulator::start(Options { world, ..Options::default() }).unwrap();
    let ready = emulator.ready();
    let url = format!("{}/partner/orders?id=7", ready.gateway);

    for version in [&TLS12, &TLS13] {
        let client = Client { version, ..Client::with(ready, &good, &good) };
        let (status, body) = client.get(&url, &[]).await.unwrap();
        assert_eq!(
            (status, &body["caller"]["kind"], &body["query"]["id"]),
            (200, &"certificate".into(), &"7".into())
        );
        // A certificate is public: whoever copied one has no key for it.
        let copied = Client { version, ..Client::with(ready, &good, &stranger) };
        assert!(copied.get(&url, &[]).await.is_err());
    }
    let (status, body) = Client::new(ready).get(&url, &[]).await.unwrap();
    assert_eq!((status, &body["message"]), (401, &"Client certificate missing".into()));
    for refused in [&expired, &early, &server, &stranger] {
        let (status, body) = Client::with(ready, refused, refused).get(&url, &[]).await.unwrap();
        assert_eq!((status, &body["message"]), (401, &"Invalid client certificate".into()));
    }
    // The other API asks for no certificate and is not impressed by one.
    let (status, _) =
        Client::with(ready, &good, &good).get(&format!("{}/echo", ready.gateway), &[]).await.unwrap();
    assert_eq!(status, 401);

    let rows = emulator.journal().rows();
    let shown = thumbprint(&good.certificate).map(|byte| format!("{byte:02X}")).concat();
    assert_eq!(rows[0].operation, Some("Partner_Call"));
    assert_eq!(rows[0].caller, Some(format!("certificate {shown}")));
}

#[tokio::test]
async fn the_broker_mints_a_key_for_a_workspace_and_ends_it() {
    let client = Identity::new(|_| ());
    let authentication = ClientAuthentication::Tls { thumbprint: thumbprint(&client.certificate) };
    let registered = BrokerClient { id: "agent".to_owned(), authentication, may_exchange: true };
    let world = World { broker_clients: vec![registered], ..World::default() };
    let emulator = Emulator::start(Options { world, ..Options::default() }).unwrap();
    let ready = emulator.ready();

    let bearer = format!("Bearer {}", std::fs::read_to_string(&ready.identity_token_file).unwrap());
    let ask = serde_json::json!({"audience": [ready.broker_audience]}).to_string();
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let url = format!("{}/api/gitpod.v1.IdentityService/GetIDToken", ready.identity);
    let (_, body) = Client::new(ready).send("POST", &url, &headers, ask).await.unwrap();
    let id_token = body["token"].as_str().unwrap();

    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "agent"),
        ("subject_token", id_token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    ];
    let url = format!("{}/token", ready.broker);
    let (status, body) = Client::new(ready).post(&url, &form).await.unwrap();
    assert_eq!((status, &body["error"]), (401, &"invalid_client".into()), "no certificate");
    let agent = Client::with(ready, &client, &client);
    let (status, body) = agent.post(&url, &form).await.unwrap();
    assert_eq!((status, &body["issued_token_type"]), (200, &SUBSCRIPTION_KEY.into()), "{body}");
    let key = body["access_token"].as_str().unwrap();

    let call = || async {
        let headers = [("Ocp-Apim-Subscription-Key", key)];
        Client::new(ready).get(&format!("{}/echo", ready.gateway), &headers).await.unwrap().0
    };
    assert_eq!(call().await, 200);
    let rows = emulator.journal().rows();
    let caller = rows.last().unwrap().caller.clone().unwrap();
    assert!(caller.starts_with("subscription br-") && caller.ends_with("jane@acme.example"), "{caller}");

    let form = [("token", key), ("client_id", "agent")];
    assert_eq!(agent.post(&format!("{}/revoke", ready.broker), &form).await.unwrap().0, 200);
    assert_eq!(call().await, 401);
}

#[tokio::test]
async fn a_managed_identitys_token_is_good_itself_and_as_an_assertion() {
    let emulator = Emulator::start(Options::default()).unwrap();
    let ready = emulator.ready();
    let token = |resource: &str| {
        let url = format!(
            "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}&client_id={}",
            ready.imds, ready.managed_identity
        );
        async move {
            let (status, body) = Client::new(ready).get(&url, &[("Metadata", "true")]).await.unwrap();
            assert_eq!(status, 200, "{body}");
            body["access_token"].as_str().unwrap().to_owned()
        }
    };
    let World { managed_identity, principal_id, .. } = World::default();
    let own = echo(&emulator, &token("api://echo").await).await;
    assert_eq!(own, (200, format!("workspace {}", managed_identity.object_id)));
    let traded = entra(ready, &token("api://AzureADTokenExchange").await).await;
    assert_eq!(echo(&emulator, &traded).await, (200, format!("workspace {principal_id}")));

    let url = format!("{}/metadata/instance?api-version=2021-02-01", ready.imds);
    assert_eq!(Client::new(ready).get(&url, &[("Metadata", "true")]).await.unwrap().0, 501);
}

#[tokio::test]
async fn classics_supervisor_and_api_lead_to_a_token_that_entra_takes() {
    let emulator = Emulator::start(Options::default()).unwrap();
    let ready = emulator.ready();
    let url = format!("{}/_supervisor/v1/token/gitpod/gitpod.io/function:getWorkspace", ready.supervisor);
    let (status, body) = Client::new(ready).get(&url, &[]).await.unwrap();
    assert_eq!(status, 200, "{body}");

    let bearer = format!("Bearer {}", body["token"].as_str().unwrap());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let ask =
        serde_json::json!({"workspaceId": ready.workspace_id, "audience": ["api://AzureADTokenExchange"]});
    let url = format!("{}/gitpod.experimental.v1.IdentityProviderService/GetIDToken", ready.identity);
    let (status, body) = Client::new(ready).send("POST", &url, &headers, ask.to_string()).await.unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(ready.workspace_id, classic::WORKSPACE);
    let access_token = entra(ready, body["token"].as_str().unwrap()).await;
    assert_eq!(echo(&emulator, &access_token).await.0, 200);
}

#[tokio::test]
async fn faults_reach_the_plain_ports_too() {
    let emulator = Emulator::start(Options::default()).unwrap();
    let ready = emulator.ready();
    let fault = serde_json::json!({"operation": "Imds_Token", "action": {"status": 410}});
    emulator.faults().add(serde_json::from_value(fault).unwrap());
    let url = format!("{}/metadata/identity/oauth2/token", ready.imds);
    assert_eq!(Client::new(ready).get(&url, &[]).await.unwrap().0, 410);
    assert_eq!(Client::new(ready).get(&url, &[]).await.unwrap().0, 400);
    let rows = emulator.journal().rows();
    assert_eq!((rows[0].service, rows[0].fault, rows[0].status), ("imds", Some("status"), Some(410)));
}
