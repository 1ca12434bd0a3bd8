//! The Azure Instance Metadata Service of a machine with one user-assigned managed identity: its tokens.
//!
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>. It speaks plain
//! HTTP and asks for no secret: whoever runs on the machine is the identity. So it refuses what a confused proxy or
//! browser could send for somebody else: requests without the header `Metadata`, and forwarded ones.
//!
//! Tokens for `api://AzureADTokenExchange` serve as federated assertions. Their issuer is the emulator's own authority,
//! since nobody could fetch the real one's keys here, and their audience is that URI, where Entra puts the id of the
//! application behind it.

use super::{
    issuer::ENTRA_AUDIENCE,
    jwt::SigningKey,
    key_vault,
    wire::{Request, Response, Service},
    world::World,
};
use crate::{clock, error::Result, lease::random};
use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

const PATH: &str = "/metadata/identity/oauth2/token";
const TOKEN: &str = "Imds_Token";

/// The versions of the API that have this operation, newest first.
const VERSIONS: [&str; 12] = [
    "2023-11-15",
    "2023-07-01",
    "2021-12-13",
    "2021-02-01",
    "2020-09-01",
    "2020-06-01",
    "2019-11-01",
    "2019-08-15",
    "2019-08-01",
    "2018-10-01",
    "2018-04-02",
    "2018-02-01",
];

/// How long a managed identity's tokens live.
const LIFE: Duration = Duration::from_hours(24);

/// How far back Entra dates its tokens.
const BACKDATED: u64 = 300;

/// The issuer of the tokens that serve as assertions.
pub(super) fn issuer(authority: &str, tenant: &str) -> String {
    format!("{authority}/{tenant}/v2.0")
}

/// The service "imds".
pub(super) struct Imds {
    world: Arc<World>,
    entra_keys: Arc<SigningKey>,
    authority: String,
}

impl Imds {
    /// Tokens are Entra's: signed with its keys, and with `authority` as issuer where they are assertions.
    pub(super) fn new(world: Arc<World>, entra_keys: Arc<SigningKey>, authority: String) -> Self {
        Self { world, entra_keys, authority }
    }

    fn token(&self, request: &Request, now: SystemTime) -> Response {
        let asked = check(request, &self.world).and_then(|resource| {
            self.issue(resource, now).map_err(|error| {
                tracing::error!(%error, "IMDS cannot issue a token");
                refusal(500, "unknown", "Failed to retrieve token from the Active directory")
            })
        });
        match asked {
            Ok(body) => {
                let caller = format!("workspace {}", self.world.managed_identity.object_id);
                Response { caller: Some(caller), ..Response::json(200, &body) }
            }
            Err(refusal) => refusal,
        }
    }

    /// The answer's numbers are texts.
    fn issue(&self, resource: Resource<'_>, now: SystemTime) -> Result<Value> {
        let life = self.world.access_token_life.unwrap_or(LIFE).as_secs().max(1);
        let (from, until) = (clock::unix(now).saturating_sub(BACKDATED), clock::unix(now) + life);
        let (tenant, identity) = (&self.world.tenant_id, &self.world.managed_identity);
        let is_assertion = resource.audience == ENTRA_AUDIENCE;
        let own = format!("https://sts.windows.net/{tenant}/");
        let (issuer, version, app, proof) = if is_assertion {
            (issuer(&self.authority, tenant), "2.0", "azp", "azpacr")
        } else {
            (own.clone(), "1.0", "appid", "appidacr")
        };
        let mut claims = json!({
            "aud": resource.audience,
            "iss": issuer,
            "iat": from,
            "nbf": from,
            "exp": until,
            "idp": own,
            "idtyp": "app",
            "oid": identity.object_id,
            "sub": identity.object_id,
            "tid": tenant,
            "ver": version,
            "xms_mirid": self.world.managed_identity_id(),
        });
        claims[app] = json!(identity.client_id);
        // How the application proved itself: 2 is a certificate, which the platform holds for it.
        claims[proof] = json!("2");
        if resource.audience == self.world.api_audience {
            claims["roles"] = json!(["Echo.Call"]);
        }
        Ok(json!({
            "access_token": self.entra_keys.sign(&claims)?,
            "client_id": identity.client_id,
            "expires_in": life.to_string(),
            "expires_on": until.to_string(),
            "ext_expires_in": life.to_string(),
            "not_before": from.to_string(),
            "resource": resource.asked,
            "token_type": "Bearer",
        }))
    }
}

/// What a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resource<'a> {
    /// As the request names it.
    asked: &'a str,
    /// As the token will: without a slash at the end.
    audience: &'a str,
}

/// Checks a request; gives the resource.
fn check<'a>(request: &'a Request, world: &World) -> Result<Resource<'a>, Response> {
    if !request.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(refusal(400, "invalid_request", "Required metadata header not specified"));
    }
    if request.headers.contains_key("x-forwarded-for") {
        return Err(refusal(400, "invalid_request", "Requests must not contain the header X-Forwarded-For"));
    }
    if !request.query("api-version").is_some_and(|version| VERSIONS.contains(&version)) {
        let error = "Bad request. api-version is invalid or was not specified in the request. For more information \
                     refer to aka.ms/azureimds";
        let body = json!({"error": error, "newest-versions": VERSIONS[..3]});
        return Err(Response::json(400, &body));
    }
    let Some(asked) = request.query("resource").filter(|resource| !resource.is_empty()) else {
        return Err(refusal(400, "invalid_request", "Required audience parameter not specified"));
    };
    let identity = &world.managed_identity;
    let same = |name: &str, own: &str| request.query(name).is_none_or(|id| id.eq_ignore_ascii_case(own));
    let resource_id = world.managed_identity_id();
    // Newer clients say msi_res_id, which is the documented name; both are taken.
    let known = same("client_id", &identity.client_id)
        && same("object_id", &identity.object_id)
        && same("mi_res_id", &resource_id)
        && same("msi_res_id", &resource_id);
    if !known {
        return Err(refusal(400, "invalid_request", "Identity not found"));
    }
    let audience = asked.strip_suffix('/').unwrap_or(asked);
    let resources =
        [&world.api_audience, "https://management.azure.com", key_vault::AUDIENCE, ENTRA_AUDIENCE];
    if !resources.contains(&audience) {
        let text = format!(
            "AADSTS500011: The resource principal named {asked} was not found in the tenant named {}. This can happen \
             if the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant. You might have sent your authentication request to the wrong tenant.",
            world.tenant_id
        );
        return Err(refusal(400, "invalid_resource", &text));
    }
    Ok(Resource { asked, audience })
}

