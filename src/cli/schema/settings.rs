//! What each setting means, in words for an editor, and the form of its value.

#[allow(clippy::enum_glob_use)] // The table is read by its columns.
use super::forms::Form::{self, *};

/// A setting: its table (empty at the top), its key there, its form, its meaning.
pub(super) type Row = (&'static str, &'static str, Form, &'static str);

/// All settings, as the tables of `crate::config::keys` name them: `identities` and `gateways` take the rows of
/// `identity` and `gateway`.
#[rustfmt::skip] // A table: one setting a line.
pub(super) const ROWS: &[Row] = &[
    ("", "workspace", Text, "Name of this workspace; one agent runs for each. Default: the platform's id for it, else the host's name."),
    ("", "cloud", Cloud, "The Azure cloud: sets audience, authority, the two of ARM, and where vaults are. Default: public."),
    ("", "ca_file", Text, "PEM certificates to trust besides the system's. A relative path begins at this file's folder."),
    ("", "runtime_dir", Text, "Folder for the env file; refused unless it lies in RAM. Default: the first that fits."),
    ("", "request_timeout", Duration, "Deadline of one request, 100ms to 5m. Default: 10s."),
    ("", "revoke_timeout", Duration, "Deadline of all revocations at the end, 100ms to 5m. Default: 8s."),

    ("identity", "source", Source, "Where the identity comes from. Default: auto, the first that is here; device-code and browser have to be named."),
    ("identity", "audience", Word, "What the id token is asked for. managed-identity: makes it an assertion. saml: has to be in it. Default: the cloud's."),
    ("identity", "url", HttpsOrLoopback, "ona, gitpod: the platform's API, where it is not the usual one."),
    ("identity", "bearer_file", Text, "ona: the file with the bearer for its API. Default: /usr/local/gitpod/secrets/token."),
    ("identity", "token_file", Text, "file: the file with the id token, read anew each time."),
    ("identity", "variable", Variable, "env, gitlab: the name of the variable with the id token. Default: APIM_AGENT_ID_TOKEN, for gitlab GITLAB_OIDC_TOKEN."),
    ("identity", "command", Argv, "command, saml: the program that prints the token, and its arguments; no shell reads it, and {audience} is replaced."),
    ("identity", "assertion_file", Text, "saml: the file with the assertion, read anew each time."),
    ("identity", "tenant_id", Tenant, "device-code, browser, azure-cli, azd: the tenant to sign in at. Default: entra.tenant_id."),
    ("identity", "client_id", Guid, "device-code, browser: the application to sign in to. managed-identity: which identity. Default: entra.client_id."),
    ("identity", "authority", HttpsHost, "device-code, browser: where to sign in. Default: entra.authority."),
    ("identity", "imds_url", Imds, "managed-identity: the metadata service. Default: http://169.254.169.254."),

    ("entra", "tenant_id", Tenant, "The tenant: its GUID or one of its domains."),
    ("entra", "client_id", Guid, "The application with the federated credential."),
    ("entra", "authority", HttpsHost, "Entra's base URL. Default: the cloud's."),
    ("arm", "url", Https, "Azure Resource Manager; asked for subscription keys only. Default: the cloud's."),
    ("arm", "scope", DefaultScope, "Scope of its access token. Default: the cloud's."),

    ("gateway", "url", Https, "The gateway's base URL."),
    ("gateway", "service", Service, "ARM id of the API Management service; a subscription-key needs it."),
    ("gateway", "probe", Probe, "Path at which credentials are tried before they are published, unless they name one."),

    ("exchanges", "kind", ExchangeKind, "How the identity becomes an access token. Default: entra."),
    ("exchanges", "identity", Word, "Which of [identities.NAME] it begins with. Default: [identity]."),
    ("exchanges", "subject_audience", Word, "What the id token is asked for. token-exchange: has to be set, to an audience that is not Entra's."),
    ("exchanges", "cloud", Cloud, "entra, on-behalf-of: as the plain setting of that name."),
    ("exchanges", "tenant_id", Tenant, "entra, on-behalf-of: the tenant; needed there."),
    ("exchanges", "client_id", Word, "The application; elsewhere the name by which the agent is known."),
    ("exchanges", "authority", HttpsHost, "entra, on-behalf-of: Entra's base URL. Default: the cloud's."),
    ("exchanges", "arm_url", Https, "entra, on-behalf-of: Azure Resource Manager there. Default: the cloud's."),
    ("exchanges", "arm_scope", DefaultScope, "entra, on-behalf-of: scope of its access token. Default: the cloud's."),
    ("exchanges", "assertion_scope", Scope, "on-behalf-of: which of our application's scopes the person signs in for."),
    ("exchanges", "token_endpoint", Https, "token-exchange, saml-bearer: where requests go."),
    ("exchanges", "revocation_endpoint", Https, "token-exchange: where tokens are revoked (RFC 7009)."),
    ("exchanges", "subject_token_type", Word, "token-exchange: RFC 8693. Default: what the identity is."),
    ("exchanges", "requested_token_type", Word, "token-exchange: RFC 8693."),
    ("exchanges", "resource", Words, "token-exchange: RFC 8693."),
    ("exchanges", "audience", Words, "token-exchange: RFC 8693."),
    ("exchanges", "actor", Word, "token-exchange: the identity whose token goes along (RFC 8693). on-behalf-of: the one that the application proves itself with."),
    ("exchanges", "client_auth", ClientAuth, "none, private-key-jwt (RFC 7523) or mtls (RFC 8705). Default: none."),
    ("exchanges", "certificate_file", Text, "mtls: PEM, the certificate and those that signed it."),
    ("exchanges", "key_file", Text, "mtls, private-key-jwt: PEM, the private key."),

    ("credentials", "kind", Kind, "What it is. Default: access-token."),
    ("credentials", "scope", Scope, "access-token: RESOURCE/.default, or what its exchange takes. subscription-key: /products/ID, /apis/ID, or /apis for all."),
    ("credentials", "env", Variable, "The variable that it is published as."),
    ("credentials", "required", Flag, "Whether the agent is ready only with it, and ends with an error without it. Default: true."),
    ("credentials", "lifetime", Duration, "subscription-key: how long a published one is good for. vault-…: how long it is published after the vault has confirmed it. 2s to 24h. Default: 1h."),
    ("credentials", "grace", Duration, "subscription-key, brokered: how long one works on after its successor is published. Default: 60s, or a quarter of a shorter lifetime."),
    ("credentials", "probe", Probe, "Path at which it is tried before it is published. Default: the gateway's."),
    ("credentials", "gateway", Word, "Which of [gateways.NAME] it is for. Default: [gateway]."),
    ("credentials", "exchange", Word, "Which of [exchanges.NAME] it comes through. Default: [entra]."),
    ("credentials", "identity", Word, "id-token: which of [identities.NAME]. Default: [identity]."),
    ("credentials", "audience", Word, "id-token: for whom."),
    ("credentials", "vault", Vault, "vault-…: the vault's name, or its URL."),
    ("credentials", "secret", VaultName, "vault-secret: its name in the vault."),
    ("credentials", "certificate", VaultName, "vault-certificate: its name in the vault."),
    ("credentials", "version", VaultVersion, "vault-…: a version. Default: the current one."),
];

/// What the tables are for.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("identity", "Who this workspace is."),
    ("entra", "The application that Microsoft Entra makes of the identity."),
    ("arm", "Azure Resource Manager, where subscription keys are made."),
    ("gateway", "The API Management gateway that the credentials are for."),
    ("identities", "Further identities, each under a name."),
    ("exchanges", "Further tenants, clouds and token endpoints, each under a name."),
    ("gateways", "Further gateways, each under a name."),
    ("credentials", "What is fetched, renewed, published and revoked; each under a name of your choice."),
];
