//! Entra tokens, checked as the policy `validate-azure-ad-token` does.
//!
//! <https://learn.microsoft.com/azure/api-management/validate-azure-ad-token-policy>. The caller is told only
//! whether a token was there and good; why one was refused goes into the gateway's trace, and here into our log.

use super::caller::{Subject, caller};
use crate::{
    clock,
    emulator::{
        jwt::{Invalid, Verified},
        wire::Request,
        world::World,
    },
};
use serde_json::Value;
use std::time::SystemTime;

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The `Authorization` header has no bearer.
    NotPresent,
    /// It is no JWT, or its signature does not hold.
    Signature(Invalid),
    /// It has no end, or the end has come. There is no tolerance for clocks that differ.
    Expired,
    /// Its time has not come, or `nbf` is no time.
    NotYetValid,
    /// It was issued for another API.
    Audience,
    /// Another issuer or tenant.
    Issuer,
    /// The application is not among the `client-application-ids`.
    Application,
    /// A claim that says who calls is missing.
    Claim,
}

impl Refusal {
    /// What the caller reads. The words without a full stop are this policy's; `validate-jwt` says it with one and
    /// without "Azure AD".
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NotPresent => "Azure AD JWT not present",
            _ => "Invalid Azure AD JWT",
        }
    }

    /// `context.LastError.Reason`, as far as it is documented.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NotPresent => "TokenNotFound",
            Self::Signature(Invalid::Signature) => "TokenSignatureInvalid",
            Self::Signature(Invalid::UnknownKey) => "TokenSignatureKeyNotFound",
            Self::Signature(Invalid::Malformed | Invalid::Algorithm) | Self::NotYetValid => "JwtInvalid",
            Self::Expired => "TokenExpired",
            Self::Audience => "TokenAudienceNotAllowed",
            Self::Issuer => "TokenIssuerNotAllowed",
            Self::Application => "TokenClaimValueNotAllowed",
            Self::Claim => "TokenClaimNotFound",
        }
    }
}

/// Checks the call's bearer: first the signature by `verify`, and nothing before it holds.
pub(super) fn check(
    request: &Request,
    verify: impl Fn(&str) -> Result<Verified, Invalid>,
    world: &World,
    now: SystemTime,
) -> Result<Subject, Refusal> {
    if request.repeats("authorization") {
        return Err(Refusal::Signature(Invalid::Malformed));
    }
    let token = request.bearer().filter(|token| !token.is_empty()).ok_or(Refusal::NotPresent)?;
    check_token(token, verify, world, now)
}

/// Checks a token, wherever it came from.
pub(super) fn check_token(
    token: &str,
    verify: impl Fn(&str) -> Result<Verified, Invalid>,
    world: &World,
    now: SystemTime,
) -> Result<Subject, Refusal> {
    let verified = verify(token).map_err(Refusal::Signature)?;
    check_claims(&verified.claims, world, now)
}

/// Checks the claims of a token whose signature holds.
fn check_claims(claims: &Value, world: &World, now: SystemTime) -> Result<Subject, Refusal> {
    // Compared as numbers: a claim may be too large for a `SystemTime`.
    let now = clock::unix(now);
    let text = |name: &str| claims[name].as_str();

    if claims["exp"].as_u64().is_none_or(|end| end <= now) {
        return Err(Refusal::Expired);
    }
    if !claims["nbf"].is_null() && claims["nbf"].as_u64().is_none_or(|begin| begin > now) {
        return Err(Refusal::NotYetValid);
    }
    if !is_audience(&claims["aud"], &world.api_audience) {
        return Err(Refusal::Audience);
    }
    if !text("iss").is_some_and(|issuer| is_issuer(issuer, &world.tenant_id))
        || text("tid") != Some(&world.tenant_id)
    {
        return Err(Refusal::Issuer);
    }
    let subject = caller(claims).ok_or(Refusal::Claim)?;
    if ![&world.client_id, &world.managed_identity.client_id].contains(&&subject.app_id) {
        return Err(Refusal::Application);
    }
    Ok(subject)
}

/// `aud` is one text, or a list of which one must match (RFC 7519, section 4.1.3).
fn is_audience(claim: &Value, expected: &str) -> bool {
    match claim {
        Value::String(audience) => audience == expected,
        Value::Array(list) => list.iter().any(|audience| audience == expected),
        _ => false,
    }
}

