//! The token for one vault, for the SDK's clients.
//!
//! The SDK asks for whatever scope the answer to its first request names. A host that only looks like the vault could so
//! ask for a token for anything else, such as Azure Resource Manager. Hence the scope has to be the one of the vault's own
//! domain, to the letter: `https://contoso.vault.azure.net` gets tokens for `https://vault.azure.net` and for nothing
//! else. (The SDK's check alone would also let `https://azure.net` pass.)
//!
//! An address of this machine has no domain. It is only ever there because somebody wrote it into the configuration (a
//! vault that is given by its name has a host below a cloud's domain), for an emulator or a tunnel; there any cloud's
//! Key Vault scope is accepted, but still no other.

use super::super::bearer::Bearer;
use crate::{
    clock,
    config::cloud::Cloud,
    error::{Class, Error},
    exchange::{AccessToken, Exchange},
    http::{answer::printable, transport::to_azure},
};
use azure_core::credentials::{self, TokenCredential, TokenRequestOptions};
use std::{fmt, sync::Arc};
use tokio::sync::Mutex;
use url::{Host, Url};

/// Tokens for one vault, cached as [`Bearer`] does; both of the SDK's clients share them.
pub(super) struct Credential {
    host: String,
    /// By scope: one, or those of all clouds for an address of this machine.
    bearers: Vec<(String, Bearer)>,
    /// The one handed out last, to be forgotten if it is refused.
    last: Mutex<Option<(usize, Arc<AccessToken>)>>,
}

impl Credential {
    pub(super) fn new(vault: &Url, exchange: &Arc<dyn Exchange>) -> Self {
        let bearer = |scope: String| (scope.clone(), Bearer::new(Arc::clone(exchange), &scope));
        Self {
            host: vault.host_str().unwrap_or_default().to_owned(),
            bearers: scopes(vault).into_iter().map(bearer).collect(),
            last: Mutex::default(),
        }
    }

    /// Forgets the token that was handed out last: the vault has refused it.
    pub(super) async fn discard(&self) {
        if let Some((place, token)) = self.last.lock().await.take() {
            self.bearers[place].1.discard(&token).await;
        }
    }
}

/// The scopes that a vault may ask for. Pure.
fn scopes(vault: &Url) -> Vec<String> {
    let scope = |domain: &str| format!("https://{domain}/.default");
    if is_loopback(vault) {
        return Cloud::ALL.iter().map(|(_, cloud)| scope(cloud.vault_suffix())).collect();
    }
    match vault.host() {
        Some(Host::Domain(host)) => {
            host.split_once('.').map(|(_, domain)| scope(domain)).into_iter().collect()
        }
        // Another machine's address names no domain, so nothing shows what a token for it would be good for.
        _ => Vec::new(),
    }
}

/// Whether it is an address of this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Holds tokens, so nothing of it is shown. The SDK wants the trait.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.host)
    }
}

#[async_trait::async_trait]
impl TokenCredential for Credential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<credentials::AccessToken> {
        let wanted = |(scope, _): &(String, Bearer)| scopes == [scope.as_str()];
        let Some(place) = self.bearers.iter().position(wanted) else {
            return Err(to_azure(foreign(&self.host, scopes)));
        };
        let token = self.bearers[place].1.get().await.map_err(to_azure)?;
        *self.last.lock().await = Some((place, Arc::clone(&token)));
        // The SDK's copy is not overwritten when it is freed.
        Ok(credentials::AccessToken {
            token: credentials::Secret::new(token.token.expose().to_owned()),
            expires_on: clock::utc(token.expires_at),
        })
    }
}

fn foreign(host: &str, scopes: &[&str]) -> Error {
    Error::new(Class::Config, format!("{host} asks for a token that is not for a Key Vault, and gets none"))
        .why(format!("its challenge names {}", printable(&scopes.join(" "), 200)))
        .fix("check the credential's vault: its name, or its URL such as https://contoso.vault.azure.net")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fake::FakeExchange;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn a_vault_gets_tokens_for_its_own_domain_only() {
        assert_eq!(scopes(&url("https://contoso.vault.azure.net")), ["https://vault.azure.net/.default"]);
        assert_eq!(scopes(&url("https://c.vault.azure.cn:443/")), ["https://vault.azure.cn/.default"]);
        assert_eq!(scopes(&url("https://127.0.0.1:8443")).len(), 3);
        assert_eq!(scopes(&url("https://[::1]:8443")).len(), 3);
        assert!(scopes(&url("https://10.0.0.1")).is_empty());
        assert!(scopes(&url("https://vault")).is_empty());
    }

    #[tokio::test]
    async fn another_scope_is_refused_before_anybody_is_asked_for_a_token() {
        let exchange = Arc::new(FakeExchange::default());
        let shared = Arc::clone(&exchange) as Arc<dyn Exchange>;
        for vault in ["https://contoso.vault.azure.net", "https://127.0.0.1:1"] {
            let credential = Credential::new(&url(vault), &shared);
            for scope in ["https://azure.net/.default", "https://management.azure.com/.default", ""] {
                let error = credential.get_token(&[scope], None).await.expect_err("refused");
                let error = crate::http::transport::from_azure(&error).expect("ours");
                assert_eq!(error.class, Class::Config);
            }
            assert_eq!(exchange.count(), 0);
        }
    }

    #[tokio::test]
    async fn a_token_is_kept_until_it_is_refused() {
        let exchange = Arc::new(FakeExchange::default());
        let shared = Arc::clone(&exchange) as Arc<dyn Exchange>;
        let credential = Credential::new(&url("https://contoso.vault.azure.net"), &shared);
        let scope = ["https://vault.azure.net/.default"];
        credential.get_token(&scope, None).await.expect("token");
        credential.get_token(&scope, None).await.expect("token");
        assert_eq!(exchange.count(), 1);
        credential.discard().await;
        credential.get_token(&scope, None).await.expect("token");
        assert_eq!(exchange.scopes(), [scope[0], scope[0]]);
    }
}
