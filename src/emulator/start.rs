//! Starts all services, on a thread of their own.

use super::{
    Options, Ready,
    arm::Arm,
    classic::{self, Supervisor},
    control::Control,
    entra::{Entra, SAML_AUDIENCE, SAML_RECIPIENT},
    faults::Faults,
    files::Folder,
    gateway::{
        Gateway, Thumbprints,
        broker::{self, Broker},
    },
    imds::{self, Imds},
    issuer::{ENTRA_AUDIENCE, Issuer, subject},
    journal::Journal,
    jwt::SigningKey,
    key_vault::{KeyVault, starter},
    proxy::{self, Targets},
    random, saml,
    server::{self, Security, Shared},
    store::Store,
    tls::{self, Tls},
    trust::{Network, Trust, TrustedIssuer},
    wire::Service,
    world::World,
};
use crate::{
    clock,
    error::{Class, Error, Result},
    secret::Secret,
};
use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{runtime, sync::oneshot};
use tokio_rustls::TlsAcceptor;

/// A running emulator. When it is dropped, its ports close and its files go.
pub struct Emulator {
    ready: Ready,
    faults: Arc<Faults>,
    journal: Arc<Journal>,
    store: Arc<Store>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Dropped last: nobody writes into it any more when it is removed.
    _folder: Arc<Folder>,
}

impl Emulator {
    /// Returns when every port listens. Takes tens of milliseconds, most of them for the three RSA keys.
    pub fn start(options: Options) -> Result<Self> {
        let Secrets { issuer_keys, entra_keys, saml_keys, tls } = Secrets::make()?;
        let folder = Arc::new(Folder::make(options.folder.as_deref())?);
        let ca_file = folder.write("ca.pem", &tls.ca_pem)?;
        let bearer = Secret::new(random::text()?);
        let classic_bearer = Secret::new(random::text()?);
        let identity_token_file = folder.write("identity-token", bearer.expose())?;

        let listeners = Listeners::bind(&options)?;
        let ready = ready(&options.world, &listeners, ca_file.clone(), identity_token_file, &folder);
        let world = Arc::new(options.world);
        let identity = ready.identity.clone();
        let issuer_keys = Arc::new(issuer_keys);
        let issuer = Arc::new(Issuer::new(world.clone(), issuer_keys, identity, &bearer, &classic_bearer));
        let assertions = Assertions {
            folder: folder.clone(),
            issuer: issuer.clone(),
            saml: saml::Issuer::new(AD_FS, saml_keys),
            upn: world.sign_in.user.upn.clone(),
            life: world.id_token_life,
        };
        assertions.write()?;

        let mut credentials = own_credentials(&world, &ready);
        credentials.extend(options.trust);
        // Entra and the gateway each fetch and keep the issuers' keys, as the real ones do.
        let trust = || Trust::new(credentials.clone(), Box::new(Network::new(ca_file.clone())));
        let entra_keys = Arc::new(entra_keys);
        let federations = vec![assertions.saml.federation()];
        let entra = Entra::new(world.clone(), entra_keys.clone(), trust(), federations.clone());
        let store = Arc::new(Store::new(world.key_delay));
        let vault = Arc::new(starter::stock(&world, clock::now())?);
        let (faults, journal) = (Arc::<Faults>::default(), Arc::<Journal>::default());
        let shared = Arc::new(Shared {
            faults: faults.clone(),
            journal: journal.clone(),
            latency: options.latency,
            connections: AtomicU64::new(0),
        });
        let broker =
            Broker::new(world.clone(), store.clone(), entra_keys.clone(), trust()).federated(federations);
        let thumbprints: Thumbprints = {
            let (world, vault) = (world.clone(), vault.clone());
            Arc::new(move || [world.partner_certificates.clone(), vault.thumbprints()].concat())
        };
        let gateway = Gateway::new(world.clone(), store.clone(), entra_keys.clone())
            .brokering(broker)
            .trusting(thumbprints);
        let imds = Imds::new(world.clone(), entra_keys.clone(), ready.authority.clone());
        let supervisor = Supervisor::new(classic_bearer, listeners.targets.identity);
        let usual = Security::Tls(TlsAcceptor::from(tls.server));
        let asking = Security::Tls(TlsAcceptor::from(tls.gateway));
        let mut services: Vec<(TcpListener, Security, Arc<dyn Service>)> = vec![
            (listeners.identity, usual.clone(), issuer.clone()),
            (listeners.entra, usual.clone(), Arc::new(entra)),
            (
                listeners.arm,
                usual.clone(),
                Arc::new(Arm::new(world.clone(), store.clone(), entra_keys.clone())),
            ),
            (
                listeners.key_vault,
                usual.clone(),
                Arc::new(KeyVault::new(world.clone(), vault, entra_keys.clone(), ready.authority.clone())),
            ),
            (listeners.gateway, asking, Arc::new(gateway)),
            (listeners.imds, Security::Plain, Arc::new(imds)),
            (listeners.supervisor, Security::Plain, Arc::new(supervisor)),
        ];
        let named = |service: &dyn Service| [vec![service.name()], service.operations()].concat();
        let control = Control {
            faults: faults.clone(),
            journal: journal.clone(),
            ready: ready.clone(),
            world: world.clone(),
            entra_keys,
            operations: services.iter().flat_map(|(_, _, service)| named(&**service)).collect(),
        };
        services.push((listeners.control, usual, Arc::new(control)));

        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        {
            let _context = runtime.enter();
            for (listener, security, service) in services {
                let listener = nonblocking(listener)?;
                runtime.spawn(server::serve(listener, security, service, shared.clone()));
            }
            runtime.spawn(proxy::serve(nonblocking(listeners.proxy)?, listeners.targets, shared));
            runtime.spawn(assertions.keep_fresh());
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("emulator".to_owned())
            .spawn(move || {
                // Both a message and the sender's end mean stop. All connections end with the runtime; a look-up of a
                // foreign issuer's name may still be running, and is not waited for.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_timeout(Duration::from_millis(100));
            })
            .map_err(|error| failed(&error))?;
        Ok(Self { ready, faults, journal, store, stop: Some(stop), thread: Some(thread), _folder: folder })
    }

    /// Where everything is.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The scripted faults, for tests in the same process.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The requests so far, for tests in the same process.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The subscriptions, for tests in the same process.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the ports, drops the connections and removes the files.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the emulator's thread panicked");
        }
    }
}

