//! Checks, each with the key, the place, what is allowed and an example. Pure: no file is opened, no name resolved.

use super::{
    Arm, Config, Credential, Entra, FILE_NAME, Gateway, Identity, Kind, Place, Source,
    cloud::Cloud,
    duration,
    endpoint::{self, Rule},
    env_name,
    forms::{self, Read},
    keys,
    layers::{Entry, Layers},
    problem::{Origin, Problem, example, report, shown},
};
use crate::error::Result;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Shorter lives leave no time to renew; longer ones are not short-lived credentials.
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_hours(24));
const GRACES: (Duration, Duration) = (Duration::ZERO, Duration::from_hours(24));
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(5));

/// Where relative paths begin.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// Of those in the file: the folder that it lies in.
    pub file: &'a Path,
    /// Of those in variables and flags: the current folder.
    pub current: &'a Path,
}

/// Turns the layers into a [`Config`], or into one error with all that is wrong.
pub fn config(layers: Layers, folders: Folders<'_>) -> Result<Config> {
    if let Some(problem) = layers.syntax {
        return Err(report(vec![problem]));
    }
    let mut check = Check { layers, folders, problems: Vec::new() };
    let cloud = check.or("cloud", forms::cloud, Cloud::default());
    let workspace = check.required("workspace", forms::workspace, "it names what the agent makes");
    let identity = check.identity(cloud);
    let entra = check.entra(cloud);
    let arm = check.arm(cloud);
    let gateway = check.gateway();
    let credentials = check.credentials(gateway.as_ref());
    let ca_file = check.path("ca_file");
    let runtime_dir = check.path("runtime_dir");
    let timeout = |seconds| (forms::duration_in(TIMEOUTS.0..=TIMEOUTS.1), Duration::from_secs(seconds));
    let (form, default) = timeout(10);
    let request_timeout = check.or("request_timeout", form, default);
    let (form, default) = timeout(8);
    let revoke_timeout = check.or("revoke_timeout", form, default);

    let problems = check.all_problems();
    match (workspace, identity, entra, arm, gateway) {
        (Some(workspace), Some(identity), Some(entra), Some(arm), Some(gateway)) if problems.is_empty() => {
            Ok(Config {
                workspace,
                identity,
                entra,
                arm,
                gateway,
                credentials,
                ca_file,
                runtime_dir,
                request_timeout,
                revoke_timeout,
            })
        }
        _ => Err(report(problems)),
    }
}

/// Where a running agent is to be found, whatever else is wrong or missing.
pub fn place(layers: Layers, folders: Folders<'_>) -> Result<Place> {
    let is_its_own = |problem: &Problem| matches!(problem.key.as_str(), "workspace" | "runtime_dir");
    let doubt = layers.syntax.clone().map(|problem| report(vec![problem]));
    let mut check = Check { layers, folders, problems: Vec::new() };
    let workspace = check.required("workspace", forms::workspace, "it names the agent to look for");
    let runtime_dir = check.path("runtime_dir");
    let problems: Vec<Problem> = check.all_problems().into_iter().filter(is_its_own).collect();
    match workspace {
        Some(workspace) if problems.is_empty() => Ok(Place { workspace, runtime_dir, doubt }),
        _ => Err(report(problems)),
    }
}