/// The tenant's issuer in tokens of version 1, or of version 2.
fn is_issuer(issuer: &str, tenant: &str) -> bool {
    issuer == format!("https://sts.windows.net/{tenant}/")
        || issuer == format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::get, *};
    use crate::clock::from_unix;
    use serde_json::json;

    const NOW: u64 = 1_795_478_400;

    fn good() -> Value {
        let world = World::default();
        json!({
            "aud": world.api_audience,
            "iss": format!("https://sts.windows.net/{}/", world.tenant_id),
            "tid": world.tenant_id,
            "nbf": NOW - 1,
            "exp": NOW + 1,
            "appid": world.client_id,
            "sub": "c5d9a7e4",
        })
    }

    fn refusal(change: impl FnOnce(&mut Value)) -> Option<Refusal> {
        let mut claims = good();
        change(&mut claims);
        check_claims(&claims, &World::default(), from_unix(NOW)).err()
    }

    fn remove(name: &'static str) -> impl FnOnce(&mut Value) {
        move |claims| {
            claims.as_object_mut().unwrap().remove(name);
        }
    }

    fn set(name: &'static str, value: Value) -> impl FnOnce(&mut Value) {
        move |claims| claims[name] = value
    }

    #[test]
    fn a_good_token_says_who_calls() {
        let world = World::default();
        let subject = check_claims(&good(), &world, from_unix(NOW));
        assert_eq!(subject, Ok(Subject { app_id: world.client_id, sub: "c5d9a7e4".to_owned(), user: None }));
    }

    #[test]
    fn version_2_tokens_and_lists_of_audiences_are_good_too() {
        let world = World::default();
        let second = format!("https://login.microsoftonline.com/{}/v2.0", world.tenant_id);
        assert_eq!(refusal(set("iss", json!(second))), None);
        assert_eq!(refusal(set("aud", json!(["api://other", "api://echo"]))), None);
        assert_eq!(refusal(remove("nbf")), None);
        let azp = |claims: &mut Value| {
            claims["azp"] = claims["appid"].take();
        };
        assert_eq!(refusal(azp), None);
        assert_eq!(refusal(set("appid", json!(world.managed_identity.client_id))), None);
    }

    #[test]
    fn lifetimes_have_no_tolerance() {
        assert_eq!(refusal(set("exp", json!(NOW))), Some(Refusal::Expired));
        assert_eq!(refusal(set("exp", json!(NOW + 1))), None);
        assert_eq!(refusal(set("exp", json!(u64::MAX))), None);
        assert_eq!(refusal(set("exp", json!("2099-01-01"))), Some(Refusal::Expired));
        assert_eq!(refusal(remove("exp")), Some(Refusal::Expired));
        assert_eq!(refusal(set("nbf", json!(NOW))), None);
        assert_eq!(refusal(set("nbf", json!(NOW + 1))), Some(Refusal::NotYetValid));
        assert_eq!(refusal(set("nbf", json!("now"))), Some(Refusal::NotYetValid));
    }

    #[test]
    fn each_claim_is_needed() {
        let other = "00000000-0000-4000-8000-000000000000";
        for (wrong, expected) in [
            (refusal(set("aud", json!("https://management.azure.com"))), Refusal::Audience),
            (refusal(set("aud", json!(["api://other"]))), Refusal::Audience),
            (refusal(set("aud", json!([]))), Refusal::Audience),
            (refusal(remove("aud")), Refusal::Audience),
            (refusal(set("iss", json!(format!("https://sts.windows.net/{other}/")))), Refusal::Issuer),
            (refusal(set("iss", json!("https://sts.windows.net/"))), Refusal::Issuer),
            (refusal(remove("iss")), Refusal::Issuer),
            (refusal(set("tid", json!(other))), Refusal::Issuer),
            (refusal(remove("tid")), Refusal::Issuer),
            (refusal(set("appid", json!(other))), Refusal::Application),
            (refusal(remove("appid")), Refusal::Claim),
            (refusal(remove("sub")), Refusal::Claim),
        ] {
            assert_eq!(wrong, Some(expected));
        }
    }

    #[test]
    fn claims_that_are_no_object_are_refused() {
        for claims in [json!(null), json!([]), json!("text"), json!(1)] {
            assert!(check_claims(&claims, &World::default(), from_unix(NOW)).is_err());
        }
    }

    #[test]
    fn nothing_is_read_before_the_signature_holds() {
        let verdict = |header: &str, signature: Result<(), Invalid>| {
            let mut request = get("/echo");
            request.headers.insert("authorization", header.parse().unwrap());
            let verify = |_: &str| signature.map(|()| Verified { header: json!({}), claims: good() });
            check(&request, verify, &World::default(), from_unix(NOW)).map_err(Refusal::message)
        };
        assert!(verdict("Bearer t", Ok(())).is_ok());
        assert!(verdict("bearer t", Ok(())).is_ok());
        for header in ["Basic dTpw", "Bearer", "Bearer ", "t", ""] {
            assert_eq!(verdict(header, Ok(())), Err("Azure AD JWT not present"), "{header:?}");
        }
        for invalid in [Invalid::Malformed, Invalid::Algorithm, Invalid::UnknownKey, Invalid::Signature] {
            assert_eq!(verdict("Bearer t", Err(invalid)), Err("Invalid Azure AD JWT"), "{invalid:?}");
        }
    }
}
