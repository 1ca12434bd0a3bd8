//! The part of a configuration that leads to one credential's service, in the configuration's own form. Pure.

use crate::{
    config::{
        self, Choice, Config, Credential, DEFAULT, Entra, Entry, Env, Identity, Inputs, Method, Target,
        duration,
    },
    error::{Class, Error, Result},
    lifecycle::change::identities,
};
use std::{collections::BTreeMap, path::Path};

/// Settings by their full names, such as `gateway.url`, as flags take them. Paths are absolute.
pub type Settings = BTreeMap<String, String>;

/// What `[entra]` is called here, so that there is one form for all exchanges.
const ENTRA: &str = "entra";

/// Those that whoever releases the subscription of `credential` needs; for other kinds there is nothing that could be done
/// with them, so there are none.
pub fn of(config: &Config, credential: &Credential) -> Settings {
    let Target::SubscriptionKey { exchange, scope } = &credential.target else { return Settings::new() };
    let mut settings = Settings::new();
    let mut set = |key: String, text: String| settings.insert(key, text);
    set("workspace".to_owned(), config.workspace.clone());
    set("request_timeout".to_owned(), duration::show(config.request_timeout));
    set("revoke_timeout".to_owned(), duration::show(config.revoke_timeout));
    if let Some(file) = &config.ca_file {
        set("ca_file".to_owned(), file.display().to_string());
    }
    for name in identities(config, credential) {
        let table = if name == DEFAULT { "identity".to_owned() } else { format!("identities.{name}") };
        // `validate` accepts no name that is not there; so below.
        for (key, text) in identity(&config.identities[name]) {
            set(format!("{table}.{key}"), text);
        }
    }
    let name = if exchange == DEFAULT { ENTRA } else { exchange };
    for (key, text) in self::exchange(&config.exchanges[exchange]) {
        set(format!("exchanges.{name}.{key}"), text);
    }
    let gateway = &config.gateways[&credential.gateway];
    set("gateway.url".to_owned(), gateway.url.to_string());
    set("gateway.service".to_owned(), gateway.service.clone().unwrap_or_default());
    for (key, text) in [
        ("kind", credential.target.kind().to_string()),
        ("scope", scope.clone()),
        ("env", credential.env.clone()),
        ("exchange", name.to_owned()),
    ] {
        set(format!("credentials.{}.{key}", credential.name), text);
    }
    settings
}

fn identity(identity: &Identity) -> Vec<(&'static str, String)> {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    // A list is written as flags take it.
    let command = identity.command.as_ref().map(|words| serde_json::Value::from(words.clone()).to_string());
    let settings = [
        ("source", Some(identity.source.name().to_owned())),
        ("audience", identity.audience.clone()),
        ("url", identity.url.as_ref().map(ToString::to_string)),
        ("bearer_file", Some(path(&identity.bearer_file))),
        ("token_file", identity.token_file.as_ref().map(path)),
        ("variable", identity.variable.clone()),
        ("command", command),
        ("assertion_file", identity.assertion_file.as_ref().map(path)),
        ("tenant_id", identity.tenant_id.clone()),
        ("client_id", identity.client_id.clone()),
        ("authority", Some(identity.authority.to_string())),
        ("imds_url", identity.imds_url.as_ref().map(ToString::to_string)),
    ];
    settings.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
}

/// Subscriptions are made with tokens of Entra's, so it is one of the two kinds that give those.
fn exchange(exchange: &config::Exchange) -> Vec<(&'static str, String)> {
    let mut settings = vec![("kind", exchange.method.name().to_owned())];
    if exchange.identity != DEFAULT {
        settings.push(("identity", exchange.identity.clone()));
    }
    if let Some(Entra { tenant_id, client_id, authority, audience, arm }) = exchange.method.entra() {
        settings.extend([
            ("tenant_id", tenant_id.clone()),
            ("client_id", client_id.clone()),
            ("authority", authority.to_string()),
            ("subject_audience", audience.clone()),
            ("arm_url", arm.url.to_string()),
            ("arm_scope", arm.scope.clone()),
        ]);
    }
    if let Method::OnBehalfOf(method) = &exchange.method {
        settings.push(("assertion_scope", method.assertion_scope.clone()));
        if method.actor != DEFAULT {
            settings.push(("actor", method.actor.clone()));
        }
    }
    settings
}

/// The APIM service that they lead to: Azure Resource Manager and the resource id.
pub(super) fn service(settings: &Settings) -> String {
    let arm = settings.iter().find(|(key, _)| key.starts_with("exchanges.") && key.ends_with(".arm_url"));
    let arm = arm.map_or("", |(_, url)| url.trim_end_matches('/'));
    format!("{arm}{}", settings.get("gateway.service").map_or("", String::as_str))
}

/// The configuration that they are: checked as any other one, and of one credential.
///
/// Errors: [`Class::TryAgain`] when they are none, since what they lead to is still there.
pub fn load(settings: &Settings) -> Result<Config> {
    let flags: Vec<_> =
        settings.iter().map(|(key, text)| Entry::flag("journal", key.clone(), text.clone())).collect();
    let inputs = Inputs {
        file: Choice::Nothing,
        // All that counts is written down.
        env: &Env::default(),
        flags: &flags,
        folder: Path::new("/"),
        host_name: "",
    };
    config::load(&inputs).map_err(|error| {
        Error::new(Class::TryAgain, "the journal's settings lead nowhere")
            .why(error.to_string())
            .fix("another hand may have written it; look at the journal, then remove it by hand")
    })
}