/// The federated credentials of the emulator's own issuers: the workspace, as Ona's and as Classic's, and the machine's
/// managed identity.
fn own_credentials(world: &World, ready: &Ready) -> Vec<TrustedIssuer> {
    let credential = |url, subject| TrustedIssuer { url, subject: Some(subject) };
    vec![
        credential(ready.identity.clone(), subject()),
        credential(classic::issuer(&ready.identity), classic::CONTEXT.to_owned()),
        credential(
            imds::issuer(&ready.authority, &world.tenant_id),
            world.managed_identity.object_id.clone(),
        ),
    ]
}

/// All that takes computing.
struct Secrets {
    issuer_keys: SigningKey,
    entra_keys: SigningKey,
    saml_keys: SigningKey,
    tls: Tls,
}

impl Secrets {
    /// Makes them at the same time.
    fn make() -> Result<Self> {
        thread::scope(|scope| {
            let issuer = scope.spawn(SigningKey::generate);
            let saml = scope.spawn(SigningKey::generate);
            let tls = scope.spawn(|| tls::make(clock::now()));
            let entra = SigningKey::generate();
            let panicked =
                || Error::new(Class::Internal, "Cannot start the emulator").why("making its keys panicked");
            Ok(Self {
                issuer_keys: issuer.join().map_err(|_| panicked())??,
                entra_keys: entra?,
                saml_keys: saml.join().map_err(|_| panicked())??,
                tls: tls.join().map_err(|_| panicked())??,
            })
        })
    }
}

/// The bound ports.
struct Listeners {
    identity: TcpListener,
    entra: TcpListener,
    arm: TcpListener,
    key_vault: TcpListener,
    gateway: TcpListener,
    proxy: TcpListener,
    control: TcpListener,
    imds: TcpListener,
    supervisor: TcpListener,
    targets: Targets,
    imds_port: u16,
    supervisor_port: u16,
    proxy_port: u16,
}

