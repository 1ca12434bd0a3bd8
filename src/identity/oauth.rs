//! An application at Entra that people sign in to: a public client, which has no secret (RFC 6749, 2.1), and what the
//! token endpoint answers it.

use super::{IdToken, claims};
use crate::{
    clock,
    config::endpoint,
    error::{Class, Error, Result},
    http::{
        Client,
        answer::{is_bearer_token, outline, printable, retry_after},
    },
    secret::Secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

/// A life of more than ten years is not one.
const LONGEST: u64 = 10 * 366 * 24 * 3600;

/// The application.
pub(super) struct Application {
    pub(super) client_id: String,
    tenant: String,
    authority: Url,
    http: Client,
}

/// What somebody's sign-in, or its renewal, gives.
pub(super) struct Tokens {
    pub(super) access: Secret,
    pub(super) expires_at: SystemTime,
    pub(super) refresh_at: Option<SystemTime>,
    pub(super) refresh: Option<Secret>,
    pub(super) id: IdToken,
}

/// Why there are no tokens.
pub(super) enum Missing {
    /// The token endpoint refuses (RFC 6749, 5.2).
    Refused(Refusal),
    /// It gave no answer, or none that makes sense.
    Failed(Error),
}

impl Application {
    /// The application `client_id` of `tenant` at `authority`, which is https.
    pub(super) fn new(client_id: String, tenant: String, authority: Url, http: Client) -> Self {
        Self { client_id, tenant, authority, http }
    }

    /// One of its endpoints, such as `token`.
    pub(super) fn endpoint(&self, name: &str) -> Url {
        endpoint::under(&self.authority, &format!("{}/oauth2/v2.0/{name}", self.tenant))
    }

    /// Posts a form with `client_id` added.
    pub(super) async fn post(&self, name: &str, form: &[(&str, &str)]) -> Result<Response<Bytes>> {
        let id = [("client_id", self.client_id.as_str())];
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(id).extend_pairs(form).finish();
        let request = Request::post(self.endpoint(name).as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .map_err(|error| {
                Error::new(Class::Config, "identity.authority cannot be used").why(error.to_string())
            })?;
        self.http.send(request).await.map_err(|mut error| {
            error.what = format!("nobody can sign in: {}", error.what);
            error
        })
    }

    /// Asks the token endpoint. A request with a nonce gets an id token with the same.
    pub(super) async fn token(&self, form: &[(&str, &str)], nonce: Option<&str>) -> Result<Tokens, Missing> {
        // A token's life counts from before it was issued, so that ours never ends later.
        let asked_at = clock::now();
        let answer = self.post("token", form).await.map_err(Missing::Failed)?;
        if answer.status() != StatusCode::OK {
            return Err(Refusal::read(&answer, asked_at).map_or_else(Missing::Failed, Missing::Refused));
        }
        let tokens = Tokens::read(&answer, asked_at).and_then(|tokens| self.check(tokens, nonce));
        tokens.map_err(|why| {
            let what = "the answer to a sign-in holds no tokens that can be used";
            Missing::Failed(
                Error::new(Class::Unavailable, what)
                    .why(format!("{why}; {}", outline(&answer)))
                    .fix("check identity.authority, and whether a proxy or a portal stands between"),
            )
        })
    }

    /// The id token came from its issuer itself, over TLS: that stands for its signature (`OpenID` Connect Core, 3.1.3.7).
    fn check(&self, tokens: Tokens, nonce: Option<&str>) -> Result<Tokens, String> {
        if !tokens.id.claims.aud.contains(&self.client_id) {
            return Err("its id token is for another application".to_owned());
        }
        if nonce.is_some() && claims::nonce(tokens.id.token.expose()).as_deref() != nonce {
            return Err("its id token is of another sign-in".to_owned());
        }
        Ok(tokens)
    }
}

impl Tokens {
    fn read(answer: &Response<Bytes>, asked_at: SystemTime) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Body {
            token_type: String,
            access_token: String,
            expires_in: u64,
            refresh_in: Option<Value>,
            refresh_token: Option<String>,
            id_token: Option<String>,
        }
        let body: Body = serde_json::from_slice(answer.body()).map_err(|_| "it is not a token answer")?;
        let (access, refresh) = (Secret::new(body.access_token), body.refresh_token.map(Secret::new));
        let id = Zeroizing::new(body.id_token.ok_or("it has no id_token, although openid was asked for")?);
        if access.expose().is_empty() || !body.token_type.eq_ignore_ascii_case("Bearer") {
            return Err("its access_token is empty, or its token_type is not Bearer".to_owned());
        }
        if !is_bearer_token(access.expose()) {
            return Err("its access_token holds characters that no bearer token may hold".to_owned());
        }
        if !(1..=LONGEST).contains(&body.expires_in) {
            return Err("its expires_in is not a life".to_owned());
        }
        let claims = claims::parse(&id).map_err(|why| format!("its id_token cannot be read: {why}"))?;
        let refresh_in = body.refresh_in.as_ref().and_then(Value::as_u64);
        let refresh_in = refresh_in.filter(|wait| *wait < body.expires_in);
        Ok(Self {
            access,
            expires_at: asked_at + Duration::from_secs(body.expires_in),
            refresh_at: refresh_in.map(|wait| asked_at + Duration::from_secs(wait)),
            refresh,
            id: IdToken { token: Secret::new(id.to_string()), claims },
        })
    }
}

/// A refusal in OAuth's form, with Entra's own number.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Such as `authorization_pending`.
    pub(super) error: String,
    /// The first line of the description.
    description: String,
    /// The number behind `AADSTS`.
    code: Option<u64>,
    status: u16,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads any answer but a 200. Error: it is not a refusal in that form.
    pub(super) fn read(answer: &Response<Bytes>, now: SystemTime) -> Result<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: String,
            #[serde(default)]
            error_description: String,
            #[serde(default)]
            error_codes: Vec<u64>,
        }
        let (status, retry_after) = (answer.status().as_u16(), retry_after(answer.headers(), now));
        let Ok(body) = serde_json::from_slice::<Body>(answer.body()) else {
            let class = if status < 500 && status != 429 { Class::Config } else { Class::Unavailable };
            return Err(Error::new(class, "the answer to a sign-in makes no sense")
                .why(outline(answer))
                .fix("check identity.authority and identity.tenant_id")
                .retry_after(retry_after));
        };
        Ok(Self {
            retry_after,
            ..Self::of(&body.error, &body.error_description, body.error_codes.first(), status)
        })
    }

    /// One that came by other ways: as parameters of a redirect.
    pub(super) fn of(error: &str, description: &str, code: Option<&u64>, status: u16) -> Self {
        let in_words =
            || description.split_once("AADSTS")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        let line = description.lines().next().unwrap_or_default();
        Self {
            error: printable(error, 60),
            description: printable(line.split(" Trace ID:").next().unwrap_or_default(), 400),
            code: code.copied().or_else(in_words),
            status,
            retry_after: None,
        }
    }

    /// Whether only the person can mend it, by signing in again.
    pub(super) fn wants_a_person(&self) -> bool {
        let errors = ["invalid_grant", "interaction_required", "login_required", "consent_required"];
        errors.contains(&self.error.as_str())
    }

    /// The refusal as an error, with what mends it where that is known.
    /// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
    pub(super) fn into_error(self, application: &Application) -> Error {
        let (client, tenant) = (&application.client_id, &application.tenant);
        let why = if self.description.is_empty() { self.error.clone() } else { self.description.clone() };
        let error = |class, what: &str| Error::new(class, what).why(&*why);
        let error = match (self.code, self.error.as_str()) {
            (Some(7_000_218), _) => error(
                Class::Config,
                &format!("the application {client} does not let people sign in from here"),
            )
            .fix(format!("az ad app update --id {client} --is-fallback-public-client true")),
            (Some(700_016), _) => error(Class::Config, &format!("{tenant} has no application {client}"))
                .fix("check identity.client_id and identity.tenant_id, or entra's"),
            (Some(90_002), _) => error(Class::Config, &format!("there is no tenant {tenant}"))
                .fix("check identity.tenant_id, or entra.tenant_id"),
            (Some(65_004), _) | (_, "access_denied" | "authorization_declined") => {
                error(Class::Denied, "the sign-in was declined")
                    .fix("sign in when you are asked again, or start the agent again if it has ended")
            }
            (Some(65_001), _) => {
                error(Class::Denied, &format!("nobody has consented to what {client} asks for")).fix(format!(
                    "consent when signing in, or have an administrator do it: \
                         az ad app permission admin-consent --id {client}"
                ))
            }
            (_, "invalid_scope" | "invalid_resource") | (Some(500_011 | 70_011), _) => {
                error(Class::Config, "Entra does not know what was asked for")
                    .fix("check the credential's scope")
            }
            (_, "temporarily_unavailable" | "server_error") | (Some(90_033), _) => {
                error(Class::Unavailable, "nobody can sign in at the moment")
                    .fix("nothing: it is tried again")
            }
            _ if self.status == 429 || self.status >= 500 => {
                error(Class::Unavailable, "nobody can sign in at the moment")
                    .fix("nothing: it is tried again")
            }
            _ => error(Class::Denied, "Entra refused the sign-in")
                .fix("see what Entra says; the sign-in logs of the tenant say more"),
        };
        error.retry_after(self.retry_after)
    }
}

impl Missing {
    /// The failure, whatever it was.
    pub(super) fn into_error(self, application: &Application) -> Error {
        match self {
            Self::Refused(refusal) => refusal.into_error(application),
            Self::Failed(error) => error,
        }
    }
}

/// 256 bits from the system's random source, in base64url: a text that nobody guesses.
pub(super) fn random() -> Result<Secret> {
    let mut bits = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bits).map_err(|error| {
        Error::new(Class::Internal, "the system's random source gave nothing").why(error.to_string())
    })?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bits)))
}
