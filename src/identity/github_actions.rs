//! Source `github-actions`: the id token that the runner's service issues to a job with `permissions: id-token: write`.
//!
//! `GET $ACTIONS_ID_TOKEN_REQUEST_URL&audience=…`, with the bearer in `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
//! <https://docs.github.com/actions/reference/security/oidc>

use super::{IdToken, Miss, TokenSource, claims, cli::Runner, refusal};
use crate::{
    clock,
    config::endpoint,
    error::{Class, Error, Result},
    http as client,
    http::answer,
};
use ::http::{HeaderValue, Request, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const BEARER: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// What makes GitHub set the two.
const PERMISSION: &str = "give the job `permissions: id-token: write`";

/// A job of GitHub Actions, known by the two variables.
pub struct GitHubActions {
    runner: Runner,
    http: client::Client,
}

impl GitHubActions {
    /// The source that asks through `http`.
    pub fn new(runner: Runner, http: client::Client) -> Self {
        Self { runner, http }
    }

    /// Where to ask, and with what.
    fn variables(&self) -> Result<(Url, HeaderValue), Miss> {
        let (url, bearer) = match (self.runner.variable(URL), self.runner.variable(BEARER)) {
            (Some(url), Some(bearer)) => (url, Zeroizing::new(bearer)),
            (None, None) if self.runner.is_true("GITHUB_ACTIONS") => {
                return Err(Miss::NotHere(format!(
                    "{URL} is not set, although GITHUB_ACTIONS is true: {PERMISSION}"
                )));
            }
            (None, None) => return Err(Miss::NotHere(format!("{URL} is not set"))),
            (url, _) => {
                let (here, missing) = if url.is_some() { (URL, BEARER) } else { (BEARER, URL) };
                let error = Error::new(
                    Class::Config,
                    "GitHub Actions gives no id token: half of what it takes is missing",
                );
                return Err(Miss::Broken(
                    error
                        .why(format!("{here} is set and {missing} is not"))
                        .fix(format!("{PERMISSION}, and pass both variables on to where the agent runs")),
                ));
            }
        };
        let bad = |variable: &str| {
            Miss::Broken(
                Error::new(
                    Class::Config,
                    format!("the variable {variable} holds nothing that GitHub would put there"),
                )
                .fix("leave it as the runner set it"),
            )
        };
        // The bearer is worth an identity: it goes nowhere unencrypted, but for a stand-in on this machine.
        let url = Url::parse(&url).ok().filter(endpoint::is_private).ok_or_else(|| bad(URL))?;
        let header = Zeroizing::new(format!("Bearer {}", bearer.trim()));
        let mut header = HeaderValue::from_str(&header).map_err(|_| bad(BEARER))?;
        header.set_sensitive(true);
        Ok((url, header))
    }

    async fn ask(&self, mut url: Url, bearer: HeaderValue, audience: &str) -> Result<IdToken> {
        let host = url.host_str().unwrap_or_default().to_owned();
        url.query_pairs_mut().append_pair("audience", audience);
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, &bearer)
            .body(Bytes::new())
            .map_err(|error| {
                Error::new(Class::Config, format!("{URL} cannot be used")).why(error.to_string())
            })?;
        let answer = self.http.send(request).await.map_err(|mut error| {
            error.what = format!("no id token from {host}: {}", error.what);
            error
        })?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                let fix = |_: &str| format!("{URL} has to be as the runner set it");
                return Err(refusal::redirect(&host, &url, &answer, fix));
            }
            status => {
                let words =
                    serde_json::from_slice::<Refusal>(answer.body()).ok().map(|refusal| refusal.message);
                let error = refusal::refusal(&host, &answer, words.as_deref(), &bearer, clock::now());
                return Err(if status.is_client_error() && error.class != Class::TryAgain {
                    error.fix(format!("{PERMISSION}; the bearer for it ends with the job"))
                } else {
                    error
                });
            }
        }
        let token = serde_json::from_slice::<Answer>(answer.body()).map_err(|_| {
            Error::new(Class::Unavailable, format!("{host} answered something that holds no id token"))
                .why(answer::outline(&answer))
                .fix(format!("{URL} has to be as the runner set it"))
        })?;
        claims::read(&Zeroizing::new(token.value), &format!("what {host} gave"))
    }
}

