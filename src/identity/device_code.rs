//! Source `device-code`: somebody signs in on another device, with a code that the agent shows (RFC 8628).
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code>

use super::{
    oauth::{Application, Missing, Refusal, Tokens},
    prompt::{Person, Prompt},
    session::SignIn,
};
use crate::{
    clock,
    config::endpoint,
    error::{Class, Error, Result},
    http::answer::{outline, printable},
    secret::Secret,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

/// How often to ask when the service does not say it, and how much longer to wait when it says that this was too often
/// (RFC 8628, 3.5).
const INTERVAL: Duration = Duration::from_secs(5);
const SLOWER: Duration = Duration::from_secs(5);

/// Whatever the service says, not more often than this, and not less.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Longest time that a code is waited for; Entra's are good for 15 minutes.
const LONGEST: u64 = 3600;

/// The way by another device.
pub(super) struct DeviceCode;

#[async_trait]
impl SignIn for DeviceCode {
    fn name(&self) -> &'static str {
        "device-code"
    }

    async fn sign_in(&self, application: &Application, scope: &str, person: &Person) -> Result<Tokens> {
        let answer = application.post("devicecode", &[("scope", scope)]).await?;
        let now = clock::now();
        if answer.status() != StatusCode::OK {
            return Err(Refusal::read(&answer, now)?.into_error(application));
        }
        let Codes { device, user, url, life, interval } = Codes::read(&answer).map_err(|why| {
            Error::new(Class::Unavailable, "the answer to a sign-in makes no sense")
                .why(format!("{why}; {}", outline(&answer)))
                .fix("check identity.authority, and whether a proxy or a portal stands between")
        })?;
        let (expires_at, deadline) = (now + life, Instant::now() + life);
        person.tell(&Prompt::DeviceCode { url, code: user, expires_at });
        let polling = poll(application, &device, interval);
        let polled = person.waited_for(expires_at, timeout_at(deadline, polling)).await;
        polled.unwrap_or_else(|_| Err(too_late()))
    }
}

/// Asks until somebody has decided.
async fn poll(application: &Application, device_code: &Secret, mut interval: Duration) -> Result<Tokens> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code.expose()),
    ];
    loop {
        sleep(interval).await;
        match application.token(&form, None).await {
            Ok(tokens) => return Ok(tokens),
            Err(missing) => match verdict(missing, interval) {
                Verdict::Wait(longer) => interval = longer,
                Verdict::TooLate => return Err(too_late()),
                Verdict::No(missing) => return Err(missing.into_error(application)),
            },
        }
    }
}

/// What an answer without tokens means for the polling.
enum Verdict {
    Wait(Duration),
    TooLate,
    No(Missing),
}

fn verdict(missing: Missing, interval: Duration) -> Verdict {
    match missing {
        Missing::Refused(refusal) => match refusal.error.as_str() {
            "authorization_pending" => Verdict::Wait(interval),
            "slow_down" => Verdict::Wait((interval + SLOWER).min(BOUNDS.1)),
            "expired_token" | "code_expired" => Verdict::TooLate,
            _ => Verdict::No(Missing::Refused(refusal)),
        },
        // The network failed: the person may be typing meanwhile.
        Missing::Failed(error) if error.is_transient() => Verdict::Wait((interval * 2).min(BOUNDS.1)),
        failed @ Missing::Failed(_) => Verdict::No(failed),
    }
}

/// The lifecycle tries again, and there will be a new code.
fn too_late() -> Error {
    Error::new(Class::TryAgain, "nobody entered the code in time").fix("enter the next one, which comes soon")
}

/// The answer of the device authorization endpoint (RFC 8628, 3.2).
struct Codes {
    device: Secret,
    user: String,
    url: Url,
    life: Duration,
    interval: Duration,
}

impl Codes {
    fn read(answer: &Response<Bytes>) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Body {
            device_code: String,
            user_code: String,
            verification_uri: String,
            expires_in: u64,
            interval: Option<u64>,
        }
        let body: Body = serde_json::from_slice(answer.body()).map_err(|_| "it holds no device code")?;
        let device = Secret::new(body.device_code);
        // Somebody reads it from a terminal and types it.
        let user = printable(&body.user_code, 40);
        if user.is_empty() || user != body.user_code {
            return Err("its user_code is none that one could type");
        }
        let url = Url::parse(&body.verification_uri).ok().filter(endpoint::is_private);
        let url = url.ok_or("its verification_uri is not an https URL")?;
        if !(1..=LONGEST).contains(&body.expires_in) {
            return Err("its expires_in is not a life");
        }
        let interval = body.interval.map_or(INTERVAL, Duration::from_secs).clamp(BOUNDS.0, BOUNDS.1);
        Ok(Self { device, user, url, life: Duration::from_secs(body.expires_in), interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing;
    use serde_json::{Value, json};

    #[test]
    fn what_the_polling_does() {
        let refused = |error: &str| Missing::Refused(Refusal::of(error, "", None, 400));
        let failed = |class| Missing::Failed(Error::new(class, "x"));
        let seconds = |missing, interval| match verdict(missing, Duration::from_secs(interval)) {
            Verdict::Wait(wait) => Some(wait.as_secs()),
            Verdict::TooLate => Some(0),
            Verdict::No(_) => None,
        };
        for (missing, interval, outcome) in [
            (refused("authorization_pending"), 5, Some(5)),
            (refused("slow_down"), 5, Some(10)),
            (refused("slow_down"), 58, Some(60)),
            (refused("expired_token"), 5, Some(0)),
            (refused("authorization_declined"), 5, None),
            (refused("bad_verification_code"), 5, None),
            (failed(Class::Unavailable), 5, Some(10)),
            (failed(Class::Unavailable), 60, Some(60)),
            (failed(Class::Config), 5, None),
        ] {
            assert_eq!(seconds(missing, interval), outcome);
        }
    }

    #[test]
    fn codes_that_can_be_shown() {
        let read = |change: Value| {
            let mut body = json!({
                "device_code": "secret", "user_code": "ABCD-EFGH", "verification_uri": "https://microsoft.com/devicelogin",
                "expires_in": 900,
            });
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            Codes::read(&testing::answer(200, &[], &body.to_string()))
                .map(|codes| (codes.interval, codes.life))
        };
        let minutes = Duration::from_mins;
        assert_eq!(read(json!({})), Ok((INTERVAL, minutes(15))));
        assert_eq!(read(json!({"interval": 0})), Ok((BOUNDS.0, minutes(15))));
        assert_eq!(read(json!({"interval": 9999})), Ok((BOUNDS.1, minutes(15))));
        for (change, why) in [
            (json!({"user_code": "A\u{1b}[2J"}), "its user_code is none that one could type"),
            (json!({"user_code": ""}), "its user_code is none that one could type"),
            (json!({"verification_uri": "http://evil.example/"}), "its verification_uri is not an https URL"),
            (json!({"verification_uri": "javascript:x"}), "its verification_uri is not an https URL"),
            (json!({"expires_in": 0}), "its expires_in is not a life"),
            (json!({"expires_in": -1}), "it holds no device code"),
        ] {
            assert_eq!(read(change), Err(why));
        }
    }
}
