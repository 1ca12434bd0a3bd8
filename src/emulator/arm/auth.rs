//! Who calls, and whether the role assignment allows it. Pure: the signature check and the time come in.

use super::error::ArmError;
use crate::{
    clock,
    emulator::{
        entra, jwt,
        world::{World, covers},
    },
};
use serde_json::Value;
use std::time::SystemTime;
use time::{Duration, OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// A caller whose token holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The application (`appid` or `azp`).
    pub client: String,
    /// The service principal or the user (`oid`).
    pub object_id: String,
    /// A person or a workspace, for the log.
    pub who: Option<entra::Caller>,
}

/// The resources for which ARM takes tokens.
const AUDIENCES: [&str; 4] = [
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
];

/// How far a clock may be behind that of the token's issuer. There is no such patience at a token's end.
const SKEW: Duration = Duration::minutes(5);

/// ARM's words use .NET's US date, such as `11/24/2026 2:05:09 PM`.
const US_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute]:[second] [period]"
);

/// Reads the `Authorization` header. The signature is for `verify` to check; all else is checked here.
pub(super) fn authenticate(
    authorization: Option<&str>,
    world: &World,
    now: SystemTime,
    verify: impl FnOnce(&str) -> Result<jwt::Verified, jwt::Invalid>,
) -> Result<Caller, ArmError> {
    let Some(authorization) = authorization else {
        let challenge = "The authentication failed because of missing 'Authorization' header.";
        let message = "Authentication failed. The 'Authorization' header is missing.";
        return Err(unauthorized(world, "AuthenticationFailed", message, challenge));
    };
    let token = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            let message =
                "Authentication failed. The 'Authorization' header is provided in an invalid format.";
            return Err(unauthorized(world, "AuthenticationFailedInvalidHeader", message, message));
        }
    };
    let refuse = |code, message: &str| unauthorized(world, code, message, message);
    let claims = verify(token)
        .map_err(|_| refuse("InvalidAuthenticationToken", "The access token is invalid."))?
        .claims;

    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let audience = text("aud");
    if !AUDIENCES.contains(&audience) {
        let allowed = AUDIENCES.map(|allowed| format!("'{allowed}'")).join(",");
        let message = format!(
            "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match \
             with one of the allowed audiences {allowed}."
        );
        return Err(refuse("InvalidAuthenticationTokenAudience", &message));
    }
    let tenant = &world.tenant_id;
    let issuer = text("iss");
    if issuer != format!("https://sts.windows.net/{tenant}/") && !issuer.ends_with(&format!("/{tenant}/v2.0"))
    {
        let message = format!(
            "The access token is from the wrong issuer '{issuer}'. It must match the tenant \
             'https://sts.windows.net/{tenant}/' associated with this subscription. Please use the authority (URL) \
             'https://login.windows.net/{tenant}' to get the token."
        );
        return Err(refuse("InvalidAuthenticationTokenTenant", &message));
    }
    check_times(&claims, now).map_err(|(code, message)| refuse(code, &message))?;
    if text("oid").is_empty() {
        let message = "The received access token is not valid: at least one of the claims 'puid' or 'altsecid' or \
                       'oid' should be present. If you are accessing as application please make sure service \
                       principal is properly created in the tenant.";
        return Err(refuse("InvalidAuthenticationToken", message));
    }
    let client = if text("appid").is_empty() { text("azp") } else { text("appid") };
    let who = entra::Caller::of(&claims);
    Ok(Caller { client: client.to_owned(), object_id: text("oid").to_owned(), who })
}

fn check_times(claims: &Value, now: SystemTime) -> Result<(), (&'static str, String)> {
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).and_then(instant);
    let Some(expiry) = time("exp") else {
        return Err((
            "InvalidAuthenticationToken",
            "The access token is missing the claim 'exp'.".to_owned(),
        ));
    };
    let now = clock::utc(now);
    if expiry <= now {
        let message = format!(
            "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
            us_date(expiry),
            us_date(now)
        );
        return Err(("ExpiredAuthenticationToken", message));
    }
    match time("nbf") {
        Some(start) if start > now.saturating_add(SKEW) => {
            let message = format!(
                "The access token valid-from UTC time '{}' is later than current UTC time '{}'.",
                us_date(start),
                us_date(now)
            );
            Err(("InvalidAuthenticationToken", message))
        }
        _ => Ok(()),
    }
}

