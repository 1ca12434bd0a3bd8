//! Which operation a request addresses, what it addresses, and which role action it needs. Pure.
//!
//! ARM compares everything in a path without regard to case, names and fixed parts alike.

use crate::emulator::template::names;
use http::Method;

/// An operation of ARM, named as the official descriptions name it (`operationId`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// The `operationId`.
    pub id: &'static str,
    method: &'static str,
    /// Below the service for those of APIM, else from the root; `*` stands for a name.
    pub path: &'static str,
    /// The role action; `None` where any valid token will do, or none at all.
    pub action: Option<&'static str>,
    /// Whether the emulator implements it.
    pub implemented: bool,
}

const fn open(id: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation { id, method, path, action: None, implemented: true }
}

const fn apim(id: &'static str, method: &'static str, path: &'static str, action: &'static str) -> Operation {
    Operation { id, method, path, action: Some(action), implemented: true }
}

const fn known(id: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation { id, method, path, action: None, implemented: false }
}

/// Outside of any APIM service.
const ROOT: &[Operation] = &[
    open("Subscriptions_List", "GET", "/subscriptions"),
    open("Metadata_Endpoints", "GET", "/metadata/endpoints"),
];

/// Below an APIM service. The first block is implemented; the rest is known by name, so that the journal, faults and
/// the 501 can name it.
#[rustfmt::skip]
const SERVICE: &[Operation] = &[
    apim("ApiManagementService_Get", "GET", "", "Microsoft.ApiManagement/service/read"),
    apim("Product_ListByService", "GET", "/products", "Microsoft.ApiManagement/service/products/read"),
    apim("Product_Get", "GET", "/products/*", "Microsoft.ApiManagement/service/products/read"),
    apim("Subscription_List", "GET", "/subscriptions", "Microsoft.ApiManagement/service/subscriptions/read"),
    apim("Subscription_GetEntityTag", "HEAD", "/subscriptions/*", "Microsoft.ApiManagement/service/subscriptions/read"),
    apim("Subscription_Get", "GET", "/subscriptions/*", "Microsoft.ApiManagement/service/subscriptions/read"),
    apim("Subscription_CreateOrUpdate", "PUT", "/subscriptions/*", "Microsoft.ApiManagement/service/subscriptions/write"),
    apim("Subscription_Update", "PATCH", "/subscriptions/*", "Microsoft.ApiManagement/service/subscriptions/write"),
    apim("Subscription_Delete", "DELETE", "/subscriptions/*", "Microsoft.ApiManagement/service/subscriptions/delete"),
    apim("Subscription_ListSecrets", "POST", "/subscriptions/*/listSecrets", "Microsoft.ApiManagement/service/subscriptions/listSecrets/action"),
    apim("Subscription_RegeneratePrimaryKey", "POST", "/subscriptions/*/regeneratePrimaryKey", "Microsoft.ApiManagement/service/subscriptions/regeneratePrimaryKey/action"),
    apim("Subscription_RegenerateSecondaryKey", "POST", "/subscriptions/*/regenerateSecondaryKey", "Microsoft.ApiManagement/service/subscriptions/regenerateSecondaryKey/action"),
    // products
    known("Product_GetEntityTag", "HEAD", "/products/*"),
    known("Product_CreateOrUpdate", "PUT", "/products/*"),
    known("Product_Update", "PATCH", "/products/*"),
    known("Product_Delete", "DELETE", "/products/*"),
    known("ProductApi_ListByProduct", "GET", "/products/*/apis"),
    known("ProductApi_CheckEntityExists", "HEAD", "/products/*/apis/*"),
    known("ProductApi_CreateOrUpdate", "PUT", "/products/*/apis/*"),
    known("ProductApi_Delete", "DELETE", "/products/*/apis/*"),
    known("ProductGroup_ListByProduct", "GET", "/products/*/groups"),
    known("ProductGroup_CheckEntityExists", "HEAD", "/products/*/groups/*"),
    known("ProductGroup_CreateOrUpdate", "PUT", "/products/*/groups/*"),
    known("ProductGroup_Delete", "DELETE", "/products/*/groups/*"),
    known("ProductSubscriptions_List", "GET", "/products/*/subscriptions"),
    known("ProductPolicy_ListByProduct", "GET", "/products/*/policies"),
    known("ProductPolicy_GetEntityTag", "HEAD", "/products/*/policies/*"),
    known("ProductPolicy_Get", "GET", "/products/*/policies/*"),
    known("ProductPolicy_CreateOrUpdate", "PUT", "/products/*/policies/*"),
    known("ProductPolicy_Delete", "DELETE", "/products/*/policies/*"),
    known("ProductApiLink_ListByProduct", "GET", "/products/*/apiLinks"),
    known("ProductApiLink_Get", "GET", "/products/*/apiLinks/*"),
    known("ProductApiLink_CreateOrUpdate", "PUT", "/products/*/apiLinks/*"),
    known("ProductApiLink_Delete", "DELETE", "/products/*/apiLinks/*"),
    known("ProductGroupLink_ListByProduct", "GET", "/products/*/groupLinks"),
    known("ProductGroupLink_Get", "GET", "/products/*/groupLinks/*"),
    known("ProductGroupLink_CreateOrUpdate", "PUT", "/products/*/groupLinks/*"),
    known("ProductGroupLink_Delete", "DELETE", "/products/*/groupLinks/*"),
    // groups
    known("Group_ListByService", "GET", "/groups"),
    known("Group_GetEntityTag", "HEAD", "/groups/*"),
    known("Group_Get", "GET", "/groups/*"),
    known("Group_CreateOrUpdate", "PUT", "/groups/*"),
    known("Group_Update", "PATCH", "/groups/*"),
    known("Group_Delete", "DELETE", "/groups/*"),
    // policies
    known("Policy_ListByService", "GET", "/policies"),
    known("Policy_GetEntityTag", "HEAD", "/policies/*"),
    known("Policy_Get", "GET", "/policies/*"),
    known("Policy_CreateOrUpdate", "PUT", "/policies/*"),
    known("Policy_Delete", "DELETE", "/policies/*"),
    // policyfragments
    known("PolicyFragment_ListByService", "GET", "/policyFragments"),
    known("PolicyFragment_GetEntityTag", "HEAD", "/policyFragments/*"),
    known("PolicyFragment_Get", "GET", "/policyFragments/*"),
    known("PolicyFragment_CreateOrUpdate", "PUT", "/policyFragments/*"),
    known("PolicyFragment_Delete", "DELETE", "/policyFragments/*"),
    known("PolicyFragment_ListReferences", "POST", "/policyFragments/*/listReferences"),
    // namedvalues
    known("NamedValue_ListByService", "GET", "/namedValues"),
    known("NamedValue_GetEntityTag", "HEAD", "/namedValues/*"),
    known("NamedValue_Get", "GET", "/namedValues/*"),
    known("NamedValue_CreateOrUpdate", "PUT", "/namedValues/*"),
    known("NamedValue_Update", "PATCH", "/namedValues/*"),
    known("NamedValue_Delete", "DELETE", "/namedValues/*"),
    known("NamedValue_ListValue", "POST", "/namedValues/*/listValue"),
    known("NamedValue_RefreshSecret", "POST", "/namedValues/*/refreshSecret"),
    // gateways
    known("Gateway_ListDebugCredentials", "POST", "/gateways/*/listDebugCredentials"),
    known("Gateway_ListTrace", "POST", "/gateways/*/listTrace"),
    // users
    known("User_ListByService", "GET", "/users"),
    known("User_GetEntityTag", "HEAD", "/users/*"),
    known("User_Get", "GET", "/users/*"),
    known("UserSubscription_List", "GET", "/users/*/subscriptions"),
    known("UserSubscription_Get", "GET", "/users/*/subscriptions/*"),
];

