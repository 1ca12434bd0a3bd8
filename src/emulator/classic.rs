//! Gitpod Classic: the part of its public API that hands out id tokens, and the supervisor inside the workspace.
//!
//! Without `gp` an agent asks the supervisor for a bearer and with it the API for a token. `sub` is the URL of the
//! workspace's context, so it differs for each branch.

use super::{
    connect_proto::{self as connect, ClassicGetIdToken, Codec},
    issuer::hash,
    jwt::SigningKey,
    wire::{Request, Response, Service},
    world::World,
};
use crate::{clock, error::Result, secret::Secret};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{sync::Arc, time::SystemTime};

/// `GITPOD_WORKSPACE_ID`.
pub const WORKSPACE: &str = "acme-payments-ab12cd34ef5";

/// `GITPOD_WORKSPACE_CONTEXT_URL`, and so the `sub` of its tokens.
pub const CONTEXT: &str = "https://github.com/acme/payments/tree/main";

const DISCOVERY: &str = "Classic_Discovery";
const KEYS: &str = "Classic_Keys";
const GET_ID_TOKEN: &str = "IdentityProviderService_GetIDToken";

/// The issuer of Classic's tokens, whose API is at `identity`.
pub(super) fn issuer(identity: &str) -> String {
    format!("{identity}/idp")
}

/// Classic's public API, behind the service "identity".
pub(super) struct Classic {
    world: Arc<World>,
    keys: Arc<SigningKey>,
    issuer: String,
    bearer: Vec<u8>,
}

