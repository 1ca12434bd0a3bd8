//! The workspace's identity: Ona's `GetIDToken`, and the discovery and keys by which others check its tokens.
//!
//! `GetIDToken` is a unary Connect call: plain JSON, or protobuf as `application/proto`; its errors are JSON in both.

use super::{
    answer,
    classic::Classic,
    connect_proto::{self as connect, Codec},
    jwt::SigningKey,
    wire::{Request, Response, Service},
    world::World,
};
use crate::{clock, error::Result, secret::Secret};
use async_trait::async_trait;
use http::Method;
use ring::digest;
use serde_json::{Value, json};
use std::{sync::Arc, time::SystemTime};

/// The audience that Entra's federated credentials expect.
pub const ENTRA_AUDIENCE: &str = "api://AzureADTokenExchange";

const ORGANIZATION: &str = "a1b2c3d4-0000-4000-8000-000000000001";
const PROJECT: &str = "c9d0e1f2-0000-4000-8000-000000000005";
const ENVIRONMENT: &str = "e5f6a7b8-0000-4000-8000-000000000004";

/// The `sub` of the workspace's tokens: its organization and project, so that it is the same for each environment.
pub fn subject() -> String {
    format!("organization_id:{ORGANIZATION}:project_id:{PROJECT}")
}

/// The service "identity".
pub struct Issuer {
    world: Arc<World>,
    keys: Arc<SigningKey>,
    /// Its own address, which is the tokens' `iss`.
    url: String,
    /// SHA-256 of the bearer. The bearer itself is in the workspace's file alone.
    bearer: Vec<u8>,
    /// Gitpod Classic's API, at home on the same port.
    classic: Classic,
}

impl Issuer {
    /// An issuer at `url` (no trailing slash) that knows one workspace by its bearer, and by another one as Classic's.
    pub fn new(
        world: Arc<World>,
        keys: Arc<SigningKey>,
        url: String,
        bearer: &Secret,
        classic_bearer: &Secret,
    ) -> Self {
        let classic = Classic::new(world.clone(), keys.clone(), &url, classic_bearer);
        Self { world, keys, url, bearer: hash(bearer.expose()), classic }
    }

    /// A token for `audience` from `now` on. `version` 2 has the older subject, which names the environment too.
    pub fn token(&self, audience: &[String], version: u64, now: SystemTime) -> Result<String> {
        let issued = clock::unix(now);
        let subject = match version {
            2 => format!("org:{ORGANIZATION}/prj:{PROJECT}/env:{ENVIRONMENT}"),
            _ => subject(),
        };
        self.keys.sign(&json!({
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "iat": issued,
            "exp": issued + self.world.id_token_life.as_secs().max(1),
            "environment_id": ENVIRONMENT,
            "organization_id": ORGANIZATION,
            "project_id": PROJECT,
            "runner_id": "f3a4b5c6-0000-4000-8000-000000000007",
            "creator_principal": "user",
            "creator_id": "b3c4d5e6-0000-4000-8000-000000000003",
            "creator_email": "jane@acme.example",
            "creator_idp": "https://accounts.google.com",
            "creator_idp_claims": {"groups": ["engineering"]},
            "environment_initializers": [{"git": {"remote_uri": "https://github.com/acme/payments.git"}}],
        }))
    }

    fn discovery(&self) -> Response {
        Response::json(
            200,
            &json!({
                "issuer": self.url,
                "jwks_uri": format!("{}/.well-known/jwks.json", self.url),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
                "claims_supported": ["iss", "sub", "aud", "iat", "exp", "environment_id", "organization_id",
                    "project_id", "runner_id", "creator_principal", "creator_id", "creator_email"],
            }),
        )
    }

