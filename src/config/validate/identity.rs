//! `[identity]`, `[gateway]`, and those that have names.

use super::{
    super::{
        DEFAULT, Gateway, Identity, Source,
        cloud::Cloud,
        endpoint::{self, Rule},
        env_name, forms,
    },
    Check,
};
use std::{collections::BTreeMap, path::PathBuf};

impl Check<'_> {
    pub(super) fn identities(&mut self, cloud: Cloud) -> BTreeMap<String, Identity> {
        let plain = self.identity("identity", cloud).map(|identity| (DEFAULT.to_owned(), identity));
        let names = self.names("identities");
        let entries = names.into_iter().filter_map(|name| {
            let identity = self.identity(&format!("identities.{name}"), cloud)?;
            Some((name, identity))
        });
        plain.into_iter().chain(entries.collect::<Vec<_>>()).collect()
    }

    fn identity(&mut self, table: &str, cloud: Cloud) -> Option<Identity> {
        let path = |key: &str| format!("{table}.{key}");
        // Whoever has an authority of their own signs in there too. One of a wrong form is told of where it is used.
        let own = self.layers.get("entra.authority").map(|entry| entry.text.clone());
        let own = own.filter(|text| endpoint::read(Rule::HttpsHost)(text).is_ok());
        let usual = own.unwrap_or_else(|| cloud.authority().to_owned());
        let identity = Identity {
            source: self.or(&path("source"), forms::source, Source::Auto),
            audience: self.optional(&path("audience"), forms::audience),
            url: self.optional(&path("url"), endpoint::read(Rule::HttpsOrLoopback)),
            bearer_file: self
                .path(&path("bearer_file"))
                .unwrap_or_else(|| PathBuf::from("/usr/local/gitpod/secrets/token")),
            token_file: self.path(&path("token_file")),
            variable: self.optional(&path("variable"), env_name::shape),
            command: self.optional(&path("command"), forms::argv),
            assertion_file: self.path(&path("assertion_file")),
            tenant_id: self.optional(&path("tenant_id"), forms::tenant),
            client_id: self.optional(&path("client_id"), forms::guid),
            authority: self.url(&path("authority"), Rule::HttpsHost, &usual)?,
            imds_url: self.optional(&path("imds_url"), endpoint::read(Rule::Imds)),
        };
        let missing: &[&str] = match identity.source {
            Source::File if identity.token_file.is_none() => &["token_file"],
            Source::Command if identity.command.is_none() => &["command"],
            Source::Saml if identity.assertion_file.is_none() && identity.command.is_none() => {
                &["assertion_file"]
            }
            _ => &[],
        };
        for key in missing {
            self.missing(
                &path(key),
                &format!("{table}.source is \"{}\" and needs it", identity.source.name()),
            );
        }
        Some(identity)
    }

    pub(super) fn gateways(&mut self) -> BTreeMap<String, Gateway> {
        let plain = self.gateway("gateway").map(|gateway| (DEFAULT.to_owned(), gateway));
        let names = self.names("gateways");
        let entries = names.into_iter().filter_map(|name| {
            let gateway = self.gateway(&format!("gateways.{name}"))?;
            Some((name, gateway))
        });
        plain.into_iter().chain(entries.collect::<Vec<_>>()).collect()
    }

    fn gateway(&mut self, table: &str) -> Option<Gateway> {
        let path = |key: &str| format!("{table}.{key}");
        let url = self.required(&path("url"), endpoint::read(Rule::Https), "credentials are made for it");
        let service = self.optional(&path("service"), forms::service_id);
        let probe = self.optional(&path("probe"), forms::probe_path);
        Some(Gateway { url: url?, service, probe })
    }
}
