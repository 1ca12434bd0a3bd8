//! A person's session of a developer's command-line tool as a source: the tool gives access tokens and no id tokens.
//!
//! A new tool is one file with a [`Tool`].

use super::{
    Actor, IdentitySource, Miss, Proof, Subject, Want,
    claims::{self, Claims},
    cli::Runner,
    process::{self, Wanted},
    read::secret_file,
};
use crate::{
    clock,
    error::{Class, Error, Result},
    http::answer::is_bearer_token,
    secret::Secret,
};
use async_trait::async_trait;
use serde_json::Value;
use std::{marker::PhantomData, path::PathBuf, time::SystemTime};
use tokio::sync::Mutex;

/// Such tools are large programs in slow languages, which take a second or more to start and make several requests of
/// their own: they get as many times `request_timeout`.
const DEADLINES: u32 = 3;

const ACCESS_TOKEN: Wanted = Wanted {
    noun: "access token",
    a_noun: "an access token",
    form: "JSON with the token and its expiry",
    deadline: "its deadline is three times request_timeout",
};

/// What is particular to one tool.
pub trait Tool: Send + Sync + 'static {
    /// The source's name in the configuration, such as `azure-cli`.
    const NAME: &'static str;
    /// The program, such as `az`.
    const PROGRAM: &'static str;
    /// The arguments of the command with which somebody signs in.
    const LOGIN: &'static str;
    /// The option for the tenant.
    const TENANT: &'static str;

    /// The arguments that make it print a token for `scope`.
    fn arguments(scope: &str) -> Vec<&str>;

    /// The file in which it notes who has signed in; `None` where there is no home.
    fn profile(runner: &Runner) -> Option<PathBuf>;

    /// Whether that file says that somebody has.
    fn is_signed_in(profile: &Value) -> bool;

    /// Reads what it printed. Error: what is wrong with it, without a part of it.
    fn read(printed: &str) -> Result<Found, &'static str>;
}

/// What a tool printed.
pub struct Found {
    /// The bearer token.
    pub token: Secret,
    /// When it expires.
    pub expires_at: SystemTime,
}

/// The session of the tool `T`.
pub struct DeveloperCli<T> {
    runner: Runner,
    tenant: Option<String>,
    /// Such tools keep their tokens in files and do not expect to run twice at a time.
    turn: Mutex<()>,
    tool: PhantomData<T>,
}

impl<T: Tool> DeveloperCli<T> {
    /// The source whose tokens are of `tenant`, if that is known; else of the one that the person has chosen there.
    pub fn new(runner: Runner, tenant: Option<String>) -> Self {
        Self { runner, tenant, turn: Mutex::default(), tool: PhantomData }
    }

    /// The program's path, if it is there and somebody has signed in. This asks the file system only: the tool itself
    /// would take a second to say so.
    async fn program(&self) -> Result<String, Miss> {
        let not_here = |what: String| Err(Miss::NotHere(what));
        let Some(program) = self.runner.on_path(&[T::PROGRAM]) else {
            return not_here(format!("{} is not on the PATH", T::PROGRAM));
        };
        let Some(profile) = T::profile(&self.runner) else {
            return not_here(format!("{} is on the PATH, but HOME is not set", T::PROGRAM));
        };
        let nobody = format!("{} is on the PATH, but nobody has signed in there", T::PROGRAM);
        match secret_file(&profile, "its profile").await {
            Ok(None) => not_here(format!("{nobody}: there is no {}", profile.display())),
            Ok(Some(text)) => match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
                Ok(profile_says) if !T::is_signed_in(&profile_says) => {
                    not_here(format!("{nobody}: {} is empty", profile.display()))
                }
                _ => Ok(program),
            },
            // Larger than we read, or not ours to read: there is something, and the tool will say what.
            Err(_) => Ok(program),
        }
    }

    /// The command with which the person signs in so that what we ask for works.
    fn login(&self, scope: &str) -> String {
        let tenant = self.tenant.as_ref().map_or(String::new(), |tenant| format!(" {} {tenant}", T::TENANT));
        format!("{} {}{tenant} --scope {scope}", T::PROGRAM, T::LOGIN)
    }

    async fn ask(&self, program: &str, scope: &str) -> Result<(Subject, Proof)> {
        let mut arguments = T::arguments(scope);
        arguments.extend(self.tenant.iter().flat_map(|tenant| [T::TENANT, tenant]));
        let deadline = self.runner.deadline * DEADLINES;
        let ended = {
            let _turn = self.turn.lock().await;
            process::run(program, &arguments, &ACCESS_TOKEN, deadline).await?
        };
        let printed = ended
            .text(&ACCESS_TOKEN)
            .map_err(|error| explained::<T>(error, &ended.stderr(), &self.login(scope)))?;
        let unusable = |why: &str| {
            Error::new(Class::Config, format!("the output of {} holds no access token", T::PROGRAM))
                .why(why)
                .fix(format!("bring {} up to date, and look at what it prints", T::PROGRAM))
        };
        let Found { token, expires_at } = T::read(printed).map_err(unusable)?;
        if !is_bearer_token(token.expose()) {
            return Err(unusable("it holds characters that no bearer token may hold"));
        }
        let now = clock::now();
        if expires_at <= now {
            return Err(Error::new(Class::TryAgain, format!("{} gave a token that has expired", T::PROGRAM))
                .why(format!(
                    "it expired at {}, and this machine's clock says {}",
                    clock::rfc3339(expires_at),
                    clock::rfc3339(now)
                ))
                .fix("set this machine's clock, if that is wrong"));
        }
        let (claims, actor) = claims::of_access_token(token.expose())
            .unwrap_or_else(|| (unknown::<T>(scope, expires_at), Actor::User));
        let subject = Subject { source: T::NAME, actor, claims };
        Ok((subject, Proof::Session { token, expires_at, refresh_at: None }))
    }
}