fn instant(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

fn us_date(when: OffsetDateTime) -> String {
    when.format(US_DATE).unwrap_or_else(|_| "out of range".to_owned())
}

fn unauthorized(world: &World, code: &'static str, message: &str, challenge: &str) -> ArmError {
    let authority = format!("https://login.windows.net/{}", world.tenant_id);
    let challenge = format!(
        "Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{}\"",
        challenge.replace(['"', '\\'], "'").replace(|c: char| c.is_control() || !c.is_ascii(), "?")
    );
    ArmError::new(401, code, message).header("WWW-Authenticate", challenge)
}

/// Checks that the caller's role actions hold `action` at `scope`, a resource id.
///
/// The workspace's principal has the role, and so may the person. The assignment counts as inherited from the Azure subscription, so that
/// a wrong resource group or service shows as the 404 that an owner would get.
pub(super) fn authorize(caller: &Caller, world: &World, action: &str, scope: &str) -> Result<(), ArmError> {
    let assigned = world.has_role(&caller.object_id);
    if assigned && world.role_actions.iter().any(|pattern| covers(pattern, action)) {
        return Ok(());
    }
    let Caller { client, object_id, .. } = caller;
    let message = format!(
        "The client '{client}' with object id '{object_id}' does not have authorization to perform action '{action}' \
         over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
    );
    Err(ArmError::new(403, "AuthorizationFailed", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;
    use serde_json::json;

    const NOW: u64 = 1_795_530_309; // 2026-11-24T14:25:09Z

    fn claims(world: &World) -> Value {
        json!({
            "aud": "https://management.azure.com", "iss": format!("https://sts.windows.net/{}/", world.tenant_id),
            "exp": NOW + 60, "nbf": NOW - 60, "appid": world.client_id, "oid": world.principal_id,
            "idtyp": "app", "sub": "s",
        })
    }

    /// What becomes of claims after `edit`; the signature holds.
    fn outcome(edit: impl FnOnce(&mut Value)) -> Result<Caller, ArmError> {
        let world = World::default();
        let mut claims = claims(&world);
        edit(&mut claims);
        authenticate(Some("Bearer t"), &world, from_unix(NOW), |_| {
            Ok(jwt::Verified { header: json!({}), claims })
        })
    }

    #[test]
    fn a_good_token_names_its_caller() {
        let world = World::default();
        let caller = outcome(|_| ()).unwrap();
        let who = Some(entra::Caller::Workspace("s".to_owned()));
        assert_eq!(caller, Caller { client: world.client_id, object_id: world.principal_id, who });
        let v2 = |claims: &mut Value| {
            let tenant = World::default().tenant_id;
            claims["iss"] = json!(format!("https://127.0.0.1:1/{tenant}/v2.0"));
            claims["azp"] = claims.as_object_mut().unwrap().remove("appid").unwrap();
        };
        assert_eq!(outcome(v2).unwrap(), caller);
    }

    #[test]
    fn each_fault_has_its_code_and_words() {
        let code = |edit: fn(&mut Value)| outcome(edit).unwrap_err();
        let audience = code(|c| c["aud"] = json!("https://graph.microsoft.com"));
        assert_eq!((audience.status, audience.code), (401, "InvalidAuthenticationTokenAudience"));
        assert!(audience.message.contains("wrong audience or resource 'https://graph.microsoft.com'."));
        assert_eq!(
            code(|c| c["iss"] = json!("https://sts.windows.net/x/")).code,
            "InvalidAuthenticationTokenTenant"
        );
        let expired = code(|c| c["exp"] = json!(NOW));
        assert_eq!(expired.code, "ExpiredAuthenticationToken");
        assert_eq!(
            expired.message,
            "The access token expiry UTC time '11/24/2026 2:25:09 PM' is earlier than current UTC time \
             '11/24/2026 2:25:09 PM'."
        );
        assert_eq!(code(|c| c["exp"] = json!("soon")).code, "InvalidAuthenticationToken");
        assert_eq!(code(|c| c["nbf"] = json!(NOW + 301)).code, "InvalidAuthenticationToken");
        assert!(outcome(|c| c["nbf"] = json!(NOW + 300)).is_ok());
        assert_eq!(code(|c| c["oid"] = json!("")).code, "InvalidAuthenticationToken");
    }

    #[test]
    fn without_a_token_the_challenge_names_the_tenant() {
        let world = World::default();
        let verify = |_: &str| Err(jwt::Invalid::Signature);
        let missing = authenticate(None, &world, from_unix(NOW), verify).unwrap_err();
        assert_eq!(missing.code, "AuthenticationFailed");
        assert_eq!(
            missing.headers,
            [(
                "WWW-Authenticate",
                format!(
                    "Bearer authorization_uri=\"https://login.windows.net/{}\", error=\"invalid_token\", \
                     error_description=\"The authentication failed because of missing 'Authorization' header.\"",
                    world.tenant_id
                )
            )]
        );
        let code = |header| authenticate(Some(header), &world, from_unix(NOW), verify).unwrap_err().code;
        assert_eq!(code("Basic Zm9v"), "AuthenticationFailedInvalidHeader");
        assert_eq!(code("Bearer forged"), "InvalidAuthenticationToken");
    }

    #[test]
    fn a_missing_role_action_is_told_in_azures_sentence() {
        let world = World { role_actions: vec!["*/read".to_owned()], ..World::default() };
        let caller = Caller { client: "c".to_owned(), object_id: world.principal_id.clone(), who: None };
        assert!(authorize(&caller, &world, "Microsoft.ApiManagement/service/read", "/s").is_ok());
        let refused = authorize(&caller, &world, "Microsoft.ApiManagement/service/subscriptions/write", "/s")
            .unwrap_err();
        assert_eq!((refused.status, refused.code), (403, "AuthorizationFailed"));
        assert_eq!(
            refused.message,
            format!(
                "The client 'c' with object id '{}' does not have authorization to perform action \
                 'Microsoft.ApiManagement/service/subscriptions/write' over scope '/s' or the scope is invalid. If \
                 access was recently granted, please refresh your credentials.",
                world.principal_id
            )
        );
        let user = Caller { object_id: world.sign_in.user.object_id.clone(), ..caller.clone() };
        assert!(authorize(&user, &world, "Microsoft.ApiManagement/service/read", "/s").is_ok());
        let mut roleless = world.clone();
        roleless.sign_in.user.has_role = false;
        assert!(authorize(&user, &roleless, "Microsoft.ApiManagement/service/read", "/s").is_err());
        let stranger = Caller { object_id: "other".to_owned(), ..caller };
        assert!(authorize(&stranger, &world, "Microsoft.ApiManagement/service/read", "/s").is_err());
    }
}
