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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Choice, Entry, Env, Inputs, load};
    use std::{path::Path, time::Duration};

    const GATEWAYS: [(&str, &str); 6] = [
        ("workspace", "w"),
        ("entra.tenant_id", "contoso.onmicrosoft.com"),
        ("entra.client_id", "00000000-0000-0000-0000-000000000001"),
        ("gateway.url", "https://one.example"),
        ("gateways.two.url", "https://two.example"),
        ("identity.source", "ona"),
    ];
    const CREDENTIALS: [(&str, &str); 5] = [
        ("credentials.a.scope", "api://a/.default"),
        ("credentials.a.env", "A"),
        ("credentials.b.scope", "api://b/.default"),
        ("credentials.b.env", "B"),
        ("credentials.b.gateway", "two"),
    ];

    fn config(changes: &[(&str, &str)]) -> Config {
        let settings = GATEWAYS.iter().chain(&CREDENTIALS).chain(changes);
        let flags: Vec<_> = settings.map(|(key, text)| Entry::flag("--set", *key, *text)).collect();
        let (env, folder) = (Env::default(), Path::new("/"));
        load(&Inputs { file: Choice::Nothing, env: &env, flags: &flags, folder, host_name: "host" }).unwrap()
    }

    fn changed(changes: &[(&str, &str)]) -> Plan {
        compare(&config(&[]), &config(changes))
    }

    #[test]
    fn a_credential_is_what_it_says_and_all_that_it_refers_to() {
        assert!(changed(&[]).is_nothing());
        for (setting, names) in [
            (("credentials.a.scope", "api://c/.default"), &["a"][..]),
            (("credentials.a.probe", "/status"), &["a"]),
            (("gateways.two.probe", "/status"), &["b"]),
            (("entra.client_id", "00000000-0000-0000-0000-000000000002"), &["a", "b"]),
            (("identity.source", "gitpod"), &["a", "b"]),
        ] {
            let plan = changed(&[setting]);
            assert_eq!(plan.changed, names, "{setting:?}");
            assert_eq!(plan.kept.len() + plan.changed.len(), 2, "{setting:?}");
            assert!(!plan.gateways && plan.later.is_empty(), "{setting:?}");
        }
        let plan = changed(&[("gateways.two.url", "https://three.example")]);
        assert!(plan.gateways && plan.changed == ["b"] && plan.kept == ["a"], "{plan:?}");
    }

    #[test]
    fn a_name_and_a_duty_are_changed_without_a_new_value() {
        for setting in [("credentials.a.env", "OTHER"), ("credentials.a.required", "false")] {
            let plan = changed(&[setting]);
            assert_eq!((plan.adjusted, plan.kept.len()), (vec!["a".to_owned()], 2), "{setting:?}");
        }
    }

    #[test]
    fn credentials_come_and_go() {
        let (old, new) =
            (config(&[]), config(&[("credentials.c.scope", "api://c/.default"), ("credentials.c.env", "C")]));
        assert_eq!(compare(&old, &new).added, ["c"]);
        assert_eq!(compare(&new, &old).removed, ["c"]);
        assert_eq!(compare(&new, &old).kept, ["a", "b"]);
    }

    #[test]
    fn what_cannot_change_in_a_running_agent_waits_for_the_next_start() {
        let old = config(&[]);
        let new = config(&[("workspace", "other"), ("request_timeout", "7s")]);
        let plan = compare(&old, &new);
        assert!(plan.is_nothing(), "{plan:?}");
        assert_eq!(plan.later, ["workspace", "request_timeout"]);
        let applied = applicable(&old, new);
        assert_eq!(applied.workspace, "w");
        assert_ne!(applied.request_timeout, Duration::from_secs(7));
    }
}
