//! What does not change while the emulator runs: the service, its products, the Azure subscription, the cloud.

use super::{error::ArmError, paging, paging::Window};
use crate::emulator::{wire::Request, world::World};
use serde_json::{Value, json};

/// `ApiManagementService_Get`.
pub(super) fn service(world: &World) -> Value {
    let name = &world.service_name;
    json!({
        "id": world.service_id(),
        "name": name,
        "type": "Microsoft.ApiManagement/service",
        "tags": {},
        "location": "West Europe",
        "etag": "AAAAAAAAAAA=",
        "properties": {
            "publisherEmail": "admin@example.com",
            "publisherName": "Example",
            "notificationSenderEmail": "apimgmt-noreply@mail.windowsazure.com",
            "provisioningState": "Succeeded",
            "targetProvisioningState": "",
            "createdAtUtc": "2026-01-01T00:00:00Z",
            "gatewayUrl": format!("https://{name}.azure-api.net"),
            "hostnameConfigurations": [{
                "type": "Proxy",
                "hostName": format!("{name}.azure-api.net"),
                "negotiateClientCertificate": false,
                "defaultSslBinding": true,
            }],
            "virtualNetworkType": "None",
            "disableGateway": false,
            "publicNetworkAccess": "Enabled",
            "platformVersion": "stv2",
        },
        "sku": { "name": "Developer", "capacity": 1 },
    })
}

/// `Product_Get`.
pub(super) fn product(world: &World, id: &str) -> Result<Value, ArmError> {
    let known = products(world).into_iter().find(|known| known.eq_ignore_ascii_case(id));
    known.map(|known| product_contract(world, known)).ok_or_else(|| ArmError::entity_not_found("Product"))
}

/// `Product_ListByService`.
pub(super) fn product_list(world: &World, request: &Request) -> Result<Value, ArmError> {
    for unsupported in ["$filter", "expandGroups", "tags"] {
        if request.query(unsupported).is_some() {
            return Err(ArmError::not_implemented(&format!("{unsupported} in Product_ListByService")));
        }
    }
    let window = Window::of(request)?;
    let all = products(world);
    let rows = all.iter().skip(window.skip).take(window.top);
    let rows: Vec<Value> = rows.map(|known| product_contract(world, known)).collect();
    Ok(paging::page(request, window, &rows, all.len()))
}

fn products(world: &World) -> Vec<&str> {
    let mut products = vec![world.product.as_str(), world.foreign_product.as_str()];
    products.sort_unstable();
    products
}

fn product_contract(world: &World, id: &str) -> Value {
    let mut title = id.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let description = if id == world.product { "Opens the echo API." } else { "Does not open the echo API." };
    json!({
        "id": format!("{}/products/{id}", world.service_id()),
        "type": "Microsoft.ApiManagement/service/products",
        "name": id,
        "properties": {
            "displayName": title,
            "description": description,
            "terms": "",
            "subscriptionRequired": true,
            "approvalRequired": false,
            "state": "published",
        },
    })
}

/// `Subscriptions_List`: the Azure subscriptions that the caller sees, which `az login` asks for.
pub(super) fn azure_subscriptions(world: &World) -> Value {
    let id = &world.subscription_id;
    let tenant = &world.tenant_id;
    json!({
        "value": [{
            "id": format!("/subscriptions/{id}"),
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionId": id,
            "tenantId": tenant,
            "displayName": "Emulated subscription",
            "state": "Enabled",
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "PayAsYouGo_2014-09-01",
                "spendingLimit": "Off",
            },
        }],
        "count": { "type": "Total", "value": 1 },
    })
}

/// `Metadata_Endpoints`: the cloud's endpoints, by their public names, under which the emulator's proxy serves them.
/// Only ARM is the one that was asked.
pub(super) fn endpoints(host: &str) -> Value {
    json!({
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "resourceManager": format!("https://{host}/"),
        "authentication": {
            "loginEndpoint": "https://login.microsoftonline.com",
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": "https://graph.windows.net/",
        "graphAudience": "https://graph.windows.net/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "media": "https://rest.media.azure.net",
        "batch": "https://batch.core.windows.net/",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/main/arm-compute/quickstart-templates/aliases.json",
        "suffixes": {
            "keyVaultDns": "vault.azure.net",
            "storage": "core.windows.net",
            "sqlServerHostname": "database.windows.net",
            "acrLoginServer": "azurecr.io",
        },
    })
}
