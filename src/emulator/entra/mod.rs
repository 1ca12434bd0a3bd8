//! Microsoft Entra ID for one tenant and one application: token endpoint, discovery, keys.

mod errors;
#[cfg(test)]
mod tests;
mod token;

use super::{
    jwt::SigningKey,
    trust::Trust,
    wire::{Request, Response, Service},
    world::World,
};
use crate::clock;
use async_trait::async_trait;
use errors::Refusal;
use http::Method;
use serde_json::json;
use std::{sync::Arc, time::SystemTime};

/// Where clients that were not told otherwise expect Entra.
const PUBLIC: &str = "login.microsoftonline.com";

/// All names of the public cloud's Entra.
const ALIASES: [&str; 4] = [PUBLIC, "login.windows.net", "login.microsoft.com", "sts.windows.net"];

/// The service "entra".
pub(super) struct Entra {
    world: Arc<World>,
    keys: Arc<SigningKey>,
    trust: Trust,
}

impl Entra {
    pub(super) fn new(world: Arc<World>, keys: Arc<SigningKey>, trust: Trust) -> Self {
        Self { world, keys, trust }
    }

    async fn token(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
        let granted = async {
            let grant = token::check(&self.world, &self.trust, tenant, request, now).await?;
            let body = token::issue(&self.world, &self.keys, &grant, now).map_err(|error| {
                tracing::error!(%error, "cannot issue a token");
                Refusal::internal()
            })?;
            Ok::<_, Refusal>((grant, body))
        };
        match granted.await {
            Ok((grant, body)) => {
                let mut response = Response::json(200, &body).header("x-ms-request-id", errors::guid());
                if let Some(id) = correlation(request) {
                    response = response.header("client-request-id", id);
                }
                response.caller = Some(format!("app {} sub {}", self.world.client_id, grant.subject));
                response
            }
            Err(refusal) => refuse(&refusal, request, now),
        }
    }

    /// `OpenID` Connect discovery. All addresses are built from the Host header, so that they work through the proxy
    /// and without it.
    fn discovery(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
        let id = match tenant {
            "common" | "organizations" => "{tenantid}",
            known if known.eq_ignore_ascii_case(&self.world.tenant_id) => &self.world.tenant_id,
            unknown => return refuse(&Refusal::tenant(unknown), request, now),
        };
        let base = format!("https://{}/{tenant}", request.host);
        Response::json(
            200,
            &json!({
                "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                "jwks_uri": format!("{base}/discovery/v2.0/keys"),
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": format!("https://{}/{id}/v2.0", request.host),
                "request_uri_parameter_supported": false,
                "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
                "http_logout_supported": true,
                "frontchannel_logout_supported": true,
                "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
                "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "aud", "exp", "iat",
                    "auth_time", "acr", "nonce", "tid", "ver", "at_hash", "c_hash", "email"],
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
                "cloud_graph_host_name": "graph.windows.net",
                "msgraph_host": "graph.microsoft.com",
                "rbac_url": "https://pas.windows.net",
            }),
        )
    }

    /// The keys by which services check our access tokens.
    fn keys(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
        if tenant != "common" && !tenant.eq_ignore_ascii_case(&self.world.tenant_id) {
            return refuse(&Refusal::tenant(tenant), request, now);
        }
        Response::json(200, self.keys.jwks())
    }

    /// MSAL asks here whether an authority is one of Microsoft's. Ours is at home on loopback as well.
    fn instances(request: &Request, now: SystemTime) -> Response {
        let endpoint =
            request.query("authorization_endpoint").and_then(|endpoint| url::Url::parse(endpoint).ok());
        let Some(endpoint) = endpoint else {
            return refuse(&Refusal::instance(), request, now);
        };
        let host = endpoint.host_str().unwrap_or_default();
        let tenant = endpoint.path_segments().and_then(|mut segments| segments.next()).unwrap_or("common");
        if !ALIASES.contains(&host) && !["127.0.0.1", "localhost"].contains(&host) {
            return refuse(&Refusal::instance(), request, now);
        }
        let authority = endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Response::json(
            200,
            &json!({
                "tenant_discovery_endpoint": format!("https://{authority}/{tenant}/v2.0/.well-known/openid-configuration"),
                "api-version": "1.1",
                "metadata": [
                    {"preferred_network": PUBLIC, "preferred_cache": "login.windows.net", "aliases": ALIASES},
                ],
            }),
        )
    }
}

#[async_trait]
impl Service for Entra {
    fn name(&self) -> &'static str {
        "entra"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        let (_, rest) = split(&request.path)?;
        match (&request.method, rest) {
            (&Method::POST, "oauth2/v2.0/token") => Some("Entra_Token"),
            (&Method::GET, "v2.0/.well-known/openid-configuration") => Some("Entra_Discovery"),
            (&Method::GET, "discovery/v2.0/keys") => Some("Entra_Keys"),
            (&Method::GET, "discovery/instance") => Some("Entra_InstanceDiscovery"),
            _ => None,
        }
    }

    fn operations(&self) -> Vec<&'static str> {
        vec!["Entra_Token", "Entra_Discovery", "Entra_Keys", "Entra_InstanceDiscovery"]
    }

    async fn answer(&self, operation: &'static str, request: &Request) -> Response {
        let now = clock::now();
        let tenant = split(&request.path).map_or("", |(tenant, _)| tenant);
        let response = match operation {
            "Entra_Token" => self.token(tenant, request, now).await,
            "Entra_Discovery" => self.discovery(tenant, request, now),
            "Entra_Keys" => self.keys(tenant, request, now),
            _ => Self::instances(request, now),
        };
        response
            .header("Cache-Control", "no-store, no-cache")
            .header("Pragma", "no-cache")
            .header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            .header("X-Content-Type-Options", "nosniff")
    }
}

fn refuse(refusal: &Refusal, request: &Request, now: SystemTime) -> Response {
    refusal.response(now, correlation(request), &request.host)
}

/// `/{tenant}/{rest}`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// The id by which the client wants to find its request again.
fn correlation(request: &Request) -> Option<&str> {
    let id = request.header("client-request-id").or_else(|| request.query("client-request-id"))?;
    // It goes into a header and a body; what is no id is left out.
    (!id.is_empty() && id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        .then_some(id)
}