#[async_trait]
impl<T: Tool> IdentitySource for DeveloperCli<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    async fn prove(&self, want: &Want<'_>) -> Result<(Subject, Proof), Miss> {
        let program = self.program().await?;
        let Some(scope) = want.scope else {
            return Err(Miss::Broken(
                Error::new(Class::Config, format!("the identity source {} gives no id tokens", T::NAME))
                    .why(format!("{} has access tokens only, and an id token is wanted", T::PROGRAM))
                    .fix("use kind = \"access-token\" with a scope, or an identity that has id tokens"),
            ));
        };
        self.ask(&program, scope).await.map_err(Miss::Broken)
    }
}

/// Whose session it is when its token cannot be looked into.
fn unknown<T: Tool>(scope: &str, expires_at: SystemTime) -> Claims {
    Claims {
        iss: T::PROGRAM.to_owned(),
        sub: format!("whoever has signed in to {}", T::PROGRAM),
        aud: vec![scope.to_owned()],
        exp: expires_at,
        workspace: None,
        user: None,
    }
}

/// Entra's own faults, which pass: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
const PASSING: [&str; 3] = ["AADSTS90033", "AADSTS90025", "AADSTS50196"];

/// `error` with what has to be done, where `stderr` tells. Else it stays what it was: a fault that may pass.
fn explained<T: Tool>(error: Error, stderr: &str, login: &str) -> Error {
    let says = |words: &str| stderr.contains(words);
    let program = T::PROGRAM;
    if PASSING.iter().any(|code| says(code)) {
        return error;
    }
    let denied = |mut error: Error, what: String| {
        (error.class, error.what) = (Class::Denied, what);
        error
    };
    if says("Tenant shouldn't be specified") {
        return denied(error, format!("{program} has signed in as this machine, not as a person"))
            .fix("use identity.source = \"managed-identity\", which asks the machine itself");
    }
    if says("AADSTS65001") || says("AADSTS65002") {
        return denied(error, format!("Entra gives {program} no token for this API")).fix(format!(
            "let the API pre-authorise {program} (Expose an API, Authorized client applications), or use \
                 identity.source = \"device-code\" with an application of yours"
        ));
    }
    if says("AADSTS500011") || says("AADSTS650057") {
        return denied(error, format!("Entra does not know the API that {program} asked for"))
            .fix("check the credential's scope and the tenant");
    }
    let signs =
        ["AADSTS", "az login", "azd auth login", "reauthentication required", "No subscription found"];
    if signs.iter().any(|sign| says(sign)) {
        return denied(error, format!("the session of {program} has ended, or does not reach this API"))
            .fix(format!("run: {login}"));
    }
    error
}

#[cfg(test)]
mod tests;
