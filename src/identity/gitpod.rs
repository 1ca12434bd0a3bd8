//! Source `gitpod`: Gitpod Classic's id token, from the CLI `gp`; where that is missing, as in a nested container, in the
//! way that `gp` itself takes.
//!
//! That way is in two steps: the supervisor, which listens inside the workspace and trusts whoever reaches it, gives a bearer;
//! with it Gitpod's API gives the token. `POST {api}/gitpod.experimental.v1.IdentityProviderService/GetIDToken`, Connect's
//! unary JSON.

use super::{IdToken, Miss, TokenSource, claims, cli::Runner, refusal};
use crate::{
    clock,
    config::endpoint,
    error::{Class, Error, Result},
    http::{self as client, answer},
};
use ::http::{HeaderValue, Request, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

const MARK: &str = "GITPOD_WORKSPACE_ID";
const HOST: &str = "GITPOD_HOST";
const SUPERVISOR: &str = "SUPERVISOR_ADDR";

const METHOD: &str = "gitpod.experimental.v1.IdentityProviderService/GetIDToken";

/// What the bearer has to be good for: the least that the API looks at.
const SCOPE: &str = "function:getWorkspace";

/// Where the supervisor listens, on all addresses of the workspace.
const USUAL_PORT: u16 = 22999;

/// What `gp` says whatever went wrong on the way: it hands the empty answer to a parser of tokens.
const HIDDEN: &str = "invalid number of segments";

/// What mends most of it.
const GP: &str = "put /usr/bin back on the PATH, where the workspace has gp";

/// Gitpod Classic, known by `GITPOD_WORKSPACE_ID`.
pub struct Gitpod {
    /// The API, if that was said; else it is known by `GITPOD_HOST`.
    url: Option<Url>,
    http: client::Client,
    runner: Runner,
}

impl Gitpod {
    /// The source that runs `gp`, or asks the API, at `url` unless that is Gitpod's own, through `http`.
    pub fn new(url: Option<&Url>, http: client::Client, runner: Runner) -> Self {
        Self { url: url.cloned(), http, runner }
    }

    /// Without the CLI.
    async fn ask(&self, workspace: &str, audience: &str) -> Result<IdToken> {
        let host = self.host()?;
        let api = match &self.url {
            Some(url) => endpoint::under(url, METHOD),
            None => endpoint::under(&https(&format!("api.{host}"))?, METHOD),
        };
        let bearer = self.bearer(&host).await?;
        let body = json!({ "workspaceId": workspace, "audience": [audience] }).to_string();
        let request = Request::post(api.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &bearer)
            .body(Bytes::from(body));
        let place = api.host_str().unwrap_or_default();
        let token: Answer = self.send(&api, place, request, &bearer, "check identity.url").await?;
        claims::read(&Zeroizing::new(token.token), &format!("what {place} gave"))
    }

    /// Gitpod's host, such as `gitpod.io`, of the URL or the name in `GITPOD_HOST`.
    fn host(&self) -> Result<String> {
        let Some(text) = self.runner.variable(HOST) else {
            return Err(Error::new(Class::Config, "Gitpod Classic gives no id token: gp is not on the PATH")
                .why(format!(
                    "{MARK} says that this is Gitpod Classic, and without {HOST} its API is not known"
                ))
                .fix(GP));
        };
        let text = if text.contains("://") { text } else { format!("https://{text}") };
        let url = Url::parse(&text).ok().filter(|url| url.scheme() == "https");
        let host = url.map(|url| url[url::Position::BeforeHost..url::Position::AfterPort].to_owned());
        host.filter(|host| !host.is_empty()).ok_or_else(|| {
            Error::new(Class::Config, format!("the variable {HOST} holds no host"))
                .fix("leave it as Gitpod set it, such as https://gitpod.io")
        })
    }

    /// The workspace's bearer for the API, as the supervisor gives it.
    async fn bearer(&self, host: &str) -> Result<HeaderValue> {
        // It may be told by another address of this machine; over plain http we speak to loopback only.
        let port = self.runner.variable(SUPERVISOR);
        let port = port.and_then(|address| address.rsplit_once(':')?.1.parse().ok()).unwrap_or(USUAL_PORT);
        let url = format!("http://localhost:{port}/_supervisor/v1/token/gitpod/{host}/{SCOPE}");
        let url = Url::parse(&url).map_err(|error| {
            Error::new(Class::Config, format!("the variable {HOST} holds no host")).why(error.to_string())
        })?;
        let request = Request::get(url.as_str()).body(Bytes::new());
        let none = HeaderValue::from_static("");
        let fix = format!("run inside the workspace, or {GP}");
        let answer: Answer = self.send(&url, "the workspace's supervisor", request, &none, &fix).await?;
        let token = Zeroizing::new(answer.token);
        let header = Zeroizing::new(format!("Bearer {}", *token));
        let mut header = HeaderValue::from_str(&header).map_err(|_| {
            Error::new(Class::Unavailable, "the workspace's supervisor gave something that is no bearer")
                .fix(GP)
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Sends `request` to `url`, called `place` in messages. `sent` is the bearer in it.
    async fn send<T: DeserializeOwned>(
        &self,
        url: &Url,
        place: &str,
        request: ::http::Result<Request<Bytes>>,
        sent: &HeaderValue,
        fix: &str,
    ) -> Result<T> {
        let request = request.map_err(|error| {
            Error::new(Class::Config, format!("{place} cannot be asked")).why(error.to_string()).fix(fix)
        })?;
        let answer = self.http.send(request).await.map_err(|mut error| {
            error.what = format!("no id token from {place}: {}", error.what);
            error
        })?;
        if answer.status().is_redirection() {
            return Err(refusal::redirect(place, url, &answer, |to| {
                format!("if you trust {to}, set identity.url to it")
            }));
        }
        if answer.status() != StatusCode::OK {
            let words = serde_json::from_slice::<Refusal>(answer.body()).ok();
            let words = words.map(|refusal| refusal.message);
            let error = refusal::refusal(place, &answer, words.as_deref(), sent, clock::now());
            return Err(if error.is_transient() { error } else { error.fix(fix) });
        }
        serde_json::from_slice(answer.body()).map_err(|_| {
            Error::new(Class::Unavailable, format!("{place} answered something that holds no token"))
                .why(answer::outline(&answer))
                .fix(fix)
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

/// Both say it so: Connect's errors, and those of the supervisor's gateway.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[async_trait]
impl TokenSource for Gitpod {
    fn name(&self) -> &'static str {
        "gitpod"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        let Some(workspace) = self.runner.variable(MARK) else {
            return Err(Miss::NotHere(format!("{MARK} is not set")));
        };
        let Some(gp) = self.runner.on_path(&["gp"]) else {
            return self.ask(&workspace, audience).await.map_err(Miss::Broken);
        };
        let token = self.runner.id_token(&gp, &["idp", "token", "--audience", audience]).await;
        token.map_err(|miss| match miss {
            Miss::Broken(error) => Miss::Broken(explained(error, audience)),
            Miss::NotHere(what) => Miss::NotHere(what),
        })
    }
}

/// A host as a URL.
fn https(host: &str) -> Result<Url> {
    Url::parse(&format!("https://{host}/")).map_err(|error| {
        Error::new(Class::Config, format!("the variable {HOST} holds no host")).why(error.to_string())
    })
}

/// What `gp` should have said.
fn explained(error: Error, audience: &str) -> Error {
    if !error.why.as_ref().is_some_and(|why| why.contains(HIDDEN)) {
        return error;
    }
    let why = format!(
        "gp says \"{HIDDEN}\" whenever its request for the token failed, and hides the reason: Gitpod did not answer within \
         5 s, or does not give this workspace a token"
    );
    error
        .why(why)
        .fix(format!("see whether it goes away, and else run by hand: gp idp token --audience {audience}"))
}

#[cfg(test)]
mod tests;
