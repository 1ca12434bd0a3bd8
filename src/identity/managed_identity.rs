//! Source `managed-identity`: the identity of the Azure machine, from its instance metadata service (IMDS).
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
//!
//! Its tokens are access tokens. One for the audience of federated credentials serves as an id token, and is asked for where
//! `identity.audience` is set; else the machine's token for the scope is used as it is.
//!
//! In App Service and Container Apps the platform says by two variables where its own service is:
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>

mod answer;

use super::{
    Actor, IdentitySource, Miss, Proof, Subject, Want,
    claims::{self, Claims},
    cli::Runner,
    read::secret_file,
};
use crate::{
    clock,
    config::{Identity, endpoint},
    error::{Class, Error, Result},
    http as client,
};
use ::http::{HeaderValue, Request, StatusCode};
use answer::Granted;
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use url::Url;
use zeroize::Zeroizing;

const ENDPOINT: &str = "IDENTITY_ENDPOINT";
const HEADER: &str = "IDENTITY_HEADER";

/// Where IMDS is on every machine of Azure's.
static USUAL: LazyLock<Url> =
    LazyLock::new(|| Url::parse("http://169.254.169.254").expect("a constant that is a URL"));

/// Where the firmware says whose machine it is, and what Azure's says:
/// <https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#frequently-asked-questions>.
pub(super) const ASSET_TAG: &str = "/sys/class/dmi/id/chassis_asset_tag";
const AZURES: &str = "7783-7084-3265-9085-8269-3286-77";

/// The service is on this very host and answers the handshake at once, or is not there: elsewhere its address mostly leads
/// nowhere, and a connection would hang.
const CONNECT: Duration = Duration::from_secs(2);

/// The machine's identity.
pub struct ManagedIdentity {
    /// Where IMDS is, if that was said.
    imds: Option<Url>,
    /// Which user-assigned identity; else the system-assigned one, or the only one.
    client_id: Option<String>,
    /// Whether the machine's token is to be an assertion.
    federated: bool,
    /// Whether somebody named the source: then the machine needs no sign that it is Azure's.
    named: bool,
    asset_tag: PathBuf,
    runner: Runner,
    http: client::Client,
}

/// How to ask.
struct Service {
    url: Url,
    header: (&'static str, HeaderValue),
    /// Whether only the firmware says that it is there.
    guessed: bool,
}

impl ManagedIdentity {
    /// The source with the settings of `config`. `named`: it is asked for by name; else `auto` looks for it, in the file
    /// `asset_tag` too.
    pub fn new(
        config: &Identity,
        named: bool,
        asset_tag: &Path,
        http: client::Client,
        runner: Runner,
    ) -> Self {
        Self {
            imds: config.imds_url.clone(),
            client_id: config.client_id.clone(),
            federated: config.audience.is_some(),
            named,
            asset_tag: asset_tag.to_owned(),
            runner,
            http,
        }
    }

    /// Which service to ask, found without asking the network: the address of IMDS means something else elsewhere.
    async fn service(&self) -> Result<Service, Miss> {
        match (self.runner.variable(ENDPOINT), self.runner.variable(HEADER)) {
            (Some(url), Some(secret)) => return platforms(&url, secret).map_err(Miss::Broken),
            // Azure Arc sets the endpoint alone: its service wants proof of root's rights, which we do not have.
            (Some(_), None) if self.imds.is_none() => {
                return Err(Miss::NotHere(format!("{ENDPOINT} is set, but {HEADER} is not")));
            }
            _ => {}
        }
        let guessed = self.imds.is_none() && !self.named;
        if guessed && !self.is_azures().await {
            return Err(Miss::NotHere(format!(
                "{ENDPOINT} is not set, nor is identity.imds_url, and this is no machine of Azure's"
            )));
        }
        let url = endpoint::under(self.imds.as_ref().unwrap_or(&USUAL), "metadata/identity/oauth2/token");
        Ok(Service { url, header: ("Metadata", HeaderValue::from_static("true")), guessed })
    }

    async fn is_azures(&self) -> bool {
        let tag = secret_file(&self.asset_tag, "the asset tag").await;
        tag.is_ok_and(|tag| tag.is_some_and(|tag| tag.trim() == AZURES))
    }

