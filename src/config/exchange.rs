//! Who exchanges subject tokens for access tokens: `[entra]` and `[exchanges.NAME]`.

use std::path::PathBuf;
use url::Url;

/// One way from an identity to access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Which identity it begins with, by name.
    pub identity: String,
    /// How.
    pub method: Method,
}

/// The kinds of exchanges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `entra`: a client assertion by federated credential (RFC 7523), a SAML bearer assertion (RFC 7522) where that is
    /// what the identity gives, and nothing where it is a session that has access tokens already.
    Entra(Entra),
    /// `saml-bearer`: a SAML 2.0 assertion at any authorization server (RFC 7522).
    SamlBearer(SamlBearer),
    /// `token-exchange`: any security token service (RFC 8693).
    TokenExchange(Box<TokenExchange>),
    /// `on-behalf-of`: a person's token for our application, for one for another API, at Entra.
    OnBehalfOf(Box<OnBehalfOf>),
}

impl Method {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Entra(_) => "entra",
            Self::SamlBearer(_) => "saml-bearer",
            Self::TokenExchange(_) => "token-exchange",
            Self::OnBehalfOf(_) => "on-behalf-of",
        }
    }

    /// The directory behind it, with the services that trust its tokens.
    pub fn entra(&self) -> Option<&Entra> {
        match self {
            Self::Entra(entra) => Some(entra),
            Self::OnBehalfOf(on_behalf_of) => Some(&on_behalf_of.entra),
            Self::SamlBearer(_) | Self::TokenExchange(_) => None,
        }
    }
}

/// Entra ID: tenant, client and authority, and what belongs to its cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entra {
    /// Tenant id or verified domain.
    pub tenant_id: String,
    /// The application's (client) id.
    pub client_id: String,
    /// Base URL, such as `https://login.microsoftonline.com`.
    pub authority: Url,
    /// What an id token is asked for: `api://AzureADTokenExchange`; national clouds have their own.
    pub audience: String,
    /// Azure Resource Manager of that cloud.
    pub arm: Arm,
}

/// Azure Resource Manager: endpoint and token scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Base URL, such as `https://management.azure.com`.
    pub url: Url,
    /// Scope of its access token, such as `https://management.azure.com/.default`.
    pub scope: String,
}

/// A SAML bearer grant at any authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlBearer {
    /// The token endpoint.
    pub endpoint: Url,
    /// How we are known there.
    pub client: Client,
}

/// A token exchange, RFC 8693: its parameters by their names there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenExchange {
    /// The token endpoint.
    pub endpoint: Url,
    /// Where issued tokens are revoked (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// What the subject token, and the actor's, are asked for.
    pub subject_audience: String,
    /// What the subject token is said to be; else what it is.
    pub subject_token_type: Option<String>,
    /// What is asked for; else what the service gives.
    pub requested_token_type: Option<String>,
    /// Where the issued token is to be used: URIs.
    pub resource: Vec<String>,
    /// The same by logical names.
    pub audience: Vec<String>,
    /// Whose token goes along as `actor_token`: an identity, by name.
    pub actor: Option<String>,
    /// How we are known there.
    pub client: Client,
}

/// How we are known to an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: Option<String>,
    /// How we prove it.
    pub auth: ClientAuth,
}

/// Client authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// None: a public client (RFC 6749, 2.1), or one that the subject token says enough of.
    None,
    /// A signed assertion (RFC 7523, 2.2).
    PrivateKeyJwt {
        /// PEM file with the private key (PKCS#8; RSA or P-256).
        key_file: PathBuf,
    },
    /// Mutual TLS (RFC 8705).
    Mtls {
        /// PEM file with the certificate and its chain.
        certificate_file: PathBuf,
        /// PEM file with its key.
        key_file: PathBuf,
    },
}

/// An on-behalf-of exchange.
/// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBehalfOf {
    /// Our application, which the person's token is for.
    pub entra: Entra,
    /// The workspace's identity, by name: the application authenticates with its token.
    pub actor: String,
    /// Scope of the person's token: one of our application's.
    pub assertion_scope: String,
}