fn refusal(status: u16, error: &str, description: &str) -> Response {
    Response::json(status, &json!({"error": error, "error_description": description}))
}

#[async_trait]
impl Service for Imds {
    fn name(&self) -> &'static str {
        "imds"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        (request.method == Method::GET && request.path == PATH).then_some(TOKEN)
    }

    fn operations(&self) -> Vec<&'static str> {
        vec![TOKEN]
    }

    async fn answer(&self, _operation: &'static str, request: &Request) -> Response {
        let request_id = {
            let mut bits = [0; 16];
            getrandom::fill(&mut bits).map(|()| random::hex(&bits)).unwrap_or_default()
        };
        self.token(request, clock::now()).header("x-ms-request-id", request_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::{jwt, testing::request};

    const NOW: u64 = 1_795_478_400;

    fn imds() -> Imds {
        let keys = Arc::new(SigningKey::generate().unwrap());
        Imds::new(Arc::default(), keys, "https://127.0.0.1:2".to_owned())
    }

    fn ask(query: &str) -> Request {
        request("GET", &format!("{PATH}?{query}")).with_header("metadata", "true")
    }

    fn claims(imds: &Imds, resource: &str) -> (Value, Value) {
        let answer =
            imds.token(&ask(&format!("api-version=2018-02-01&resource={resource}")), clock::from_unix(NOW));
        assert_eq!(answer.status, 200);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let token = body["access_token"].as_str().unwrap();
        let claims = jwt::verify(token, imds.entra_keys.jwks()).unwrap().claims;
        (body, claims)
    }

    #[test]
    fn a_token_is_the_managed_identitys() {
        let imds = imds();
        let identity = &imds.world.managed_identity;
        for (resource, audience) in [
            ("https://management.azure.com/", "https://management.azure.com"),
            ("https://vault.azure.net", "https://vault.azure.net"),
            ("api://echo", "api://echo"),
        ] {
            let (body, claims) = claims(&imds, resource);
            assert_eq!(body["resource"], resource);
            assert_eq!(body["expires_in"], "86400");
            assert_eq!(body["expires_on"], (NOW + 86_400).to_string());
            assert_eq!(body["not_before"], (NOW - 300).to_string());
            assert_eq!(body["client_id"], identity.client_id.as_str());
            assert_eq!(claims["aud"], audience);
            assert_eq!(
                (&claims["sub"], &claims["appid"]),
                (&json!(identity.object_id), &json!(identity.client_id))
            );
            assert_eq!(claims["idtyp"], "app");
            assert_eq!(claims["roles"].is_array(), audience == "api://echo");
        }
    }

    #[test]
    fn an_assertion_names_the_authority_that_serves_its_keys() {
        let imds = imds();
        let (_, claims) = claims(&imds, ENTRA_AUDIENCE);
        assert_eq!(claims["iss"], issuer("https://127.0.0.1:2", &imds.world.tenant_id));
        assert_eq!(claims["aud"], ENTRA_AUDIENCE);
    }

    #[test]
    fn refusals_are_in_imdss_words() {
        let world = World::default();
        let good = "api-version=2018-02-01&resource=api://echo";
        let refused = |request: &Request| {
            let refusal = check(request, &world).err()?;
            let body: Value = serde_json::from_slice(&refusal.body).unwrap();
            let words =
                body["error_description"].as_str().or_else(|| body["error"].as_str()).unwrap().to_owned();
            Some((refusal.status, words))
        };
        let plain = request("GET", &format!("{PATH}?{good}"));
        let header = Some((400, "Required metadata header not specified".to_owned()));
        assert_eq!(refused(&plain), header);
        assert_eq!(refused(&plain.with_header("metadata", "false")), header);
        for (request, words) in [
            (ask(good).with_header("x-forwarded-for", "192.0.2.1"), "X-Forwarded-For"),
            (ask("resource=api://echo"), "api-version is invalid or was not specified"),
            (ask("api-version=2017-01-01&resource=api://echo"), "api-version is invalid"),
            (ask("api-version=2018-02-01"), "Required audience parameter not specified"),
            (
                ask("api-version=2018-02-01&resource=api://other"),
                "AADSTS500011: The resource principal named api://other",
            ),
            (ask(&format!("{good}&client_id=other")), "Identity not found"),
            (ask(&format!("{good}&object_id={}", world.managed_identity.client_id)), "Identity not found"),
            (ask(&format!("{good}&msi_res_id=/subscriptions/x")), "Identity not found"),
        ] {
            let (status, said) = refused(&request).unwrap();
            assert!(status == 400 && said.contains(words), "{said}");
        }
        let identity = &world.managed_identity;
        let id = world.managed_identity_id();
        for (name, own) in
            [("client_id", &identity.client_id), ("object_id", &identity.object_id), ("mi_res_id", &id)]
        {
            assert_eq!(refused(&ask(&format!("{good}&{name}={own}"))), None, "{name}");
        }
    }
}
