//! What the emulated Azure consists of: names, lives, delays. Plain data, fixed at start.

use super::entra::SignIn;
use super::gateway::{Thumbprint, broker::BrokerClient};
use std::time::Duration;

/// The emulated tenant, its application, its APIM service and how they behave.
#[derive(Clone, Debug)]
pub struct World {
    /// The directory's id (a GUID).
    pub tenant_id: String,
    /// The workspace application's id (a GUID).
    pub client_id: String,
    /// The object id of its service principal (a GUID).
    pub principal_id: String,
    /// The Azure subscription's id (a GUID).
    pub subscription_id: String,
    /// Resource group of the APIM service.
    pub resource_group: String,
    /// Name of the APIM service.
    pub service_name: String,
    /// Application ID URI of the API behind the gateway, such as `api://echo`; access tokens for it carry it as `aud`.
    pub api_audience: String,
    /// Product whose keys open the echo API, such as `starter`.
    pub product: String,
    /// Another product, whose keys do not.
    pub foreign_product: String,
    /// Role actions that the service principal holds at the APIM service; `*` at the end matches the rest.
    pub role_actions: Vec<String>,
    /// Name of the vault.
    pub vault_name: String,
    /// A secret that is in the vault from the start.
    pub secret_name: String,
    /// A client certificate that is in the vault from the start.
    pub certificate_name: String,
    /// Data actions that the service principal holds at the vault; `*` stands for any text.
    pub data_actions: Vec<String>,
    /// The object id of the principal that holds every data action at the vault, for those who rotate.
    pub operator_id: String,
    /// How people sign in, and who.
    pub sign_in: SignIn,
    /// Life of access tokens; `None` draws 60-90 minutes for each as Entra does.
    pub access_token_life: Option<Duration>,
    /// Life of id tokens.
    pub id_token_life: Duration,
    /// Client certificates that open the partner API, besides those of the vault.
    pub partner_certificates: Vec<Thumbprint>,
    /// What the broker's subject tokens must be for: the `aud` of an id token that is traded there.
    pub broker_audience: String,
    /// Life of the keys that the broker mints.
    pub broker_life: Duration,
    /// Who may use the broker; when empty, everybody who brings a subject token.
    pub broker_clients: Vec<BrokerClient>,
    /// The managed identity of the machine that IMDS speaks for.
    pub managed_identity: ManagedIdentity,
    /// How long the gateway does not know a new or changed key.
    pub key_delay: Duration,
    /// Calls a minute for each key at the echo API.
    pub rate_limit: u32,
    /// Whether the echo API's policy refuses the agent's keys past their end: `gitpod/policies/expire-workspace-keys.xml`.
    pub expire_workspace_keys: bool,
    /// How many times faster than in Azure ARM's throttling gives tokens back; the buckets are as large as there.
    pub arm_refill: u32,
}

/// A user-assigned managed identity.
#[derive(Clone, Debug)]
pub struct ManagedIdentity {
    /// Its application's id (a GUID).
    pub client_id: String,
    /// The object id of its service principal (a GUID), which is the `sub` and `oid` of its tokens.
    pub object_id: String,
    /// Its resource's name.
    pub name: String,
}

impl Default for ManagedIdentity {
    fn default() -> Self {
        Self {
            client_id: "d4c3b2a1-6f5e-4d7c-9b8a-1a2b3c4d5e55".to_owned(),
            object_id: "e6f7a8b9-1c2d-4e3f-8a4b-5c6d7e8f9a66".to_owned(),
            name: "workspaces".to_owned(),
        }
    }
}

impl World {
    /// Whether a principal holds the roles of [`World::role_actions`] and [`World::data_actions`]: the workspace's does, so
    /// does the managed identity, and the person as set.
    pub fn has_role(&self, object_id: &str) -> bool {
        let user = &self.sign_in.user;
        let principals = [&self.principal_id, &self.managed_identity.object_id];
        principals
            .into_iter()
            .chain(user.has_role.then_some(&user.object_id))
            .any(|id| id.eq_ignore_ascii_case(object_id))
    }

    /// ARM resource id of the APIM service.
    pub fn service_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ApiManagement/service/{}",
            self.subscription_id, self.resource_group, self.service_name
        )
    }

    /// ARM resource id of the managed identity.
    pub fn managed_identity_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourcegroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
            self.subscription_id, self.resource_group, self.managed_identity.name
        )
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            tenant_id: "7a1d0f3c-5b5e-4c0e-9d58-0d5c1e6f2a11".to_owned(),
            client_id: "3f2b8e6a-91c4-4d7e-8a35-6b0f4c9d1e22".to_owned(),
            principal_id: "c5d9a7e4-2f18-4b63-b0a9-7e4d3c2b1a33".to_owned(),
            subscription_id: "b9e8d7c6-0a1b-4c2d-8e3f-4a5b6c7d8e44".to_owned(),
            resource_group: "rg-workspaces".to_owned(),
            service_name: "apim-emulator".to_owned(),
            api_audience: "api://echo".to_owned(),
            product: "starter".to_owned(),
            foreign_product: "unlimited".to_owned(),
            role_actions: vec!["Microsoft.ApiManagement/service/*".to_owned()],
            vault_name: "kv-emulator".to_owned(),
            secret_name: "partner-api-key".to_owned(),
            certificate_name: "partner-client".to_owned(),
            data_actions: vec![
                "Microsoft.KeyVault/vaults/secrets/*".to_owned(),
                "Microsoft.KeyVault/vaults/certificates/*".to_owned(),
            ],
            operator_id: "e1f4a6b8-3c27-4d95-a1e0-9b8c7d6e5f55".to_owned(),
            sign_in: SignIn::default(),
            access_token_life: None,
            id_token_life: Duration::from_hours(1),
            partner_certificates: Vec::new(),
            broker_audience: "api://apim-broker".to_owned(),
            broker_life: Duration::from_hours(1),
            broker_clients: Vec::new(),
            managed_identity: ManagedIdentity::default(),
            key_delay: Duration::ZERO,
            rate_limit: 600,
            expire_workspace_keys: true,
            arm_refill: 1,
        }
    }
}

/// Whether a role's action such as `Microsoft.ApiManagement/service/*` covers `action`; `*` stands for any text.
pub(super) fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == action };
    let Some(mut left) = action.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_actions_may_hold_stars() {
        let write = "Microsoft.ApiManagement/service/subscriptions/write";
        for pattern in
            [write, "*", "*/write", "microsoft.apimanagement/service/*", "M*/subscriptions/*", "*/subs*/wr*e"]
        {
            assert!(covers(pattern, write), "{pattern}");
        }
        for pattern in
            ["", "*/read", "Microsoft.ApiManagement/service", "Microsoft.ApiManagement/service/products/*"]
        {
            assert!(!covers(pattern, write), "{pattern}");
        }
    }
}
