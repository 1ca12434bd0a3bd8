//! `[credentials.NAME]`.

use super::{
    super::{
        Credential, DEFAULT, Exchange, FILE_NAME, Gateway, Kind, Method, Target,
        cloud::Cloud,
        credential::{InVault, file_variable},
        duration, env_name, forms,
        keys::{self, CREDENTIAL_KEYS},
        problem::{Origin, Problem, example, shown},
    },
    Check,
};
use std::{collections::BTreeMap, time::Duration};

/// Shorter lives leave no time to renew; longer ones are not short-lived credentials.
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_hours(24));
const GRACES: (Duration, Duration) = (Duration::ZERO, Duration::from_hours(24));

/// What has to be known of a credential before the exchanges are looked at.
pub(super) struct Outline {
    name: String,
    origin: Origin,
    /// `None` when what is written is none.
    kind: Option<Kind>,
    /// The exchange it goes through, by name.
    pub(super) exchange: Option<String>,
}

impl Check<'_> {
    pub(super) fn outlines(&mut self) -> Vec<Outline> {
        let entered: Vec<_> = self
            .layers
            .entered
            .of("credentials")
            .map(|(name, origin)| (name.to_owned(), origin.clone()))
            .collect();
        let outline = |(name, origin): (String, Origin)| {
            let wrong_before = self.problems.len();
            let kind = self.or(&format!("credentials.{name}.kind"), forms::kind, Kind::AccessToken);
            let kind = (self.problems.len() == wrong_before).then_some(kind);
            let exchanges = kind.is_none_or(|kind| kind.keys().contains(&"exchange"));
            let path = format!("credentials.{name}.exchange");
            let exchange = exchanges.then(|| self.reference(&path, "exchanges"));
            Outline { name, origin, kind, exchange }
        };
        entered.into_iter().map(outline).collect()
    }

    pub(super) fn credentials(
        &mut self,
        outlines: &[Outline],
        gateways: &BTreeMap<String, Gateway>,
        exchanges: &BTreeMap<String, Exchange>,
        clouds: &BTreeMap<String, Cloud>,
    ) -> Vec<Credential> {
        let credential = |outline| self.credential(outline, gateways, exchanges, clouds);
        let credentials = outlines.iter().filter_map(credential).collect();
        if outlines.is_empty() && !self.is_reported("credentials") {
            self.problems.push(Problem {
                key: "credentials".to_owned(),
                origin: None,
                what: "no credential is configured".to_owned(),
                allowed: "there is nothing to fetch".to_owned(),
                fix: format!(
                    "for example in {FILE_NAME}: [credentials.orders] with scope = \"api://orders/.default\" and \
                     env = \"ORDERS_TOKEN\", or {}=api://orders/.default",
                    keys::SCOPE
                ),
            });
        }
        self.distinct(outlines);
        credentials
    }

    fn credential(
        &mut self,
        outline: &Outline,
        gateways: &BTreeMap<String, Gateway>,
        exchanges: &BTreeMap<String, Exchange>,
        clouds: &BTreeMap<String, Cloud>,
    ) -> Option<Credential> {
        let Outline { name, origin, .. } = outline;
        let path = |key: &str| format!("credentials.{name}.{key}");
        // With an unknown kind anything may be right.
        let target = outline.kind.and_then(|kind| self.target(outline, kind, exchanges, clouds));
        let env = self.wanted(&path("env"), env_name::free, origin);
        let required = self.or(&path("required"), forms::flag, true);
        let default_life = Duration::from_hours(1);
        let lifetime =
            self.or(&path("lifetime"), forms::duration_in(LIFETIMES.0..=LIFETIMES.1), default_life);
        let default_grace = Duration::from_mins(1).min(lifetime / 4);
        let grace = self.or(&path("grace"), forms::duration_in(GRACES.0..=GRACES.1), default_grace);
        let probe = self.optional(&path("probe"), forms::probe_path);
        let gateway = self.reference(&path("gateway"), "gateways");
        // A kind without a lifetime of its own takes its issuer's, to which the lifecycle fits the grace.
        if grace >= lifetime && outline.kind.is_none_or(|kind| kind.keys().contains(&"lifetime")) {
            self.grace_too_long(&path("grace"), lifetime);
        }
        let kind = outline.kind?;
        let used: Vec<&str> = ["kind", "env", "required"].iter().chain(kind.keys()).copied().collect();
        self.only(&format!("credentials.{name}"), CREDENTIAL_KEYS, &used, &format!("kind {kind}"));
        self.fits(outline, kind, exchanges);
        let gateway_of = gateways.get(&gateway);
        if kind == Kind::SubscriptionKey && gateway_of.is_none_or(|gateway| gateway.service.is_none()) {
            let service = match gateway.as_str() {
                DEFAULT => "gateway.service".to_owned(),
                name => format!("gateways.{name}.service"),
            };
            if self.layers.get(&service).is_none() {
                self.missing(&service, &format!("credentials.{name} is a subscription-key and needs it"));
            }
        }
        let probe = if matches!(&target, Some(Target::IdToken { audience, .. }) if Cloud::is_audience(audience))
        {
            self.not_for_the_gateway(&path("probe"));
            None
        } else {
            probe.or_else(|| gateway_of?.probe.clone())
        };
        Some(Credential {
            name: name.clone(),
            target: target?,
            env: env?,
            required,
            gateway,
            probe: probe.filter(|_| kind.keys().contains(&"probe")),
            lifetime,
            grace,
        })
    }

    fn target(
        &mut self,
        outline: &Outline,
        kind: Kind,
        exchanges: &BTreeMap<String, Exchange>,
        clouds: &BTreeMap<String, Cloud>,
    ) -> Option<Target> {
        let Outline { name, origin, .. } = outline;
        let path = |key: &str| format!("credentials.{name}.{key}");
        let exchange = outline.exchange.clone().unwrap_or_else(|| DEFAULT.to_owned());
        let cloud = clouds.get(&exchange).copied().unwrap_or_default();
        let mut in_vault = |key: &str, exchange: String| {
            let vault = self.wanted(&path("vault"), forms::vault(cloud), origin);
            let name = self.wanted(&path(key), forms::vault_name, origin);
            let version = self.optional(&path("version"), forms::vault_version);
            Some(InVault { exchange, vault: vault?, name: name?, version })
        };
        Some(match kind {
            Kind::AccessToken => {
                // Elsewhere a scope is whatever the server says.
                let at_entra =
                    exchanges.get(&exchange).is_none_or(|exchange| exchange.method.entra().is_some());
                let form = if at_entra { forms::default_scope } else { forms::scope };
                Target::AccessToken { scope: self.wanted(&path("scope"), form, origin)?, exchange }
            }
            Kind::SubscriptionKey => Target::SubscriptionKey {
                exchange,
                scope: self.wanted(&path("scope"), forms::subscription_scope, origin)?,
            },
            Kind::IdToken => Target::IdToken {
                identity: self.reference(&path("identity"), "identities"),
                audience: self.wanted(&path("audience"), forms::audience, origin)?,
            },
            Kind::VaultSecret => Target::VaultSecret(in_vault("secret", exchange)?),
            Kind::VaultCertificate => Target::VaultCertificate(in_vault("certificate", exchange)?),
            Kind::Brokered => {
                Target::Brokered { exchange, scope: self.optional(&path("scope"), forms::scope) }
            }
        })
    }

    /// An id token for Entra is for programs that go there themselves. The gateway must not see it: it could go there too.
    fn not_for_the_gateway(&mut self, path: &str) {
        let Some(entry) = self.layers.get(path).cloned() else { return };
        self.problems.push(Problem {
            what: format!("{path} would show the gateway an id token that is good at Entra"),
            allowed: "who gets such a token can act as the application; it is published without a probe"
                .to_owned(),
            fix: "remove it, or ask for an audience of the gateway's own".to_owned(),
            key: path.to_owned(),
            origin: Some(entry.origin),
        });
    }

    /// Whether the exchange can do what the kind needs. One that is wrong itself has been complained about.
    fn fits(&mut self, outline: &Outline, kind: Kind, exchanges: &BTreeMap<String, Exchange>) {
        let Some(name) = &outline.exchange else { return };
        let path = format!("credentials.{}.exchange", outline.name);
        if self.problems.iter().any(|problem| problem.key == path) {
            return;
        }
        let exchange = exchanges.get(name);
        let allowed = match (kind, exchange.map(|exchange| &exchange.method)) {
            (Kind::Brokered, Some(Method::TokenExchange(_))) => return,
            (Kind::Brokered, _) if name == DEFAULT && self.layers.get(&path).is_none() => {
                return self
                    .missing(&path, "a brokered credential comes from an exchange of kind token-exchange");
            }
            (_, None) => return,
            (Kind::Brokered, _) => "a brokered credential comes from an exchange of kind token-exchange",
            (Kind::SubscriptionKey, Some(method)) if method.entra().is_none() => {
                "subscriptions are made at Azure Resource Manager, which takes tokens of Entra only"
            }
            (Kind::VaultSecret | Kind::VaultCertificate, Some(method)) if method.entra().is_none() => {
                "a Key Vault takes tokens of Entra only"
            }
            _ => return,
        };
        let origin = self.layers.get(&path).map(|entry| entry.origin.clone());
        let method = exchange.map_or("", |exchange| exchange.method.name());
        self.problems.push(Problem {
            what: format!("{path} is an exchange of kind {method}"),
            allowed: allowed.to_owned(),
            fix: example(origin.as_ref(), &path, "fabrikam"),
            key: path,
            origin,
        });
    }

    fn grace_too_long(&mut self, path: &str, lifetime: Duration) {
        // The default grace is always shorter, so this one was set.
        let Some(entry) = self.layers.get(path).cloned() else { return };
        let good = duration::show(lifetime / 4);
        self.problems.push(Problem {
            key: path.to_owned(),
            what: format!("{path} is {}", shown(&entry.text)),
            allowed: format!("allowed is less than the lifetime, which is {}", duration::show(lifetime)),
            fix: example(Some(&entry.origin), path, &good),
            origin: Some(entry.origin),
        });
    }

    /// Two credentials must differ in the variable that they are published as, and in those that configure them.
    fn distinct(&mut self, outlines: &[Outline]) {
        let mut published: BTreeMap<String, String> = BTreeMap::new();
        let mut prefixes: BTreeMap<String, &str> = BTreeMap::new();
        for Outline { name, origin, .. } in outlines {
            if let Some(other) = prefixes.insert(keys::variable(name), name) {
                self.problems.push(Problem {
                    key: format!("credentials.{name}"),
                    origin: Some(origin.clone()),
                    what: format!("credentials.{name} and credentials.{other} have nearly the same name"),
                    allowed: "allowed are names that differ in more than case, - and _".to_owned(),
                    fix: format!("for example: [credentials.{name}-2]"),
                });
            }
            let path = format!("credentials.{name}.env");
            let Some(entry) = self.layers.get(&path).cloned() else { continue };
            // A value that no variable can hold is in a file, which another variable names.
            let files = [None, Some("crt"), Some("key")].map(|part| file_variable(&entry.text, part));
            for variable in [entry.text.clone()].into_iter().chain(files) {
                let Some(other) = published.insert(variable.clone(), name.clone()) else { continue };
                let what = if variable == entry.text {
                    format!("{path} is {}, and so is credentials.{other}.env", shown(&entry.text))
                } else {
                    format!(
                        "{path} is {}, and may need {variable}, which credentials.{other} may need too",
                        shown(&entry.text)
                    )
                };
                self.problems.push(Problem {
                    what,
                    allowed: "allowed is a variable of its own for each credential".to_owned(),
                    fix: example(Some(&entry.origin), &path, &format!("{}_2", entry.text)),
                    key: path.clone(),
                    origin: Some(entry.origin.clone()),
                });
                break;
            }
        }
    }
}
