//! `refresh_token`: new tokens without the person.
//!
//! Each answer has a new refresh token; the old one stays good until it expires, as at Entra, which asks clients to
//! throw it away. <https://learn.microsoft.com/entra/identity-platform/refresh-tokens>

use super::{
    Entra,
    client::{known, persons_tenant, same_client},
    errors::Refusal,
    issue::Session,
    scope,
    token::{Call, Granted},
};
use crate::error::Result;
use std::time::{Duration, SystemTime};

/// What a refresh token stands for.
pub(super) struct Refresh {
    session: Session,
    issued: SystemTime,
    /// How long it may lie unused.
    life: Duration,
}

impl Refresh {
    fn expires(&self) -> SystemTime {
        self.issued + self.life
    }

    fn use_at(&self, now: SystemTime) -> Result<Session, Refusal> {
        if self.expires() <= now {
            return Err(Refusal::refresh_expired(self.issued, self.life.as_secs() / (24 * 3600)));
        }
        Ok(self.session.clone())
    }
}

/// A new refresh token for a session. Its first answer gave the nonce back; later ones have none.
pub(super) fn issue(entra: &Entra, session: Session, now: SystemTime) -> Result<String> {
    let life = entra.world.sign_in.refresh_token_life;
    let refresh = Refresh { session: Session { nonce: None, ..session }, issued: now, life };
    let until = refresh.expires();
    entra.refresh_tokens.issue(refresh, now, until)
}

pub(super) async fn grant(call: &Call<'_>) -> Result<Granted, Refusal> {
    let (entra, form) = (call.entra, call.form);
    persons_tenant(&entra.world, call.tenant)?;
    known(&entra.world, call.tenant, form)?;
    let token = form.need("refresh_token")?;
    let used = |refresh: Option<&mut Refresh>| match refresh {
        Some(refresh) => refresh.use_at(call.now),
        None => Err(Refusal::malformed_grant()),
    };
    let mut session = entra.refresh_tokens.with(token, used)?;
    same_client(call, session.proof).await?;
    if let Some(scope) = form.get("scope") {
        // Any resource: the application has been given consent for all that it may ask for.
        session.scope = scope::for_user(&entra.world, scope)?;
    }
    session.scope.offline = true;
    Ok(Granted::User(session))
}