#[derive(Deserialize)]
struct Answer {
    value: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[async_trait]
impl TokenSource for GitHubActions {
    fn name(&self) -> &'static str {
        "github-actions"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        let (url, bearer) = self.variables()?;
        self.ask(url, bearer, audience).await.map_err(Miss::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::{
            Client, Options,
            testing::{self, Reply, Server},
        },
        identity::testing::{broken, jwt, not_here, runner},
    };
    use serde_json::json;

    fn source(variables: &[(&str, &str)], http: Client) -> GitHubActions {
        GitHubActions::new(runner(variables), http)
    }

    fn on(server: &Server) -> GitHubActions {
        source(
            &[(URL, &format!("{}token?api-version=2.0", server.url)), (BEARER, "the-bearer")],
            server.client(),
        )
    }

    #[tokio::test]
    async fn asks_as_the_toolkit_does() {
        let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
        let body = json!({"count": 1857, "value": token}).to_string();
        let server = Server::start(move |_, _| Reply::json(200, &body)).await;
        let found = on(&server).fetch("api://x&y=z").await.map_err(|_| "no token").unwrap();
        assert_eq!(found.token.expose(), token);
        let head = &server.seen()[0].head;
        let line = "GET /token?api-version=2.0&audience=api%3A%2F%2Fx%26y%3Dz HTTP/1.1\r\n";
        assert!(head.starts_with(line) && head.contains("authorization: Bearer the-bearer\r\n"), "{head}");
    }

    #[tokio::test]
    async fn both_variables_or_none() {
        let nobody = || Client::new(&Options::default()).unwrap();
        assert_eq!(not_here(source(&[], nobody()).fetch("a").await), format!("{URL} is not set"));
        let hint = not_here(source(&[("GITHUB_ACTIONS", "true")], nobody()).fetch("a").await);
        assert!(hint.ends_with("give the job `permissions: id-token: write`"), "{hint}");
        for (variables, why) in [
            ([(URL, "https://h/"), (BEARER, "")], format!("{URL} is set and {BEARER} is not")),
            ([(URL, ""), (BEARER, "b")], format!("{BEARER} is set and {URL} is not")),
        ] {
            let error = broken(source(&variables, nobody()).fetch("a").await);
            assert_eq!((error.class, error.why), (Class::Config, Some(why)));
            assert!(error.fix.unwrap().contains("id-token: write"));
        }
        for (url, bearer, bad) in
            [("http://host/x", "b", URL), ("not a url", "b", URL), ("https://h/", "a\nb", BEARER)]
        {
            let error = broken(source(&[(URL, url), (BEARER, bearer)], nobody()).fetch("a").await);
            assert!(error.what.starts_with(&format!("the variable {bad} holds")), "{error}");
        }
    }

    #[tokio::test]
    async fn refusals_and_nonsense() {
        type Case = (fn() -> Reply, Class, &'static str);
        let cases: [Case; 6] = [
            (
                || Reply::Answer(testing::answer(302, &[("location", "https://elsewhere.example/")], "")),
                Class::Config,
                "127.0.0.1 redirects to elsewhere.example",
            ),
            (
                || Reply::json(401, r#"{"message":"bad token"}"#),
                Class::Denied,
                "(401): bad token (give the job",
            ),
            (|| Reply::json(404, ""), Class::Config, "(404): status 404"),
            (|| Reply::json(503, ""), Class::Unavailable, "failed to give an id token (503)"),
            (|| Reply::json(200, r#"{"value":7}"#), Class::Unavailable, "holds no id token"),
            (
                || Reply::json(200, r#"{"value":"x"}"#),
                Class::Config,
                "what 127.0.0.1 gave is not an id token",
            ),
        ];
        for (reply, class, words) in cases {
            let server = Server::start(move |_, _| reply()).await;
            let error = broken(on(&server).fetch("a").await);
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!((error.class, server.seen().len()), (class, 1), "{error}");
        }
    }
}
