//! What Entra publishes: its endpoints, its keys, and which hosts are its own.

use super::{Entra, errors::Refusal, refuse};
use crate::emulator::wire::{Request, Response};
use serde_json::json;
use std::time::SystemTime;

/// Where clients that were not told otherwise expect Entra.
const PUBLIC: &str = "login.microsoftonline.com";

/// All names of the public cloud's Entra.
const ALIASES: [&str; 4] = [PUBLIC, "login.windows.net", "login.microsoft.com", "sts.windows.net"];

impl Entra {
    /// `OpenID` Connect discovery. All addresses are built from the Host header, so that they work through the proxy
    /// and without it.
    pub(super) fn discovery(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
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
    pub(super) fn keys(&self, tenant: &str, request: &Request, now: SystemTime) -> Response {
        if tenant != "common" && !tenant.eq_ignore_ascii_case(&self.world.tenant_id) {
            return refuse(&Refusal::tenant(tenant), request, now);
        }
        Response::json(200, self.keys.jwks())
    }

    /// MSAL asks here whether an authority is one of Microsoft's. Ours is at home on loopback as well.
    pub(super) fn instances(request: &Request, now: SystemTime) -> Response {
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