    fn get_id_token(&self, request: &Request, now: SystemTime) -> Response {
        let codec = match connect::codec(request) {
            Ok(codec) => codec,
            Err(refusal) => return refusal,
        };
        match request.bearer() {
            _ if request.repeats("authorization") => {
                return connect::error("unauthenticated", "more than one authorization header");
            }
            Some(bearer) if hash(bearer) == self.bearer => {}
            Some(_) => return connect::error("unauthenticated", "invalid token"),
            None => return connect::error("unauthenticated", "no authorization header"),
        }
        let message = match codec {
            Codec::Json => from_json(&request.body),
            Codec::Proto => connect::decode(&request.body),
        };
        let Some(message) = message else {
            return connect::error("invalid_argument", "cannot read the request message");
        };
        if message.audience.iter().all(String::is_empty) {
            return connect::error("invalid_argument", "audience is required");
        }
        let Ok(token) = self.token(&message.audience, message.version, now) else {
            return connect::error("internal", "cannot sign the token");
        };
        Response { caller: Some(format!("environment {ENVIRONMENT}")), ..connect::token(codec, &token) }
    }
}

#[async_trait]
impl Service for Issuer {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/.well-known/openid-configuration") => Some("Identity_Discovery"),
            (&Method::GET, "/.well-known/jwks.json") => Some("Identity_Jwks"),
            (_, "/api/gitpod.v1.IdentityService/GetIDToken") => Some("IdentityService_GetIDToken"),
            _ => Classic::operation(request),
        }
    }

    /// All below `/api/` are procedures, and at Classic's those of its packages, whose clients read Connect's errors.
    fn unknown(&self, request: &Request) -> Response {
        let path = request.path.as_str();
        match path
            .strip_prefix("/api/")
            .or_else(|| path.strip_prefix('/').filter(|path| path.starts_with("gitpod.")))
        {
            Some(procedure) => {
                connect::error("unimplemented", &format!("the emulator does not implement {procedure}"))
            }
            None => answer::not_implemented(self.name(), request),
        }
    }

    fn operations(&self) -> Vec<&'static str> {
        let own = ["Identity_Discovery", "Identity_Jwks", "IdentityService_GetIDToken"];
        [&own[..], &Classic::OPERATIONS].concat()
    }

    async fn answer(&self, operation: &'static str, request: &Request) -> Response {
        match operation {
            "Identity_Discovery" => self.discovery(),
            "Identity_Jwks" => Response::json(200, self.keys.jwks()),
            "IdentityService_GetIDToken" => self.get_id_token(request, clock::now()),
            classic => self.classic.answer(classic, request, clock::now()),
        }
    }
}

