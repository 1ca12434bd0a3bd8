//! From a configuration to what the driver drives.

use super::{
    Watch,
    watched::{Known, Watched},
};
use crate::{
    config::{Config, Credential, DEFAULT},
    error::{Class, Error, Result},
    exchange::{self, Exchange, Identities},
    http::{self, Client},
    identity::{
        IdentitySource,
        prompt::Person,
        select::{self, Lookup},
    },
    lease::{self, announce::unannounced},
    lifecycle::{
        change::identities,
        driver::Entry,
        journal::Journal,
        status::{AboutCredential, Call, Seen},
    },
    sink::env_file,
};
use std::{collections::BTreeMap, sync::Arc};
use url::Url;

/// What stays the same whatever the configuration becomes.
pub(super) struct Wiring {
    pub(super) http: Client,
    pub(super) lookup: Lookup,
    pub(super) watch: Arc<dyn Watch>,
    pub(super) person: Person,
    /// Where it is written down what is minted.
    journal: Option<Arc<Journal>>,
}

impl Wiring {
    pub(super) fn new(
        config: &Config,
        lookup: &Lookup,
        watch: Arc<dyn Watch>,
        person: Person,
        journal: Option<Arc<Journal>>,
    ) -> Result<Self> {
        let variable = |name: &str| lookup(name).or_else(|| lookup(&name.to_lowercase()));
        let http = Client::new(&http::Options {
            ca_file: config.ca_file.clone(),
            timeout: config.request_timeout,
            proxy: variable("HTTPS_PROXY"),
            no_proxy: variable("NO_PROXY"),
        })?;
        Ok(Self { http, lookup: Arc::clone(lookup), watch, person, journal })
    }

    /// The credentials of `config`, in its order, with all that issues them. Asks nobody for anything.
    pub(super) fn entries(&self, config: &Config) -> Result<Vec<Entry>> {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let sources = select::sources(config, &self.http, &self.lookup, &self.person);
        let known = sources.into_iter().map(|(name, inner)| {
            let seen = seen.entry(name.clone()).or_default().clone();
            (name, Arc::new(Known { inner, seen }) as Arc<dyn IdentitySource>)
        });
        let sources: Identities = known.collect();
        let exchanges = exchange::exchanges(config, &sources, &self.http)?;
        let watched = exchanges.into_iter().map(|(name, inner)| {
            let watched: Arc<dyn Exchange> = Arc::new(Watched { inner, watch: Arc::clone(&self.watch) });
            (name, watched)
        });
        let announce = |credential: &_| {
            self.journal.as_ref().map_or_else(unannounced, |journal| journal.entry(config, credential))
        };
        let lessors = lease::lessors(config, &sources, &watched.collect(), &self.http, announce)?;
        let entries = config.credentials.iter().zip(lessors).map(|(credential, lessor)| {
            let identities = identities(config, credential);
            Entry {
                about: AboutCredential {
                    name: credential.name.clone(),
                    kind: credential.target.kind(),
                    scope: credential.target.to_string(),
                    env: credential.env.clone(),
                    required: credential.required,
                    call: call(credential),
                },
                seen: identities.first().and_then(|name| seen.get(*name)).cloned().unwrap_or_default(),
                identities: identities.into_iter().map(str::to_owned).collect(),
                grace: credential.grace,
                lessor,
            }
        });
        Ok(entries.collect())
    }
}

/// Where it is tried, by the variable that is published for its gateway.
fn call(credential: &Credential) -> Option<Call> {
    let gateway = match credential.gateway.as_str() {
        DEFAULT => env_file::GATEWAY_URL.to_owned(),
        name => env_file::gateway_variable(name),
    };
    credential.probe.clone().map(|path| Call { gateway, path })
}

/// The URL that is published as the gateway's.
pub(super) fn gateway(config: &Config) -> Result<String> {
    let url = text(&config.gateway().url);
    env_file::check_value(env_file::GATEWAY_URL, &url).map_err(|error| {
        Error::new(Class::Config, "gateway.url holds characters that not every reader of env files takes")
            .why(error.to_string())
            .fix("use a URL of letters, digits and ./:_- only")
    })?;
    Ok(url)
}

/// The URLs of the gateways that have names, as variables: `APIM_GATEWAY_URL_PARTNER`.
pub(super) fn further_gateways(config: &Config) -> Vec<(String, String)> {
    let named = config.gateways.iter().filter(|(name, _)| *name != DEFAULT);
    named.map(|(name, gateway)| (env_file::gateway_variable(name), text(&gateway.url))).collect()
}

/// A base URL as people write it.
fn text(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
