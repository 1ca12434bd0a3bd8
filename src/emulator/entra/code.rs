//! `authorization_code`: what the browser brought back is redeemed, once (RFC 6749, 4.1.3; PKCE: RFC 7636, 4.6).

use super::{
    client::{known, persons_tenant, same_client},
    errors::Refusal,
    issue::Session,
    scope::{self, UserScope},
    token::{Call, Granted},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use std::time::SystemTime;

/// What an authorization code stands for.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) session: Session,
    pub(super) redirect_uri: String,
    /// The S256 code challenge; clients that prove themselves may do without.
    pub(super) challenge: Option<String>,
    pub(super) expires: SystemTime,
    pub(super) redeemed: bool,
}

impl Code {
    /// Redeems it. A request that is refused leaves it as it was.
    fn redeem(
        &mut self,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: SystemTime,
    ) -> Result<Session, Refusal> {
        if self.redeemed {
            return Err(Refusal::code_redeemed());
        }
        if self.expires <= now {
            return Err(Refusal::code_expired());
        }
        if redirect_uri != self.redirect_uri {
            return Err(Refusal::reply_address(redirect_uri, &self.redirect_uri));
        }
        // A verifier without a challenge is as wrong as the other way round: somebody took the challenge away
        // (RFC 9700, 2.1.1).
        if verifier.map(challenge) != self.challenge {
            return Err(Refusal::code_verifier());
        }
        self.redeemed = true;
        Ok(self.session.clone())
    }
}

/// The S256 code challenge of a verifier.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

pub(super) async fn grant(call: &Call<'_>) -> Result<Granted, Refusal> {
    let (entra, form) = (call.entra, call.form);
    persons_tenant(&entra.world, call.tenant)?;
    known(&entra.world, call.tenant, form)?;
    let (code, redirect_uri) = (form.need("code")?, form.need("redirect_uri")?);
    let wanted = form.get("scope").map(|scope| scope::for_user(&entra.world, scope)).transpose()?;
    let proof = entra.codes.with(code, |code| code.map(|code| code.session.proof));
    same_client(call, proof.ok_or_else(Refusal::malformed_grant)?).await?;

    let redeemed = |code: Option<&mut Code>| match code {
        Some(code) => {
            let scope = narrowed(&code.session.scope, wanted)?;
            let session = code.redeem(redirect_uri, form.get("code_verifier"), call.now)?;
            Ok(Session { scope, ..session })
        }
        None => Err(Refusal::malformed_grant()),
    };
    entra.codes.with(code, redeemed).map(Granted::User)
}

/// The scope of the tokens: the one consented to, or a part of it.
fn narrowed(consented: &UserScope, wanted: Option<UserScope>) -> Result<UserScope, Refusal> {
    let Some(wanted) = wanted else { return Ok(consented.clone()) };
    let (openid, offline) = (wanted.openid && consented.openid, wanted.offline && consented.offline);
    if wanted.permissions.is_empty() {
        // `openid` and its kind alone name no resource.
        return Ok(UserScope { openid, offline, ..consented.clone() });
    }
    let is_part = wanted.audience == consented.audience
        && wanted.permissions.iter().all(|permission| consented.permissions.contains(permission));
    if is_part { Ok(UserScope { openid, offline, ..wanted }) } else { Err(Refusal::not_consented()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::from_unix,
        emulator::{entra::issue::Proof, world::World},
    };

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const URI: &str = "http://localhost:1";

    fn code(challenge: Option<&str>) -> Code {
        let scope = scope::for_user(&World::default(), "openid").unwrap();
        Code {
            session: Session { scope, nonce: None, proof: Proof::None },
            redirect_uri: URI.to_owned(),
            challenge: challenge.map(str::to_owned),
            expires: from_unix(600),
            redeemed: false,
        }
    }

    fn number(code: &mut Code, uri: &str, verifier: Option<&str>, at: u64) -> u32 {
        code.redeem(uri, verifier, from_unix(at)).map_or_else(|refusal| refusal.code, |_| 0)
    }

    #[test]
    fn a_code_is_redeemed_once_by_who_asked_for_it() {
        // The pair of RFC 7636, appendix B.
        let mut code = code(Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert_eq!(number(&mut code, "http://localhost:2", Some(VERIFIER), 1), 500_112);
        assert_eq!(number(&mut code, URI, Some("guess"), 1), 501_481);
        assert_eq!(number(&mut code, URI, None, 1), 501_481);
        assert_eq!(number(&mut code, URI, Some(VERIFIER), 600), 70_008);
        assert_eq!(number(&mut code, URI, Some(VERIFIER), 599), 0);
        assert_eq!(number(&mut code, URI, Some(VERIFIER), 599), 54_005);
    }

    #[test]
    fn a_verifier_without_a_challenge_is_wrong_too() {
        assert_eq!(number(&mut code(None), URI, Some(VERIFIER), 1), 501_481);
        assert_eq!(number(&mut code(None), URI, None, 1), 0);
    }

    #[test]
    fn a_scope_may_be_narrowed_and_never_widened() {
        let scope = |text: &str| scope::for_user(&World::default(), text).unwrap();
        let consented = scope("openid offline_access api://echo/Echo.Read");
        let same = narrowed(&consented, Some(scope("offline_access openid api://echo/.default"))).unwrap();
        assert!(same.openid && same.offline && same.permissions == ["Echo.Read"]);
        let plain = narrowed(&consented, Some(scope("openid"))).unwrap();
        assert!(plain.audience == "api://echo" && plain.openid && !plain.offline);
        let other = narrowed(&consented, Some(scope("https://vault.azure.net/user_impersonation")));
        assert_eq!(other.unwrap_err().code, 70_000);
        let more = narrowed(&scope("api://echo/Echo.Read"), Some(scope("openid api://echo/Echo.Read")));
        assert!(!more.unwrap().openid);
    }
}
