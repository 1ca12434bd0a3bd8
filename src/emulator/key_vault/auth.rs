//! Who calls, and whether the role assignment allows it. Pure: the signature check and the time come in.

use super::error::VaultError;
use crate::{
    clock,
    emulator::{
        jwt,
        wire::Request,
        world::{World, covers},
    },
};
use serde_json::Value;
use std::time::SystemTime;

/// The resource that Key Vault's tokens are for. With a slash behind it, it is another one.
pub(in crate::emulator) const AUDIENCE: &str = "https://vault.azure.net";

/// How far a clock may be behind that of the token's issuer, in seconds.
const SKEW: u64 = 300;

/// A caller whose token holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The application (`appid` or `azp`).
    pub(super) client: String,
    /// The service principal (`oid`).
    pub(super) object_id: String,
    /// Who issued the token.
    pub(super) issuer: String,
}

/// The `WWW-Authenticate` of each 401: where to get a token, and for what.
///
/// Whoever came by a public name, and so through the proxy, is sent to the public name of Entra; the others to the
/// emulator's own `authority`.
pub(super) fn challenge(host: &str, authority: &str, tenant: &str) -> String {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let public = name.to_ascii_lowercase().ends_with(".vault.azure.net");
    let authority = if public { "https://login.windows.net" } else { authority };
    format!("Bearer authorization=\"{authority}/{tenant}\", resource=\"{AUDIENCE}\"")
}

/// Checks the bearer. The signature is for `verify` to check; all else is checked here.
///
/// Key Vault's order of these checks is not known.
pub(super) fn authenticate(
    request: &Request,
    world: &World,
    now: SystemTime,
    verify: impl FnOnce(&str) -> Result<jwt::Verified, jwt::Invalid>,
) -> Result<Caller, VaultError> {
    let missing = || VaultError::unauthorized("AKV10000: Request is missing a Bearer or PoP token.");
    let token = request.bearer().ok_or_else(missing)?;
    // Seen for tokens that cannot be read; that a wrong signature gets the same is not confirmed.
    let unreadable = "[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.";
    let claims = verify(token).map_err(|_| VaultError::unauthorized(unreadable))?.claims;

    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let (issuer, tenant) = (text("iss"), &world.tenant_id);
    let ours = format!("https://sts.windows.net/{tenant}/");
    if issuer != ours && !issuer.ends_with(&format!("/{tenant}/v2.0")) {
        let message = format!("AKV10032: Invalid issuer. Expected one of {ours}, found {issuer}.");
        return Err(VaultError::unauthorized(message));
    }
    let audience = text("aud");
    if audience != AUDIENCE {
        let message = format!("AKV10022: Invalid audience. Expected {AUDIENCE}, found: {audience}.");
        return Err(VaultError::unauthorized(message));
    }
    check_times(&claims, clock::unix(now))?;
    let client = if text("appid").is_empty() { text("azp") } else { text("appid") };
    Ok(Caller { client: client.to_owned(), object_id: text("oid").to_owned(), issuer: issuer.to_owned() })
}

/// The codes are those of the library that Key Vault checks tokens with: 10222 too early, 10223 too late.
fn check_times(claims: &Value, now: u64) -> Result<(), VaultError> {
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    let refuse = |code: u32| VaultError::unauthorized(format!("Error validating token: IDX{code}"));
    if time("exp").is_none_or(|end| end <= now) {
        return Err(refuse(10_223));
    }
    if time("nbf").is_some_and(|start| start > now.saturating_add(SKEW)) {
        return Err(refuse(10_222));
    }
    Ok(())
}