    /// A token for `resource`.
    async fn token(&self, service: &Service, resource: &str) -> Result<Granted, Miss> {
        let version = if service.header.0 == "Metadata" { "2018-02-01" } else { "2019-08-01" };
        let mut url = service.url.clone();
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if let Some(id) = &self.client_id {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        let request = Request::get(url.as_str())
            .header(service.header.0, &service.header.1)
            .body(Bytes::new())
            .map_err(|error| {
                let error =
                    Error::new(Class::Config, "the metadata service cannot be asked").why(error.to_string());
                Miss::Broken(error.fix("check identity.imds_url and the credential's scope"))
            })?;
        reach(&url).await.map_err(Miss::Broken)?;
        let asked_at = clock::now();
        let answer = self.http.send(request).await.map_err(|mut error| {
            error.what = format!("no token from the metadata service: {}", error.what);
            Miss::Broken(error)
        })?;
        if answer.status() == StatusCode::OK {
            return Granted::read(&answer, asked_at).map_err(Miss::Broken);
        }
        let error = answer::refusal(&answer, resource, self.client_id.as_deref(), asked_at);
        if service.guessed && self.client_id.is_none() && answer::has_no_identity(&answer) {
            return Err(Miss::NotHere(format!(
                "{ENDPOINT} is not set, and this machine of Azure's has no managed identity"
            )));
        }
        Err(Miss::Broken(error))
    }
}

#[async_trait]
impl IdentitySource for ManagedIdentity {
    fn name(&self) -> &'static str {
        "managed-identity"
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let service = self.service().await?;
        let Some(scope) = want.scope.filter(|_| !self.federated) else {
            let granted = self.token(&service, want.audience).await?;
            // In its `aud` may stand the id of the application behind the URI that was asked for, so that is not compared.
            let claims = claims::parse(granted.token.expose()).map_err(|why| {
                let what = "the metadata service's token cannot serve as an id token";
                Miss::Broken(Error::new(Class::Config, what).why(why).fix("check identity.audience"))
            })?;
            let subject = Subject { source: self.name(), actor: Actor::Workspace, claims };
            return Ok((subject, Proof::IdToken(granted.token)));
        };
        let resource = resource(scope).map_err(Miss::Broken)?;
        let Granted { token, expires_at, refresh_at } = self.token(&service, resource).await?;
        let claims = claims::parse(token.expose()).unwrap_or_else(|_| Claims {
            iss: "the metadata service".to_owned(),
            sub: self.client_id.clone().unwrap_or_else(|| "this machine's managed identity".to_owned()),
            aud: vec![resource.to_owned()],
            exp: expires_at,
            workspace: None,
            user: None,
        });
        let subject = Subject { source: self.name(), actor: Actor::Workspace, claims };
        Ok((subject, Proof::Session { token, expires_at, refresh_at }))
    }
}

/// The service of App Service and its like. Its secret only shows that we run inside.
fn platforms(url: &str, secret: String) -> Result<Service> {
    let bad = |name: &str| {
        Error::new(Class::Config, format!("the variable {name} holds nothing that Azure would put there"))
            .fix("leave it as the platform set it")
    };
    let url = Url::parse(url).ok().filter(endpoint::is_private).ok_or_else(|| bad(ENDPOINT))?;
    let secret = Zeroizing::new(secret);
    let mut secret = HeaderValue::from_str(&secret).map_err(|_| bad(HEADER))?;
    secret.set_sensitive(true);
    Ok(Service { url, header: ("X-IDENTITY-HEADER", secret), guessed: false })
}

/// The resource of a scope: IMDS knows the older form only.
fn resource(scope: &str) -> Result<&str> {
    scope.strip_suffix("/.default").filter(|resource| !resource.is_empty()).ok_or_else(|| {
        Error::new(Class::Config, format!("a managed identity gets no token for the scope {scope}"))
            .why("it gets tokens for a whole resource, since no person delegates permissions to it")
            .fix("use a scope that ends in /.default")
    })
}

/// Whether anybody listens there. The request's own deadline is ten times as long, and would only say that it took too long.
async fn reach(url: &Url) -> Result<()> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let address = (host.trim_start_matches('[').trim_end_matches(']'), port);
    let why = match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {CONNECT:?}"),
    };
    Err(Error::new(Class::Unavailable, format!("no metadata service is at {host}:{port}"))
        .why(why)
        .fix("run on an Azure machine whose network lets it be reached, or set identity.source to where the identity is"))
}

#[cfg(test)]
mod tests;
