//! Source `ona`: the id token that Ona's API issues to an environment.
//!
//! `POST {url}/api/gitpod.v1.IdentityService/GetIDToken`, Connect's unary JSON, with the bearer that Ona puts into
//! each environment's file system. Where that file is not to be seen, as in a nested container, the CLI asks in our place:
//! `ona idp token`, formerly `gitpod idp token`.

use super::{IdToken, Miss, TokenSource, claims, cli::Runner, read::secret_file, refusal};
use crate::{
    clock,
    config::endpoint,
    error::{Class, Error, Result},
    http::{self as client, answer},
};
use ::http::{HeaderValue, Request, Response, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use std::{path::PathBuf, sync::LazyLock, time::SystemTime};
use url::Url;
use zeroize::Zeroizing;

const MARK: &str = "GITPOD_ENVIRONMENT_ID";

/// Where Ona is.
static USUAL: LazyLock<Url> =
    LazyLock::new(|| Url::parse("https://app.gitpod.io").expect("a constant that is a URL"));

const METHOD: &str = "api/gitpod.v1.IdentityService/GetIDToken";

/// Ona's API, or its CLI.
pub struct Ona {
    url: Url,
    host: String,
    bearer_file: PathBuf,
    http: client::Client,
    runner: Runner,
}

impl Ona {
    /// The source at `url`, unless that is `https://app.gitpod.io`, with the bearer in `bearer_file`; without that file,
    /// what `runner` finds.
    pub fn new(url: Option<&Url>, bearer_file: PathBuf, http: client::Client, runner: Runner) -> Self {
        let url = url.unwrap_or(&USUAL);
        let host = url.host_str().unwrap_or_default().to_owned();
        Self { url: endpoint::under(url, METHOD), host, bearer_file, http, runner }
    }

    /// The bearer as a header, if there is one. Read at each use: Ona replaces it.
    async fn bearer(&self) -> Result<Option<HeaderValue>, Miss> {
        let path = self.bearer_file.display();
        let text = secret_file(&self.bearer_file, "bearer_file").await.map_err(Miss::Broken)?;
        let Some(text) = text else { return Ok(None) };
        let bad = |what: &str| {
            Miss::Broken(
                Error::new(Class::Config, format!("bearer_file {path} {what}"))
                    .fix("it should hold the environment's token for Ona's API, and nothing else"),
            )
        };
        let bearer = text.trim();
        if bearer.is_empty() {
            return Err(bad("is empty"));
        }
        let header = Zeroizing::new(format!("Bearer {bearer}"));
        let mut header =
            HeaderValue::from_str(&header).map_err(|_| bad("holds characters that no token has"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Through the CLI, which knows its own way to Ona and finds its own bearer.
    async fn by_cli(&self, audience: &str) -> Result<IdToken, Miss> {
        let path = self.bearer_file.display();
        if self.runner.variable(MARK).is_none() {
            return Err(Miss::NotHere(format!("there is no bearer_file {path}, and {MARK} is not set")));
        }
        match self.runner.on_path(&["ona", "gitpod"]) {
            Some(cli) => self.runner.id_token(&cli, &["idp", "token", "--audience", audience]).await,
            None => Err(Miss::NotHere(format!(
                "there is no bearer_file {path}, and neither ona nor gitpod is on the PATH"
            ))),
        }
    }

    async fn ask(&self, audience: &str, bearer: HeaderValue) -> Result<IdToken> {
        let body = serde_json::json!({ "audience": [audience] }).to_string();
        let request = Request::post(self.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &bearer)
            .body(Bytes::from(body))
            .map_err(|error| {
                Error::new(Class::Config, "identity.url cannot be used").why(error.to_string())
            })?;
        let answer = self.http.send(request).await.map_err(|mut error| {
            error.what = format!("no id token from {}: {}", self.host, error.what);
            error
        })?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(&answer, &bearer, clock::now()));
        }
        let token = serde_json::from_slice::<Answer>(answer.body()).map_err(|_| {
            Error::new(Class::Unavailable, format!("{} answered something that holds no id token", self.host))
                .why(answer::outline(&answer))
                .fix("check that identity.url is the base of Ona's API")
        })?;
        claims::read(&Zeroizing::new(token.token), &format!("what {} gave", self.host))
    }

    /// Any answer but 200, in words.
    fn refusal(&self, answer: &Response<Bytes>, sent: &HeaderValue, now: SystemTime) -> Error {
        let host = &self.host;
        if answer.status().is_redirection() {
            // Ona's old address answers so.
            let fix = |place: &str| format!("if you trust {place}, set identity.url to it");
            return refusal::redirect(host, &self.url, answer, fix);
        }
        let words = serde_json::from_slice::<Refusal>(answer.body()).ok();
        let words = words.map(|refusal| format!("{}: {}", refusal.code, refusal.message));
        let mut error = refusal::refusal(host, answer, words.as_deref(), sent, now);
        let bearer = self.bearer_file.display();
        match answer.status().as_u16() {
            401 | 403 => {
                error.fix(format!("the bearer came from {bearer}: is it this environment's, and current?"))
            }
            404 => {
                error.what = format!("{host} has no GetIDToken (404)");
                error.fix("set identity.url to the base of Ona's API, such as https://app.gitpod.io")
            }
            400..=499 if error.class == Class::Config => {
                error.fix("check identity.audience and identity.url")
            }
            _ => error,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

/// Connect's error: `{"code": "unauthenticated", "message": "…"}`.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

#[async_trait]
impl TokenSource for Ona {
    fn name(&self) -> &'static str {
        "ona"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        match self.bearer().await? {
            Some(bearer) => self.ask(audience, bearer).await.map_err(Miss::Broken),
            None => self.by_cli(audience).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::testing::{self, Reply, Server},
        identity::testing::{broken, jwt, not_here, runner, stand_in},
    };
    use serde_json::json;

    /// The source in front of `server`, with a bearer file.
    fn source(server: &Server, folder: &tempfile::TempDir) -> Ona {
        let path = folder.path().join("bearer");
        std::fs::write(&path, "the-bearer\n").unwrap();
        Ona::new(Some(&server.url), path, server.client(), runner(&[]))
    }

    #[tokio::test]
    async fn asks_as_the_api_wants_it() {
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
        let body = json!({ "token": token }).to_string();
        let server = Server::start(move |_, _| Reply::json(200, &body)).await;
        let folder = tempfile::tempdir().unwrap();
        let found = source(&server, &folder)
            .fetch("api://AzureADTokenExchange")
            .await
            .map_err(|_| "no token")
            .unwrap();
        assert_eq!(found.token.expose(), token);
        let seen = &server.seen()[0];
        assert!(
            seen.head.starts_with("POST /api/gitpod.v1.IdentityService/GetIDToken HTTP/1.1\r\n"),
            "{}",
            seen.head
        );
        assert!(seen.head.contains("authorization: Bearer the-bearer\r\n"));
        assert!(seen.head.contains("content-type: application/json\r\n"));
        assert_eq!(seen.body, r#"{"audience":["api://AzureADTokenExchange"]}"#);
    }

    #[tokio::test]
    async fn refusals_and_nonsense() {
        type Case = (fn() -> Reply, Class, &'static str);
        let html = || testing::answer(200, &[("content-type", "text/html")], "<html>the-bearer");
        let cases: [Case; 8] = [
            (
                || {
                    Reply::Answer(testing::answer(
                        308,
                        &[("location", "https://app.gitpod.io/api/x?y=z")],
                        "",
                    ))
                },
                Class::Config,
                "127.0.0.1 redirects to app.gitpod.io: ",
            ),
            (
                || Reply::json(401, r#"{"code":"unauthenticated","message":"bad token"}"#),
                Class::Denied,
                "refused to give an id token (401): unauthenticated: bad token (the bearer came from /",
            ),
            (|| Reply::json(403, "{}"), Class::Denied, "(403): status 403, application/json, 2 bytes"),
            (|| Reply::json(404, ""), Class::Config, "has no GetIDToken"),
            (|| Reply::json(503, ""), Class::Unavailable, "failed to give an id token (503): status 503"),
            (
                || Reply::json(200, "{}"),
                Class::Unavailable,
                "holds no id token: status 200, application/json, 2 bytes",
            ),
            (|| Reply::json(200, r#"{"token":""}"#), Class::Config, "what 127.0.0.1 gave is empty"),
            (|| Reply::Bytes(Vec::new()), Class::Unavailable, "no id token from 127.0.0.1: 127.0.0.1:"),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (reply, class, words) in cases {
            let server = Server::start(move |_, _| reply()).await;
            let error = broken(source(&server, &folder).fetch("a").await);
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.class, class, "{error}");
            assert_eq!(server.seen().len(), 1, "{error}");
        }
        let server = Server::start(move |_, _| Reply::Answer(html())).await;
        let error = broken(source(&server, &folder).fetch("a").await).to_string();
        assert!(error.contains("text/html, 16 bytes") && !error.contains("the-bearer"), "{error}");
    }

    #[tokio::test]
    async fn a_wait_that_is_asked_for() {
        let server =
            Server::start(|_, _| Reply::Answer(testing::answer(429, &[("retry-after", "7")], ""))).await;
        let error = broken(source(&server, &tempfile::tempdir().unwrap()).fetch("a").await);
        assert_eq!((error.class, error.retry_after.map(|wait| wait.as_secs())), (Class::TryAgain, Some(7)));
    }

    #[tokio::test]
    async fn the_bearer_file() {
        let server = Server::start(|_, _| Reply::json(200, "{}")).await;
        let folder = tempfile::tempdir().unwrap();
        let source = source(&server, &folder);
        std::fs::write(&source.bearer_file, "two\nlines").unwrap();
        assert!(broken(source.fetch("a").await).what.ends_with("holds characters that no token has"));
        std::fs::write(&source.bearer_file, " \n").unwrap();
        assert!(broken(source.fetch("a").await).what.ends_with("is empty"));
        std::fs::remove_file(&source.bearer_file).unwrap();
        assert!(not_here(source.fetch("a").await).starts_with("there is no bearer_file /"));
        assert!(server.seen().is_empty());
    }

    #[tokio::test]
    async fn the_cli_where_there_is_no_bearer() {
        let server = Server::start(|_, _| Reply::json(401, "{}")).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let mut source = source(&server, &folder);
        source.runner = runner(&[(MARK, "e5f6"), ("PATH", &path)]);
        for name in ["gitpod", "ona"] {
            stand_in(folder.path(), name, "echo \"$0 $*\" >&2; exit 1");
        }
        let error = broken(source.fetch("a").await);
        assert_eq!(
            (error.class, server.seen().len()),
            (Class::Denied, 1),
            "a bearer that fails is no reason for the CLI"
        );
        std::fs::remove_file(&source.bearer_file).unwrap();
        for name in ["ona", "gitpod"] {
            let why = broken(source.fetch("a").await).why.unwrap();
            assert_eq!(why, format!("{path}/{name} idp token --audience a"));
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert!(not_here(source.fetch("a").await).ends_with("neither ona nor gitpod is on the PATH"));
        assert_eq!(server.seen().len(), 1);
    }
}