impl Classic {
    pub(super) const OPERATIONS: [&'static str; 3] = [DISCOVERY, KEYS, GET_ID_TOKEN];

    pub(super) fn new(world: Arc<World>, keys: Arc<SigningKey>, identity: &str, bearer: &Secret) -> Self {
        Self { world, keys, issuer: issuer(identity), bearer: hash(bearer.expose()) }
    }

    pub(super) fn operation(request: &Request) -> Option<&'static str> {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/idp/.well-known/openid-configuration") => Some(DISCOVERY),
            (&Method::GET, "/idp/keys") => Some(KEYS),
            (_, "/gitpod.experimental.v1.IdentityProviderService/GetIDToken") => Some(GET_ID_TOKEN),
            _ => None,
        }
    }

    pub(super) fn answer(&self, operation: &str, request: &Request, now: SystemTime) -> Response {
        match operation {
            DISCOVERY => self.discovery(),
            KEYS => Response::json(200, self.keys.jwks()),
            _ => self.get_id_token(request, now).unwrap_or_else(|refusal| refusal),
        }
    }

    /// Classic names endpoints that it does not have, since the specification demands them.
    fn discovery(&self) -> Response {
        let nowhere = format!("{}/not-supported", self.issuer);
        Response::json(
            200,
            &json!({
                "issuer": self.issuer,
                "authorization_endpoint": nowhere,
                "token_endpoint": nowhere,
                "userinfo_endpoint": nowhere,
                "jwks_uri": format!("{}/keys", self.issuer),
                "scopes_supported": ["openid", "profile", "email", "phone", "address", "offline_access"],
                "response_types_supported": ["code", "id_token", "id_token token"],
                "grant_types_supported": ["authorization_code", "implicit"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
        )
    }

    /// The checks in Classic's order: who asks, for which workspace, for whom.
    fn get_id_token(&self, request: &Request, now: SystemTime) -> Result<Response, Response> {
        let codec = connect::codec(request)?;
        let refuse = |code, message| Err(connect::error(code, message));
        match request.bearer() {
            Some(bearer) if hash(bearer) == self.bearer => {}
            Some(_) => return refuse("unauthenticated", "invalid access token"),
            None => {
                let message = "No access token or cookie credentials available on request.";
                return refuse("unauthenticated", message);
            }
        }
        let message = match codec {
            Codec::Json => from_json(&request.body),
            Codec::Proto => connect::decode_classic(&request.body),
        };
        let Some(message) = message else {
            return refuse("invalid_argument", "cannot read the request message");
        };
        if message.workspace_id.is_empty() {
            return refuse("invalid_argument", "Empty workspace id specified");
        }
        if message.audience.is_empty() {
            return refuse("invalid_argument", "Must have at least one audience entry");
        }
        if message.workspace_id != WORKSPACE {
            return refuse("not_found", "workspace not found");
        }
        let token = self.token(&message.audience, now).map_err(|error| {
            tracing::error!(%error, "Classic cannot sign a token");
            connect::error("internal", "cannot sign ID token")
        })?;
        Ok(Response { caller: Some(format!("workspace {WORKSPACE}")), ..connect::token(codec, &token) })
    }

    /// A token for `audience` from `now` on.
    fn token(&self, audience: &[String], now: SystemTime) -> Result<String> {
        let issued = clock::unix(now);
        let mut claims = json!({
            "iss": self.issuer,
            "sub": CONTEXT,
            "aud": audience,
            "iat": issued,
            "auth_time": issued,
            "exp": issued + self.world.id_token_life.as_secs().max(1),
            // It belongs to no code; Classic hashes a secret of its own.
            "c_hash": URL_SAFE_NO_PAD.encode(&hash(&self.issuer)[..16]),
            "name": "Jane Dev",
            "email": "jane@acme.example",
            "email_verified": true,
            "user_id": "5b0e1c1e-0000-4000-8000-000000000001",
            "org_id": "7c1f2d2f-0000-4000-8000-000000000002",
            "context": CONTEXT,
            "workspace_id": WORKSPACE,
            "repository": "https://github.com/acme/payments.git",
        });
        if let Some(first) = audience.first() {
            claims["azp"] = json!(first);
        }
        self.keys.sign(&claims)
    }
}

/// The request in protobuf's JSON form, in which a name may be in either spelling.
fn from_json(body: &[u8]) -> Option<ClassicGetIdToken> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let body = body.as_object()?;
    let workspace_id = match body.get("workspaceId").or_else(|| body.get("workspace_id")) {
        None | Some(Value::Null) => String::new(),
        Some(id) => id.as_str()?.to_owned(),
    };
    Some(ClassicGetIdToken { workspace_id, audience: connect::texts(body.get("audience"))? })
}

/// The service "supervisor": what listens on `SUPERVISOR_ADDR` inside the workspace. Whoever reaches it is trusted.
pub(super) struct Supervisor {
    bearer: Secret,
    /// The hosts whose tokens it has: Gitpod's own, and the emulator's identity service.
    hosts: [String; 3],
}

impl Supervisor {
    pub(super) fn new(bearer: Secret, identity_port: u16) -> Self {
        let local = |name: &str| format!("{name}:{identity_port}");
        Self { bearer, hosts: ["gitpod.io".to_owned(), local("127.0.0.1"), local("localhost")] }
    }

    /// `…/token/{kind}/{host}/{scopes}`, the scopes separated by commas.
    fn token(&self, path: &str) -> Response {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let mut parts = path.strip_prefix(TOKENS).unwrap_or_default().splitn(3, '/');
        let [kind, host, scopes] = [(); 3].map(|()| parts.next().unwrap_or_default());
        let scopes: Vec<_> = scopes.split(',').filter(|scope| !scope.is_empty()).collect();
        let may = scopes.iter().all(|scope| SCOPES.contains(scope));
        if kind != "gitpod" || !self.hosts.iter().any(|known| known == host) || !may {
            let body = json!({"code": 5, "message": "no token available", "details": []});
            return Response::new(404, body.to_string()).header("Content-Type", "application/json");
        }
        let body = json!({"token": self.bearer.expose(), "user": "gitpod", "scope": scopes});
        let response = Response::new(200, body.to_string()).header("Content-Type", "application/json");
        Response { caller: Some(format!("workspace {WORKSPACE}")), ..response }
    }
}

const TOKENS: &str = "/_supervisor/v1/token/";

/// What a workspace's own token may be used for, as far as it matters here.
const SCOPES: [&str; 4] =
    ["function:getWorkspace", "function:getLoggedInUser", "function:getIDToken", "resource:default"];

#[async_trait]
impl Service for Supervisor {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        (request.method == Method::GET && request.path.starts_with(TOKENS)).then_some("Supervisor_GetToken")
    }

    fn operations(&self) -> Vec<&'static str> {
        vec!["Supervisor_GetToken"]
    }

    async fn answer(&self, _operation: &'static str, request: &Request) -> Response {
        self.token(&request.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::{jwt, testing::request};

    const PATH: &str = "/gitpod.experimental.v1.IdentityProviderService/GetIDToken";
    const NOW: u64 = 1_795_478_400;

    fn classic() -> Classic {
        let keys = Arc::new(SigningKey::generate().unwrap());
        Classic::new(Arc::default(), keys, "https://127.0.0.1:1", &"the-bearer".parse().unwrap())
    }

    fn ask(codec: &str, body: impl Into<bytes::Bytes>) -> Request {
        request("POST", PATH)
            .with_header("content-type", codec)
            .with_header("authorization", "Bearer the-bearer")
            .with_body(body)
    }

    fn answer(classic: &Classic, request: &Request) -> Response {
        let operation = Classic::operation(request).unwrap();
        classic.answer(operation, request, clock::from_unix(NOW))
    }

    #[test]
    fn both_codecs_give_the_token_of_the_samples() {
        let classic = classic();
        let body = format!(r#"{{"workspaceId":"{WORKSPACE}","audience":["a","b"]}}"#);
        let json = answer(&classic, &ask("application/json", body));
        let proto = [b"\x0a\x19", WORKSPACE.as_bytes(), b"\x12\x01a\x12\x01b"].concat();
        let proto = answer(&classic, &ask("application/proto", proto));
        assert_eq!((json.status, proto.status), (200, 200));
        let body: Value = serde_json::from_slice(&json.body).unwrap();
        let token = body["token"].as_str().unwrap();
        assert_eq!(proto.body, connect::token(Codec::Proto, token).body);

        let discovery = answer(&classic, &request("GET", "/idp/.well-known/openid-configuration"));
        let discovery: Value = serde_json::from_slice(&discovery.body).unwrap();
        assert_eq!(discovery["jwks_uri"], "https://127.0.0.1:1/idp/keys");
        let keys = answer(&classic, &request("GET", "/idp/keys"));
        let keys: Value = serde_json::from_slice(&keys.body).unwrap();
        let claims = jwt::verify(token, &keys).unwrap().claims;
        assert_eq!(claims["iss"], discovery["issuer"]);
        assert_eq!((&claims["sub"], &claims["aud"]), (&json!(CONTEXT), &json!(["a", "b"])));
        assert_eq!((&claims["azp"], &claims["exp"]), (&json!("a"), &json!(NOW + 3600)));
        assert_eq!(claims["c_hash"].as_str().unwrap().len(), 22);
    }

    #[test]
    fn refusals_are_connects() {
        let classic = classic();
        let good = format!(r#"{{"workspace_id":"{WORKSPACE}","audience":["a"]}}"#);
        let plain = |body: &str| ask("application/json", body.to_owned());
        let mut anonymous = plain(&good);
        anonymous.headers.remove("authorization");
        for (request, status, code) in [
            (plain(&good), 200, ""),
            (anonymous, 401, "unauthenticated"),
            (plain(&good).with_header("authorization", "Bearer other"), 401, "unauthenticated"),
            (plain(r#"{"audience":["a"]}"#), 400, "invalid_argument"),
            (plain(&format!(r#"{{"workspaceId":"{WORKSPACE}"}}"#)), 400, "invalid_argument"),
            (plain(r#"{"workspaceId":7}"#), 400, "invalid_argument"),
            (plain(r#"{"workspaceId":"other","audience":["a"]}"#), 404, "not_found"),
            (plain(""), 400, "invalid_argument"),
            (ask("application/proto", &b"\x0a"[..]), 400, "invalid_argument"),
            (ask("text/plain", good.clone()), 415, ""),
            (request("GET", PATH), 405, ""),
        ] {
            let answer = answer(&classic, &request);
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            assert_eq!((answer.status, body["code"].as_str().unwrap_or_default()), (status, code));
        }
    }

    #[test]
    fn the_supervisor_hands_out_its_bearer_for_its_own_hosts() {
        let supervisor = Supervisor::new("the-bearer".parse().unwrap(), 4443);
        for (rest, status) in [
            ("gitpod/gitpod.io/function:getWorkspace", 200),
            ("gitpod/127.0.0.1:4443/function%3AgetWorkspace,function:getIDToken", 200),
            ("gitpod/localhost:4443/", 200),
            ("gitpod/localhost:4443", 200),
            ("gitpod/evil.example/function:getWorkspace", 404),
            ("gitpod/gitpod.io/function:deleteAccount", 404),
            ("git/gitpod.io/", 404),
            ("", 404),
        ] {
            let request = request("GET", &format!("/_supervisor/v1/token/{rest}"));
            assert_eq!(supervisor.operation(&request), Some("Supervisor_GetToken"));
            let answer = supervisor.token(&request.path);
            assert_eq!(answer.status, status, "{rest}");
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["token"] == "the-bearer", status == 200);
        }
        assert_eq!(supervisor.operation(&request("POST", "/_supervisor/v1/token/gitpod/gitpod.io/")), None);
    }
}
