//! What a token can be asked for: the resources of the directory, and scopes that name them.

use super::errors::Refusal;
use crate::emulator::{key_vault, world::World};

/// The resource that Azure Resource Manager's tokens are for, and an older name of it.
const ARM: &str = "https://management.azure.com";
const ARM_CLASSIC: &str = "https://management.core.windows.net";

/// Microsoft Graph, whose scopes need no prefix; also what a token is for when only `OpenID` scopes are asked for.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// A resource that tokens are issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// The tokens' `aud`.
    pub(super) audience: String,
    /// The application's roles there.
    pub(super) roles: &'static [&'static str],
    /// What a person can let the application do there. All of it has been consented to.
    pub(super) permissions: &'static [&'static str],
}

/// The resource of that name.
pub(super) fn resource(world: &World, name: &str) -> Option<Resource> {
    // `az` asks for `https://management.azure.com//.default`: what is left has a slash of its own.
    let plain = name.strip_suffix('/').unwrap_or(name);
    let found = |audience: &str, roles, permissions| {
        Some(Resource { audience: audience.to_owned(), roles, permissions })
    };
    match plain {
        ARM | ARM_CLASSIC => found(ARM, &[], &["user_impersonation"]),
        // As it was named: with a slash of its own it is another audience, which no vault takes.
        key_vault::AUDIENCE => found(name, &[], &["user_impersonation"]),
        GRAPH | "https://graph.microsoft.com" => found(GRAPH, &[], &["User.Read"]),
        api if api == world.api_audience => found(api, &["Echo.Call"], &["Echo.Read"]),
        own if is_own(world, own) => found(own, &[], &["access_as_user"]),
        _ => None,
    }
}

/// Whether an audience or resource name is the workspace application itself.
pub(super) fn is_own(world: &World, name: &str) -> bool {
    name.strip_prefix("api://").unwrap_or(name) == world.client_id
}

/// The resource behind an application's scope, which is `RESOURCE/.default` and nothing else.
pub(super) fn for_app(world: &World, scope: &str) -> Result<Resource, Refusal> {
    if scope.split_whitespace().count() > 1 {
        return Err(Refusal::several_scopes(scope));
    }
    let name = scope.strip_suffix("/.default").ok_or_else(|| Refusal::scope(scope))?;
    if name.trim_matches('/').is_empty() {
        return Err(Refusal::scope(scope));
    }
    resource(world, name).ok_or_else(|| Refusal::resource(name, &world.tenant_id))
}

/// What a person's tokens are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserScope {
    /// The access token's `aud`.
    pub(super) audience: String,
    /// Its `scp`.
    pub(super) permissions: Vec<String>,
    /// The answer's `scope`: each permission with its resource's name as it was asked for.
    pub(super) told: String,
    /// `openid`: an id token is wanted.
    pub(super) openid: bool,
    /// `offline_access`: a refresh token is wanted.
    pub(super) offline: bool,
}

/// Reads a person's scopes: any of `OpenID` Connect's, and any permissions of one resource or its `.default`.
pub(super) fn for_user(world: &World, scope: &str) -> Result<UserScope, Refusal> {
    let (openid, rest): (Vec<&str>, Vec<&str>) = scope
        .split_whitespace()
        .partition(|word| matches!(*word, "openid" | "profile" | "email" | "offline_access"));
    let has = |word: &str| openid.contains(&word);

    let mut wanted = rest.iter().map(|word| word.rsplit_once('/').unwrap_or((GRAPH, word)));
    let name = wanted.clone().next().map_or(GRAPH, |(name, _)| name);
    let resource = resource(world, name).ok_or_else(|| Refusal::resource(name, &world.tenant_id))?;
    let same = |(other, _): (&str, &str)| self::resource(world, other).as_ref() == Some(&resource);
    if !wanted.clone().all(same) {
        return Err(Refusal::several_resources(scope));
    }
    let is_default = wanted.any(|(_, permission)| permission == ".default");
    if is_default && rest.len() > 1 {
        return Err(Refusal::mixed_default(scope));
    }
    let permissions: Vec<&str> = if is_default {
        resource.permissions.to_vec()
    } else {
        rest.iter().map(|word| word.rsplit_once('/').map_or(*word, |(_, permission)| permission)).collect()
    };
    if let Some(unknown) = permissions.iter().find(|permission| !resource.permissions.contains(permission)) {
        return Err(Refusal::unknown_permission(&world.client_id, unknown, &resource.audience));
    }
    let mut told: Vec<String> = rest.iter().map(|&word| word.to_owned()).collect();
    if is_default {
        told.splice(0..0, permissions.iter().map(|permission| format!("{name}/{permission}")));
    }
    if resource.audience == GRAPH {
        let shown = openid.iter().filter(|word| **word != "offline_access");
        told.extend(shown.map(|&word| word.to_owned()));
    }
    Ok(UserScope {
        audience: resource.audience,
        permissions: permissions.into_iter().map(str::to_owned).collect(),
        told: told.join(" "),
        openid: has("openid"),
        offline: has("offline_access"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_of_one_resource_and_openid_scopes_go_together() {
        let world = World::default();
        let scope = for_user(&world, "openid offline_access api://echo/Echo.Read").unwrap();
        assert_eq!((scope.audience.as_str(), scope.told.as_str()), ("api://echo", "api://echo/Echo.Read"));
        assert_eq!(scope.permissions, ["Echo.Read"]);
        assert!(scope.openid && scope.offline);

        let scope = for_user(&world, "https://management.core.windows.net//.default").unwrap();
        assert_eq!(scope.audience, "https://management.azure.com");
        assert_eq!(
            scope.told,
            "https://management.core.windows.net//user_impersonation https://management.core.windows.net//.default"
        );
        let own = format!("api://{}/access_as_user", world.client_id);
        assert_eq!(for_user(&world, &own).unwrap().permissions, ["access_as_user"]);
        let graph = for_user(&world, "openid profile User.Read").unwrap();
        assert_eq!((graph.audience.as_str(), graph.told.as_str()), (GRAPH, "User.Read openid profile"));
        assert!(for_user(&world, "openid").unwrap().permissions.is_empty());
    }

    #[test]
    fn what_goes_together_with_nothing_is_refused() {
        let world = World::default();
        for (scope, code) in [
            ("api://echo/Echo.Read https://vault.azure.net/user_impersonation", 28_000),
            ("api://echo/.default api://echo/Echo.Read", 70_011),
            ("api://echo/Echo.Write", 650_053),
            ("Mail.Read", 650_053),
            ("api://other/.default", 500_011),
            ("api://echo", 500_011),
            ("/.default", 500_011),
        ] {
            assert_eq!(for_user(&world, scope).unwrap_err().code, code, "{scope}");
        }
    }
}
