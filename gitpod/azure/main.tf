# What docs/azure.md sets up by hand: the application that workspaces act as, whom it trusts, the role for
# subscription keys, a product, and the policy fragment that lets keys die at their date. No secret is made.
# Syntax is checked by ours; it was never applied by us to a live tenant.

terraform {
  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = "~> 3.0"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

provider "azurerm" {
  features {}
}

variable "resource_group" {
  type        = string
  description = "Resource group of the API Management service"
}

variable "service" {
  type        = string
  description = "Name of the API Management service"
}

variable "apis" {
  type        = set(string)
  description = "Names of the APIs that workspaces may call with their keys"
}

variable "issuer" {
  type        = string
  default     = "https://app.gitpod.io"
  description = "The iss of the workspaces' id tokens, letter by letter"
}

variable "subjects" {
  type        = map(string)
  description = "The sub of each project's id tokens by a name of yours; an application takes at most 20"
}

data "azurerm_api_management" "this" {
  name                = var.service
  resource_group_name = var.resource_group
}

resource "azuread_application" "workspaces" {
  display_name = "apim-workspaces"
}

resource "azuread_service_principal" "workspaces" {
  client_id = azuread_application.workspaces.client_id
}

resource "azuread_application_federated_identity_credential" "workspaces" {
  for_each       = var.subjects
  application_id = azuread_application.workspaces.id
  display_name   = each.key
  issuer         = var.issuer
  subject        = each.value
  audiences      = ["api://AzureADTokenExchange"]
}

# Only for credentials of kind subscription-key: docs/azure.md says what these rights allow beyond what the agent does.
resource "azurerm_role_definition" "keys" {
  name              = "API Management workspace keys"
  description       = "Creates, renews and deletes API Management subscriptions. Cannot read keys."
  scope             = data.azurerm_api_management.this.id
  assignable_scopes = [data.azurerm_api_management.this.id]

  permissions {
    actions = [
      "Microsoft.ApiManagement/service/subscriptions/read",
      "Microsoft.ApiManagement/service/subscriptions/write",
      "Microsoft.ApiManagement/service/subscriptions/delete",
    ]
  }
}

resource "azurerm_role_assignment" "keys" {
  scope              = data.azurerm_api_management.this.id
  role_definition_id = azurerm_role_definition.keys.role_definition_resource_id
  principal_id       = azuread_service_principal.workspaces.object_id
}

resource "azurerm_api_management_product" "workspaces" {
  resource_group_name   = var.resource_group
  api_management_name   = var.service
  product_id            = "workspaces"
  display_name          = "Workspaces"
  subscription_required = true
  approval_required     = false
  published             = true
}

resource "azurerm_api_management_product_api" "workspaces" {
  for_each            = var.apis
  resource_group_name = var.resource_group
  api_management_name = var.service
  product_id          = azurerm_api_management_product.workspaces.product_id
  api_name            = each.value
}

resource "azurerm_api_management_policy_fragment" "expiry" {
  api_management_id = data.azurerm_api_management.this.id
  name              = "expire-workspace-keys"
  description       = "Refuses keys of workspaces that are past their date"
  format            = "rawxml"
  value             = file("${path.module}/../policies/expire-workspace-keys.xml")
}

output "client_id" {
  value       = azuread_application.workspaces.client_id
  description = "entra.client_id of apim-agent.toml"
}

output "service" {
  value       = data.azurerm_api_management.this.id
  description = "gateway.service of apim-agent.toml"
}