/// What a request addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The operation.
    pub operation: &'static Operation,
    /// The APIM service, unless the operation is outside of any.
    pub service: Option<ServiceName>,
    /// The names below the service, percent-decoded, in order.
    pub names: Vec<String>,
}

/// An APIM service by its names, percent-decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServiceName {
    /// Azure subscription id as sent.
    pub subscription_id: String,
    /// Resource group as sent.
    pub resource_group: String,
    /// Name of the service as sent.
    pub name: String,
}

/// The ids of all operations that [`find`] may give.
pub(super) fn ids() -> Vec<&'static str> {
    [ROOT, SERVICE].concat().iter().map(|operation| operation.id).collect()
}

/// The operation that `method` on `path` (percent-encoded, without a query) addresses, if it is known.
pub(super) fn find(method: &Method, path: &str) -> Option<Call> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let Some((service, below)) = split_service(&parts) {
        let (operation, names) = lookup(SERVICE, method, below)?;
        return Some(Call { operation, service: Some(service), names });
    }
    let (operation, names) = lookup(ROOT, method, &parts)?;
    Some(Call { operation, service: None, names })
}

fn split_service<'a>(parts: &'a [&'a str]) -> Option<(ServiceName, &'a [&'a str])> {
    const TEMPLATE: [&str; 8] =
        ["subscriptions", "*", "resourceGroups", "*", "providers", "Microsoft.ApiManagement", "service", "*"];
    let (head, below) = parts.split_at_checked(TEMPLATE.len())?;
    let [subscription_id, resource_group, name] = names(&TEMPLATE, head)?.try_into().ok()?;
    Some((ServiceName { subscription_id, resource_group, name }, below))
}

fn lookup(
    table: &'static [Operation],
    method: &Method,
    parts: &[&str],
) -> Option<(&'static Operation, Vec<String>)> {
    table.iter().filter(|operation| operation.method == method.as_str()).find_map(|operation| {
        let template: Vec<&str> = operation.path.split('/').filter(|part| !part.is_empty()).collect();
        Some((operation, names(&template, parts)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE_PATH: &str =
        "/subscriptions/S/resourcegroups/rg%201/providers/microsoft.apimanagement/service/apim";

    fn id(method: &Method, path: &str) -> Option<&'static str> {
        find(method, path).map(|call| call.operation.id)
    }

    #[test]
    fn paths_are_read_without_regard_to_case() {
        let call = find(&Method::POST, &format!("{SERVICE_PATH}/Subscriptions/ws-1/LISTSECRETS")).unwrap();
        assert_eq!(call.operation.id, "Subscription_ListSecrets");
        assert_eq!(call.names, ["ws-1"]);
        let service = call.service.unwrap();
        assert_eq!((service.resource_group.as_str(), service.name.as_str()), ("rg 1", "apim"));
    }

    #[test]
    fn method_and_depth_decide() {
        assert_eq!(id(&Method::GET, SERVICE_PATH), Some("ApiManagementService_Get"));
        assert_eq!(id(&Method::PUT, SERVICE_PATH), None);
        assert_eq!(id(&Method::GET, &format!("{SERVICE_PATH}/subscriptions")), Some("Subscription_List"));
        assert_eq!(
            id(&Method::HEAD, &format!("{SERVICE_PATH}/subscriptions/a")),
            Some("Subscription_GetEntityTag")
        );
        assert_eq!(id(&Method::GET, &format!("{SERVICE_PATH}/subscriptions/a/b")), None);
        assert_eq!(id(&Method::GET, "/subscriptions"), Some("Subscriptions_List"));
        assert_eq!(id(&Method::GET, "/metadata/endpoints"), Some("Metadata_Endpoints"));
        assert_eq!(id(&Method::GET, "/tenants"), None);
        let fragment = find(&Method::PUT, &format!("{SERVICE_PATH}/policyFragments/f")).unwrap();
        assert!(!fragment.operation.implemented);
    }

    #[test]
    fn no_two_operations_share_a_name_or_a_place() {
        let all = || ROOT.iter().chain(SERVICE);
        for a in all() {
            assert_eq!(all().filter(|b| a.id == b.id).count(), 1, "{}", a.id);
        }
        for a in SERVICE {
            assert_eq!(
                SERVICE.iter().filter(|b| (a.method, a.path) == (b.method, b.path)).count(),
                1,
                "{}",
                a.id
            );
        }
    }

    #[test]
    fn what_the_emulator_does_needs_a_right() {
        assert!(SERVICE.iter().all(|operation| operation.implemented == operation.action.is_some()));
    }
}
