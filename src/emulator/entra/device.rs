//! The device authorization grant (RFC 8628): codes for the client and the person, the person's page, the polling.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code>. The page stands in for
//! `https://microsoft.com/devicelogin`. The one person of the directory counts as signed in there, so that the code is
//! all that the page asks for.

use super::{
    Entra,
    client::{any_client, known, persons_tenant},
    errors::Refusal,
    form::Form,
    issue::{Proof, Session},
    page, scope,
    token::{Call, Granted},
};
use crate::{
    emulator::{
        random,
        wire::{Request, Response},
    },
    error::Result,
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Letters and digits that nobody mistakes for one another.
const ALPHABET: &[u8; 28] = b"ABCDEFGHJKLMNPQRSTUVWXY23456";
const USER_CODE: usize = 9;

/// By how much `slow_down` lengthens the interval (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// What the person made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Pending,
    Approved,
    Declined,
    /// Approved, and the client has its tokens.
    Redeemed,
}

/// What a device code stands for.
#[derive(Debug)]
pub(super) struct Device {
    user_code: String,
    session: Session,
    expires: SystemTime,
    interval: Duration,
    polled: Option<SystemTime>,
    decision: Decision,
}

impl Device {
    /// A poll: what the person agreed to, once.
    ///
    /// The interval holds between polls, not before the first. Who asks too soon gets a longer one, and this server
    /// keeps to it too.
    fn poll(&mut self, now: SystemTime) -> Result<Session, Refusal> {
        if self.decision == Decision::Redeemed {
            return Err(Refusal::bad_device_code());
        }
        if self.expires <= now {
            return Err(Refusal::device_code_expired());
        }
        match self.decision {
            Decision::Approved => {
                self.decision = Decision::Redeemed;
                Ok(self.session.clone())
            }
            Decision::Declined => Err(Refusal::authorization_declined()),
            _ => {
                let before = self.polled.replace(now);
                let too_soon = before
                    .is_some_and(|before| now.duration_since(before).unwrap_or_default() < self.interval);
                if too_soon {
                    self.interval += SLOWER;
                    return Err(Refusal::slow_down());
                }
                Err(Refusal::authorization_pending())
            }
        }
    }

    /// The person's word on it. A code is good for one.
    fn decide(&mut self, approved: bool, now: SystemTime) -> Result<(), Refusal> {
        if self.expires <= now {
            return Err(Refusal::user_code_expired());
        }
        if self.decision != Decision::Pending {
            return Err(Refusal::bad_user_code());
        }
        self.decision = if approved { Decision::Approved } else { Decision::Declined };
        Ok(())
    }
}

/// The device authorization endpoint (RFC 8628, 3.1).
pub(super) fn authorize(
    entra: &Entra,
    tenant: &str,
    request: &Request,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let (form, world) = (Form::of_body(request)?, &entra.world);
    persons_tenant(world, tenant)?;
    known(world, tenant, &form)?;
    let scope = scope::for_user(world, form.need("scope")?)?;
    let user_code = user_code()?;
    let sign_in = &world.sign_in;
    let device = Device {
        user_code: user_code.clone(),
        session: Session { scope, nonce: None, proof: Proof::None },
        expires: now + sign_in.device_code_life,
        interval: sign_in.device_code_interval,
        polled: None,
        decision: Decision::Pending,
    };
    let until = device.expires;
    let page = format!("https://{}/{tenant}/oauth2/deviceauth", request.host);
    let message = format!(
        "To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate."
    );
    Ok(json!({
        "user_code": user_code,
        "device_code": entra.device_codes.issue(device, now, until)?,
        "verification_uri": page,
        "expires_in": sign_in.device_code_life.as_secs(),
        "interval": sign_in.device_code_interval.as_secs(),
        "message": message,
    }))
}