/// Checks that the caller holds the data action `action` on what `resource` names below the vault.
///
/// Those with a role have what the world says, the operator everything, and nobody else anything.
pub(super) fn authorize(
    caller: &Caller,
    world: &World,
    action: &str,
    resource: &str,
) -> Result<(), VaultError> {
    let assigned =
        world.has_role(&caller.object_id) && world.data_actions.iter().any(|known| covers(known, action));
    if assigned || caller.object_id.eq_ignore_ascii_case(&world.operator_id) {
        return Ok(());
    }
    let Caller { client, object_id, issuer } = caller;
    let vault = &world.vault_name;
    Err(VaultError::rbac(format!(
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role \
         definitions were changed recently, please observe propagation time.\r\nCaller: \
         appid={client};oid={object_id};iss={issuer}\r\nAction: '{action}'\r\nResource: \
         '/subscriptions/{}/resourcegroups/{}/providers/microsoft.keyvault/vaults/{vault}{resource}'\r\nAssignment: \
         (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: \
         {vault};location=westeurope\r\n",
        world.subscription_id, world.resource_group
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::from_unix, emulator::testing::request};
    use serde_json::json;

    const NOW: u64 = 1_795_530_309;

    /// What becomes of a good token's claims after `edit`; the signature holds.
    fn outcome(edit: impl FnOnce(&mut Value)) -> Result<Caller, VaultError> {
        let world = World::default();
        let mut claims = json!({
            "aud": AUDIENCE, "iss": format!("https://sts.windows.net/{}/", world.tenant_id),
            "exp": NOW + 60, "nbf": NOW - 60, "appid": world.client_id, "oid": world.principal_id,
        });
        edit(&mut claims);
        let request = request("GET", "/secrets").with_header("authorization", "Bearer t");
        authenticate(&request, &world, from_unix(NOW), |_| Ok(jwt::Verified { header: json!({}), claims }))
    }

    #[test]
    fn each_fault_has_its_code_and_words() {
        assert_eq!(outcome(|_| ()).unwrap().object_id, World::default().principal_id);
        let message = |edit: fn(&mut Value)| {
            let refused = outcome(edit).unwrap_err();
            assert_eq!((refused.status, refused.code), (401, "Unauthorized"));
            refused.message
        };
        assert_eq!(
            message(|c| c["aud"] = json!("https://management.azure.com")),
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com."
        );
        assert!(
            message(|c| c["aud"] = json!("https://vault.azure.net/")).ends_with("https://vault.azure.net/.")
        );
        assert!(message(|c| c["iss"] = json!("https://sts.windows.net/x/")).starts_with("AKV10032: "));
        assert!(message(|c| c["exp"] = json!(NOW)).ends_with("IDX10223"));
        assert!(message(|c| c["exp"] = Value::Null).ends_with("IDX10223"));
        assert!(message(|c| c["nbf"] = json!(NOW + 301)).ends_with("IDX10222"));
        assert!(outcome(|c| c["nbf"] = json!(NOW + 300)).is_ok());
    }

    #[test]
    fn without_a_bearer_nothing_is_verified() {
        for header in [None, Some("Basic Zm9v"), Some("Bearer")] {
            let plain = request("GET", "/secrets");
            let request = match header {
                Some(header) => plain.with_header("authorization", header),
                None => plain,
            };
            let refused = authenticate(&request, &World::default(), from_unix(NOW), |_| panic!("no token"));
            assert_eq!(refused.unwrap_err().message, "AKV10000: Request is missing a Bearer or PoP token.");
        }
    }

    #[test]
    fn the_challenge_follows_the_way_in() {
        let to = |host| challenge(host, "https://127.0.0.1:5", "t");
        let direct = "Bearer authorization=\"https://127.0.0.1:5/t\", resource=\"https://vault.azure.net\"";
        for host in ["127.0.0.1:6", "localhost:6", "vault.azure.net", "a.vault.azure.net.example"] {
            assert_eq!(to(host), direct, "{host}");
        }
        let public =
            "Bearer authorization=\"https://login.windows.net/t\", resource=\"https://vault.azure.net\"";
        for host in ["a.vault.azure.net", "A.VAULT.azure.net:443"] {
            assert_eq!(to(host), public, "{host}");
        }
    }

    #[test]
    fn rights_are_the_worlds_and_the_operator_has_all() {
        let action = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
        let mut world = World::default();
        let caller = |object_id: &str| Caller {
            client: "c".to_owned(),
            object_id: object_id.to_owned(),
            issuer: "i".to_owned(),
        };
        let workspace = caller(&world.principal_id);
        assert!(authorize(&workspace, &world, action, "/secrets/a").is_ok());
        assert!(authorize(&caller("stranger"), &world, action, "/secrets/a").is_err());
        world.data_actions = vec!["Microsoft.KeyVault/vaults/certificates/read".to_owned()];
        assert!(authorize(&caller(&world.operator_id), &world, action, "/secrets/a").is_ok());
        let refused = authorize(&workspace, &world, action, "/secrets/a").unwrap_err();
        assert_eq!(
            (refused.status, refused.code, refused.inner),
            (403, "Forbidden", Some("ForbiddenByRbac"))
        );
        assert!(refused.message.contains(&format!("Action: '{action}'\r\nResource: '/subscriptions/")));
        assert!(refused.message.contains("/providers/microsoft.keyvault/vaults/kv-emulator/secrets/a'\r\n"));
    }
}
