//! The Azure clouds: authority, ARM, its token scope, and the audience that federation wants.
//!
//! National clouds are separate installations with hosts of their own; a token of one is worth nothing in another.
//! <https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud>

/// An Azure cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide one.
    #[default]
    Public,
    /// Azure for the United States government.
    UsGovernment,
    /// Azure in China, operated by 21Vianet.
    China,
}

impl Cloud {
    /// All of them with their names in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("public", Self::Public), ("us-government", Self::UsGovernment), ("china", Self::China)];

    /// Entra's base URL.
    pub fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.partner.microsoftonline.cn",
        }
    }

    /// Azure Resource Manager's base URL.
    pub fn arm_url(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// Scope of an access token for ARM.
    pub fn arm_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::UsGovernment => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }

    /// Whether tokens for `audience` are good at Entra, in whichever cloud: who gets one can act as the application there.
    pub fn is_audience(audience: &str) -> bool {
        Self::ALL.iter().any(|(_, cloud)| cloud.audience().eq_ignore_ascii_case(audience))
    }

    /// What follows a Key Vault's name in its host.
    /// <https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#dns-suffixes-for-object-identifiers>
    pub fn vault_suffix(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGovernment => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }

    /// What follows an API Management service's name in its gateway's host.
    /// <https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure>
    pub fn gateway_suffix(self) -> &'static str {
        match self {
            Self::Public => "azure-api.net",
            Self::UsGovernment => "azure-api.us",
            Self::China => "azure-api.cn",
        }
    }

    /// Audience of an id token that Entra exchanges. It differs between the clouds, unlike the rest of a federated
    /// credential. <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity>
    pub fn audience(self) -> &'static str {
        match self {
            Self::Public => "api://AzureADTokenExchange",
            Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Self::China => "api://AzureADTokenExchangeChina",
        }
    }
}