pub(super) async fn grant(call: &Call<'_>) -> Result<Granted, Refusal> {
    let (entra, form) = (call.entra, call.form);
    persons_tenant(&entra.world, call.tenant)?;
    known(&entra.world, call.tenant, form)?;
    let code = form.need("device_code")?;
    let proof = any_client(call).await?;
    let polled = |device: Option<&mut Device>| match device {
        Some(device) => device.poll(call.now),
        None => Err(Refusal::bad_device_code()),
    };
    let session = entra.device_codes.with(code, polled)?;
    Ok(Granted::User(Session { proof, ..session }))
}

/// The person's page: a form with `otc`, the code, and `decision`.
pub(super) fn form(tenant: &str) -> Response {
    page::form(
        "Enter code",
        "Enter the code displayed on your app or device.",
        &format!("/{tenant}/oauth2/deviceauth"),
        r#"<input name="otc" maxlength="20" autocomplete="off" autofocus> "#,
    )
}

/// What the page's form sends: `otc` and `decision=approve` or `decision=decline`.
pub(super) fn decide(entra: &Entra, request: &Request, now: SystemTime) -> Response {
    match decided(entra, request, now) {
        Ok(true) => page::told(
            200,
            "You have signed in to the application on your device. You may now close this window.",
        ),
        Ok(false) => page::told(200, "You declined. The application on your device is told so."),
        Err(refusal) => page::refusal(&refusal),
    }
}

fn decided(entra: &Entra, request: &Request, now: SystemTime) -> Result<bool, Refusal> {
    let form = Form::of_body(request)?;
    let typed: String = form.need("otc")?.split_whitespace().collect();
    let approved = page::decision(&form)?;
    entra.device_codes.find(
        |device| device.user_code.eq_ignore_ascii_case(&typed),
        |device| device.ok_or_else(Refusal::bad_user_code)?.decide(approved, now),
    )?;
    Ok(approved)
}

fn user_code() -> Result<String> {
    // 256 is no multiple of 28: some letters come a little more often, which is nothing beside 28^9.
    let random = random::bytes::<USER_CODE>()?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::from_unix, emulator::world::World};

    fn device() -> Device {
        let scope = scope::for_user(&World::default(), "openid").unwrap();
        Device {
            user_code: "ABC".to_owned(),
            session: Session { scope, nonce: None, proof: Proof::None },
            expires: from_unix(900),
            interval: Duration::from_secs(5),
            polled: None,
            decision: Decision::Pending,
        }
    }

    fn poll(device: &mut Device, at: u64) -> &'static str {
        device.poll(from_unix(at)).map_or_else(|refusal| refusal.error, |_| "tokens")
    }

    #[test]
    fn a_client_that_keeps_the_interval_waits_and_one_that_does_not_is_slowed() {
        let mut device = device();
        for (at, answer) in [
            (0, "authorization_pending"),
            (5, "authorization_pending"),
            (9, "slow_down"),
            (18, "slow_down"), // 10 seconds now, and 9 have passed
            (33, "authorization_pending"),
        ] {
            assert_eq!(poll(&mut device, at), answer, "at {at}");
        }
    }

    #[test]
    fn approval_gives_tokens_once() {
        let mut device = device();
        assert_eq!(poll(&mut device, 0), "authorization_pending");
        device.decide(true, from_unix(1)).unwrap();
        assert_eq!(poll(&mut device, 2), "tokens");
        assert_eq!(poll(&mut device, 7), "bad_verification_code");
        assert_eq!(device.decide(true, from_unix(8)).unwrap_err().code, 70_018);
    }

    #[test]
    fn a_decline_and_the_end_are_told() {
        let mut declined = device();
        declined.decide(false, from_unix(1)).unwrap();
        assert_eq!(poll(&mut declined, 2), "authorization_declined");
        assert_eq!(declined.decide(true, from_unix(3)).unwrap_err().code, 70_018);

        let mut late = device();
        assert_eq!(late.decide(true, from_unix(900)).unwrap_err().code, 70_019);
        assert_eq!(poll(&mut late, 900), "expired_token");
    }
}
