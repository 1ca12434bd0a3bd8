//! What a new configuration changes for an agent that runs. Pure.

use crate::config::{Config, Credential, Method, Target};

/// What becomes of each credential, by name, and of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// They go on as they are; at most the variable, the grace, or whether they are required is another one.
    pub kept: Vec<String>,
    /// They are taken out, and released.
    pub removed: Vec<String>,
    /// They begin.
    pub added: Vec<String>,
    /// They are taken out, released, and begin anew.
    pub changed: Vec<String>,
    /// Something of those that are kept differs all the same.
    pub adjusted: Vec<String>,
    /// The published URLs of gateways differ.
    pub gateways: bool,
    /// Settings that a running agent does not change: they take effect at the next start.
    pub later: Vec<&'static str>,
}

impl Plan {
    /// Whether nothing is to be done now.
    pub fn is_nothing(&self) -> bool {
        let lists = [&self.removed, &self.added, &self.changed, &self.adjusted];
        lists.iter().all(|list| list.is_empty()) && !self.gateways
    }
}

/// What `new` changes for an agent that lives by `old`.
///
/// A credential is kept if its entry and all that it refers to (identity, exchange, gateway) is the same, less what can be
/// changed without a new value.
pub fn compare(old: &Config, new: &Config) -> Plan {
    let find = |config: &'_ Config, name: &str| {
        config.credentials.iter().find(|credential| credential.name == name).cloned()
    };
    let mut plan = Plan::default();
    for credential in &old.credentials {
        if find(new, &credential.name).is_none() {
            plan.removed.push(credential.name.clone());
        }
    }
    for credential in &new.credentials {
        let name = credential.name.clone();
        match find(old, &name) {
            None => plan.added.push(name),
            Some(before) if is_same(&before, old, credential, new) => {
                if before != *credential {
                    plan.adjusted.push(name.clone());
                }
                plan.kept.push(name);
            }
            Some(_) => plan.changed.push(name),
        }
    }
    // In another order they stand in the file in another order, and no more than that.
    let urls = |config: &Config| -> Vec<_> {
        config.gateways.iter().map(|(name, gateway)| (name.clone(), gateway.url.clone())).collect()
    };
    plan.gateways = urls(old) != urls(new);
    let fixed = [
        ("workspace", old.workspace == new.workspace),
        ("runtime_dir", old.runtime_dir == new.runtime_dir),
        ("ca_file", old.ca_file == new.ca_file),
        ("request_timeout", old.request_timeout == new.request_timeout),
        ("revoke_timeout", old.revoke_timeout == new.revoke_timeout),
    ];
    plan.later = fixed.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect();
    plan
}

/// `new`, with what a running agent does not change as it is in `old`.
#[must_use]
pub fn applicable(old: &Config, new: Config) -> Config {
    Config {
        workspace: old.workspace.clone(),
        runtime_dir: old.runtime_dir.clone(),
        ca_file: old.ca_file.clone(),
        request_timeout: old.request_timeout,
        revoke_timeout: old.revoke_timeout,
        ..new
    }
}

/// The identities that a credential needs, by name: the one that it begins with, and the actor's, where one takes part.
pub fn identities<'a>(config: &'a Config, credential: &'a Credential) -> Vec<&'a str> {
    if let Target::IdToken { identity, .. } = &credential.target {
        return vec![identity];
    }
    let exchange = credential.target.exchange().and_then(|name| config.exchanges.get(name));
    let Some(exchange) = exchange else { return Vec::new() };
    let actor = match &exchange.method {
        Method::TokenExchange(method) => method.actor.as_deref(),
        Method::OnBehalfOf(method) => Some(method.actor.as_str()),
        Method::Entra(_) | Method::SamlBearer(_) => None,
    };
    std::iter::once(exchange.identity.as_str()).chain(actor).collect()
}

fn is_same(before: &Credential, old: &Config, after: &Credential, new: &Config) -> bool {
    let adjusted =
        Credential { env: after.env.clone(), required: after.required, grace: after.grace, ..before.clone() };
    let exchange = |config: &Config, credential: &Credential| {
        credential.target.exchange().and_then(|name| config.exchanges.get(name).cloned())
    };
    let whose = |config: &Config, credential: &Credential| -> Vec<_> {
        identities(config, credential).into_iter().map(|name| config.identities.get(name).cloned()).collect()
    };
    let gateway =
        |config: &Config, credential: &Credential| config.gateways.get(&credential.gateway).cloned();
    adjusted == *after
        && exchange(old, before) == exchange(new, after)
        && whose(old, before) == whose(new, after)
        && gateway(old, before) == gateway(new, after)
}