impl Listeners {
    fn bind(options: &Options) -> Result<Self> {
        let ports = options.ports;
        let (identity, identity_port) = listen(ports.identity)?;
        let (entra, entra_port) = listen(ports.entra)?;
        let (arm, arm_port) = listen(ports.arm)?;
        let (key_vault, key_vault_port) = listen(ports.key_vault)?;
        let (gateway, gateway_port) = listen(ports.gateway)?;
        let (proxy, proxy_port) = listen(ports.proxy)?;
        let (control, control_port) = listen(ports.control)?;
        let (imds, imds_port) = listen(ports.imds)?;
        let (supervisor, supervisor_port) = listen(ports.supervisor)?;
        let targets = Targets {
            identity: identity_port,
            entra: entra_port,
            arm: arm_port,
            key_vault: key_vault_port,
            gateway: gateway_port,
            control: control_port,
        };
        Ok(Self {
            identity,
            entra,
            arm,
            key_vault,
            gateway,
            proxy,
            control,
            imds,
            supervisor,
            targets,
            imds_port,
            supervisor_port,
            proxy_port,
        })
    }
}

fn listen(port: u16) -> Result<(TcpListener, u16)> {
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    listen().map_err(|error: std::io::Error| {
        Error::new(Class::Config, format!("The emulator cannot listen on 127.0.0.1:{port}"))
            .why(error.to_string())
            .fix("Choose another port, or 0 for a free one")
    })
}

/// For tokio; within a runtime's context.
fn nonblocking(listener: TcpListener) -> Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true).map_err(|error| failed(&error))?;
    tokio::net::TcpListener::from_std(listener).map_err(|error| failed(&error))
}

fn ready(
    world: &World,
    listeners: &Listeners,
    ca_file: PathBuf,
    identity_token_file: PathBuf,
    folder: &Folder,
) -> Ready {
    let url = |port: u16| format!("https://127.0.0.1:{port}");
    let plain = |port: u16| format!("http://127.0.0.1:{port}");
    let Targets { identity, entra, arm, key_vault, gateway, control } = listeners.targets;
    Ready {
        ca_file,
        tenant_id: world.tenant_id.clone(),
        client_id: world.client_id.clone(),
        subscription_id: world.subscription_id.clone(),
        resource_group: world.resource_group.clone(),
        service_name: world.service_name.clone(),
        identity: url(identity),
        identity_token_file,
        authority: url(entra),
        arm: url(arm),
        key_vault: url(key_vault),
        secret_name: world.secret_name.clone(),
        certificate_name: world.certificate_name.clone(),
        gateway: url(gateway),
        broker: format!("{}{}", url(gateway), broker::PATH),
        broker_audience: world.broker_audience.clone(),
        imds: plain(listeners.imds_port),
        managed_identity: world.managed_identity.client_id.clone(),
        supervisor: plain(listeners.supervisor_port),
        workspace_id: classic::WORKSPACE.to_owned(),
        proxy: plain(listeners.proxy_port),
        assertion_file: folder.file(ASSERTION),
        saml_assertion_file: folder.file(SAML_ASSERTION),
        control: url(control),
        product: world.product.clone(),
        foreign_product: world.foreign_product.clone(),
        api_scope: format!("{}/.default", world.api_audience),
        env_file: None,
        pid: None,
    }
}

const ASSERTION: &str = "assertion";
const SAML_ASSERTION: &str = "saml-assertion.xml";

/// The federated AD FS, by its entity id. It is a name; nothing listens there.
const AD_FS: &str = "http://adfs.acme.example/adfs/services/trust";

/// Writes the files with assertions.
struct Assertions {
    folder: Arc<Folder>,
    issuer: Arc<Issuer>,
    saml: saml::Issuer,
    /// The person that the SAML assertion is about.
    upn: String,
    /// Of both.
    life: Duration,
}

impl Assertions {
    fn write(&self) -> Result<()> {
        let now = clock::now();
        let token = self.issuer.token(&[ENTRA_AUDIENCE.to_owned()], 0, now)?;
        self.folder.write(ASSERTION, &token)?;
        let statement = saml::Statement {
            name_id: &self.upn,
            attributes: &[(saml::UPN, &self.upn)],
            audience: SAML_AUDIENCE,
            recipient: SAML_RECIPIENT,
            // Whole seconds, as they are written.
            life: Duration::from_secs(self.life.as_secs().max(1)),
        };
        self.folder.write(SAML_ASSERTION, &self.saml.issue(&statement, now)?).map(drop)
    }

    /// Keeps the files valid.
    async fn keep_fresh(self) {
        let every = (self.life / 2).max(Duration::from_millis(100));
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.write() {
                tracing::warn!(%error, "the assertion files are not fresh");
            }
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new(Class::Internal, "Cannot start the emulator").why(error.to_string())
}