struct Check<'a> {
    layers: Layers,
    folders: Folders<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn all_problems(self) -> Vec<Problem> {
        let mut problems = self.layers.problems;
        problems.extend(self.problems);
        problems
    }

    fn identity(&mut self, cloud: Cloud) -> Option<Identity> {
        let identity = Identity {
            source: self.or("identity.source", forms::source, Source::Auto),
            audience: self.or("identity.audience", forms::audience, cloud.audience().to_owned()),
            url: self.url("identity.url", Rule::HttpsOrLoopback, "https://app.gitpod.io")?,
            bearer_file: self
                .path("identity.bearer_file")
                .unwrap_or_else(|| PathBuf::from("/usr/local/gitpod/secrets/token")),
            token_file: self.path("identity.token_file"),
            variable: self.optional("identity.variable", env_name::shape),
            command: self.optional("identity.command", forms::argv),
        };
        if identity.source == Source::File && identity.token_file.is_none() {
            self.missing("identity.token_file", "identity.source is \"file\" and needs it");
        }
        if identity.source == Source::Command && identity.command.is_none() {
            self.missing("identity.command", "identity.source is \"command\" and needs it");
        }
        Some(identity)
    }

    fn entra(&mut self, cloud: Cloud) -> Option<Entra> {
        // All three are looked at before any is missed, so that all three are reported.
        let tenant_id =
            self.required("entra.tenant_id", forms::tenant, "it names the directory that issues tokens");
        let client_id = self.required("entra.client_id", forms::guid, "it names the application to act as");
        let authority = self.url("entra.authority", Rule::HttpsHost, cloud.authority());
        Some(Entra { tenant_id: tenant_id?, client_id: client_id?, authority: authority? })
    }

    fn arm(&mut self, cloud: Cloud) -> Option<Arm> {
        let url = self.url("arm.url", Rule::Https, cloud.arm_url());
        let scope = self.or("arm.scope", forms::default_scope, cloud.arm_scope().to_owned());
        Some(Arm { url: url?, scope })
    }

    fn gateway(&mut self) -> Option<Gateway> {
        let url = self.required("gateway.url", endpoint::read(Rule::Https), "credentials are made for it");
        let service = self.optional("gateway.service", forms::service_id);
        let probe = self.optional("gateway.probe", forms::probe_path);
        Some(Gateway { url: url?, service, probe })
    }

    fn credentials(&mut self, gateway: Option<&Gateway>) -> Vec<Credential> {
        let names = self.layers.credentials.clone();
        let credentials: Vec<Credential> =
            names.iter().filter_map(|(name, origin)| self.credential(name, origin, gateway)).collect();
        if names.is_empty() && !self.is_reported("credentials") {
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
        self.distinct(&names);
        credentials
    }

    fn credential(&mut self, name: &str, origin: &Origin, gateway: Option<&Gateway>) -> Option<Credential> {
        let path = |key: &str| format!("credentials.{name}.{key}");
        let wrong_before = self.problems.len();
        let kind = self.or(&path("kind"), forms::kind, Kind::AccessToken);
        let kind_is_known = self.problems.len() == wrong_before;

        let scope_form = match kind {
            Kind::AccessToken => forms::default_scope,
            Kind::SubscriptionKey => forms::subscription_scope,
        };
        // With an unknown kind any scope may be right.
        let scope = if kind_is_known { self.wanted(&path("scope"), scope_form, origin) } else { None };
        let env = self.wanted(&path("env"), env_name::free, origin);
        let default_life = Duration::from_hours(1);
        let lifetime =
            self.or(&path("lifetime"), forms::duration_in(LIFETIMES.0..=LIFETIMES.1), default_life);
        let default_grace = Duration::from_mins(1).min(lifetime / 4);
        let grace = self.or(&path("grace"), forms::duration_in(GRACES.0..=GRACES.1), default_grace);
        let probe = self.optional(&path("probe"), forms::probe_path);

        if kind_is_known && kind == Kind::AccessToken {
            self.only_for_keys(&path("lifetime"));
            self.only_for_keys(&path("grace"));
        }
        if grace >= lifetime {
            self.grace_too_long(&path("grace"), lifetime);
        }
        if kind == Kind::SubscriptionKey && self.layers.get("gateway.service").is_none() {
            self.missing(
                "gateway.service",
                &format!("credentials.{name} is a subscription-key and needs it"),
            );
        }
        let probe = probe.or_else(|| gateway?.probe.clone());
        Some(Credential { name: name.to_owned(), kind, scope: scope?, env: env?, lifetime, grace, probe })
    }

    /// Nobody can set how long Entra's tokens live, and so a setting that has no effect is refused.
    fn only_for_keys(&mut self, path: &str) {
        if let Some(entry) = self.layers.get(path).cloned() {
            self.problems.push(Problem {
                key: path.to_owned(),
                what: format!("{path} has no effect on an access-token"),
                allowed: "Entra decides how long its tokens live; allowed is this for kind subscription-key"
                    .to_owned(),
                fix: "remove it".to_owned(),
                origin: Some(entry.origin),
            });
        }
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
    fn distinct(&mut self, names: &[(String, Origin)]) {
        let mut published: BTreeMap<String, String> = BTreeMap::new();
        let mut prefixes: BTreeMap<String, &str> = BTreeMap::new();
        for (name, origin) in names {
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
            if let Some(other) = published.insert(entry.text.clone(), name.clone()) {
                self.problems.push(Problem {
                    what: format!("{path} is {}, and so is credentials.{other}.env", shown(&entry.text)),
                    allowed: "allowed is a variable of its own for each credential".to_owned(),
                    fix: example(Some(&entry.origin), &path, &format!("{}_2", entry.text)),
                    key: path,
                    origin: Some(entry.origin),
                });
            }
        }
    }

    /// The value at `path`, if it is set and of the right form.
    fn optional<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>) -> Option<T> {
        let Entry { text, origin, .. } = self.layers.get(path)?.clone();
        match form(&text) {
            Ok(value) => Some(value),
            Err(complaint) => {
                let good = complaint.example.unwrap_or_else(|| usual_example(path));
                self.problems.push(Problem {
                    key: path.to_owned(),
                    what: match complaint.what {
                        Some(what) => format!("{path} {what}"),
                        None => format!("{path} is {}", shown(&text)),
                    },
                    allowed: complaint.allowed,
                    fix: example(Some(&origin), path, &good),
                    origin: Some(origin),
                });
                None
            }
        }
    }

    fn or<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>, default: T) -> T {
        self.optional(path, form).unwrap_or(default)
    }

    /// As [`Self::optional`]; a problem when it is set nowhere.
    fn required<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>, reason: &str) -> Option<T> {
        if self.layers.get(path).is_none() {
            self.missing(path, reason);
        }
        self.optional(path, form)
    }

    /// A credential's setting that it cannot do without; reported at the credential.
    fn wanted<T>(&mut self, path: &str, form: impl Fn(&str) -> Read<T>, at: &Origin) -> Option<T> {
        if self.layers.get(path).is_none() && !self.is_reported(path) {
            self.problems.push(Problem {
                key: path.to_owned(),
                what: format!("{path} is not set"),
                allowed: "every credential needs it".to_owned(),
                fix: example(Some(at), path, &usual_example(path)),
                origin: Some(at.clone()),
            });
        }
        self.optional(path, form)
    }

    fn missing(&mut self, path: &str, reason: &str) {
        if self.is_reported(path) {
            return;
        }
        self.problems.push(Problem {
            key: path.to_owned(),
            origin: None,
            what: format!("{path} is not set"),
            allowed: reason.to_owned(),
            fix: example(None, path, &usual_example(path)),
        });
    }

    /// Whether something was said about `path` already, such as that its name is misspelt.
    fn is_reported(&self, path: &str) -> bool {
        self.layers.problems.iter().chain(&self.problems).any(|problem| problem.key == path)
    }

    fn url(&mut self, path: &str, rule: Rule, default: &str) -> Option<Url> {
        match self.layers.get(path) {
            Some(_) => self.optional(path, endpoint::read(rule)),
            None => endpoint::read(rule)(default).ok(),
        }
    }

    /// A path, made absolute by the folder that it is relative to.
    fn path(&self, path: &str) -> Option<PathBuf> {
        let entry = self.layers.get(path)?;
        let folder = match entry.origin {
            Origin::File { .. } => self.folders.file,
            _ => self.folders.current,
        };
        Some(folder.join(&entry.text))
    }
}

fn usual_example(path: &str) -> String {
    keys::find(path).map_or_else(String::new, |key| key.example.to_owned())
}