/// What is kept of a bearer.
pub(super) fn hash(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

/// The request in protobuf's JSON form: the enum by name or number, unknown members ignored.
fn from_json(body: &[u8]) -> Option<connect::GetIdToken> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let body = body.as_object()?;
    let audience = connect::texts(body.get("audience"))?;
    let version = match body.get("version") {
        None | Some(Value::Null) => 0,
        Some(Value::Number(number)) => number.as_u64()?,
        Some(Value::String(name)) => match name.as_str() {
            "ID_TOKEN_VERSION_UNSPECIFIED" => 0,
            "ID_TOKEN_VERSION_V1" => 1,
            "ID_TOKEN_VERSION_V2" => 2,
            _ => return None,
        },
        Some(_) => return None,
    };
    Some(connect::GetIdToken { audience, version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::{jwt, testing::request};

    const PATH: &str = "/api/gitpod.v1.IdentityService/GetIDToken";

    fn issuer() -> Issuer {
        let (bearer, other) = ("the-bearer".parse().unwrap(), "classics".parse().unwrap());
        let keys = Arc::new(SigningKey::generate().unwrap());
        Issuer::new(Arc::default(), keys, "https://127.0.0.1:1".to_owned(), &bearer, &other)
    }

    fn ask(codec: &str, body: impl Into<bytes::Bytes>) -> Request {
        request("POST", PATH)
            .with_header("content-type", codec)
            .with_header("authorization", "Bearer the-bearer")
            .with_body(body)
    }

    fn at() -> SystemTime {
        clock::from_unix(1_795_478_400)
    }

    #[test]
    fn both_codecs_give_the_same_kind_of_token() {
        let issuer = issuer();
        let json = issuer.get_id_token(&ask("application/json", r#"{"audience":["api://x"]}"#), at());
        let proto = issuer.get_id_token(&ask("application/proto", &b"\x0a\x07api://x"[..]), at());
        assert_eq!((json.status, proto.status), (200, 200));
        let body: Value = serde_json::from_slice(&json.body).unwrap();
        let token = body["token"].as_str().unwrap();
        assert_eq!(proto.body, connect::token(Codec::Proto, token).body);
        let claims = jwt::verify(token, issuer.keys.jwks()).unwrap().claims;
        assert_eq!(claims["iss"], "https://127.0.0.1:1");
        assert_eq!(claims["sub"], subject());
        assert_eq!(claims["aud"], json!(["api://x"]));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_795_478_400), &json!(1_795_482_000)));
    }

    #[test]
    fn version_2_has_the_older_subject() {
        let body = r#"{"audience":["a"],"version":"ID_TOKEN_VERSION_V2"}"#;
        let answer = issuer().get_id_token(&ask("application/json", body), at());
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let claims = jwt::peek(body["token"].as_str().unwrap()).unwrap().claims;
        assert!(claims["sub"].as_str().unwrap().starts_with("org:"));
    }

    #[test]
    fn refusals() {
        let issuer = issuer();
        let check = |request: &Request, status: u16, code: &str| {
            let answer = issuer.get_id_token(request, at());
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            assert_eq!((answer.status, body["code"].as_str().unwrap_or_default()), (status, code));
        };
        let json = "application/json";
        check(&ask(json, "{}"), 400, "invalid_argument");
        check(&ask(json, r#"{"audience":[""]}"#), 400, "invalid_argument");
        check(&ask(json, r#"{"audience":"a"}"#), 400, "invalid_argument");
        check(&ask(json, ""), 400, "invalid_argument");
        check(&ask("application/proto", ""), 400, "invalid_argument");
        check(&ask("text/plain", "{}"), 415, "");
        check(
            &ask(json, r#"{"audience":["a"]}"#).with_header("authorization", "Bearer other"),
            401,
            "unauthenticated",
        );
        let body = r#"{"audience":["a"]}"#;
        check(&ask(json, body).with_header("content-encoding", "gzip"), 501, "unimplemented");
        let plain = ask("Application/JSON; charset=utf-8", body).with_header("content-encoding", "Identity");
        check(&plain, 200, "");
        let mut twice = ask(json, r#"{"audience":["a"]}"#);
        twice.headers.append("authorization", "Bearer the-bearer".parse().unwrap());
        check(&twice, 401, "unauthenticated");
        check(&request("POST", PATH).with_header("content-type", json), 401, "unauthenticated");
        check(&request("GET", PATH), 405, "");
    }

    #[test]
    fn unknown_procedures_get_connects_error() {
        let unknown = |path: &str| {
            let request = request("POST", path);
            let issuer = issuer();
            assert_eq!(issuer.operation(&request), None);
            let answer = issuer.unknown(&request);
            assert_eq!(answer.status, 501);
            serde_json::from_slice::<Value>(&answer.body).unwrap()
        };
        let body = unknown("/api/gitpod.v1.EnvironmentService/ListEnvironments");
        assert_eq!(body["code"], "unimplemented");
        assert!(body["message"].as_str().unwrap().contains("gitpod.v1.EnvironmentService/ListEnvironments"));
        assert_eq!(
            unknown("/gitpod.experimental.v1.WorkspacesService/ListWorkspaces")["code"],
            "unimplemented"
        );
        assert_eq!(unknown("/elsewhere")["error"]["code"], "NotImplemented");
    }
}
