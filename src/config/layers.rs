//! Where each setting comes from: flags over environment over file over defaults. Pure.

use super::{
    document::Document,
    env::Env,
    forms, keys,
    problem::{Origin, Problem, example, shown},
    unknown::{self, Unknown},
};
use std::collections::BTreeMap;

/// A setting as some layer gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its full name, such as `gateway.url` or `credentials.orders.kind`.
    pub path: String,
    /// Its value.
    pub text: String,
    /// Where it stands.
    pub origin: Origin,
}

impl Entry {
    /// A setting that beats environment and file; `flag` names it in messages (`--workspace`, `--set`, `--emulator`).
    pub fn flag(flag: &'static str, path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), origin: Origin::Flag(flag) }
    }
}

/// The names of the entries of each section.
#[derive(Clone, Debug, Default)]
pub struct Entered(Vec<(&'static str, String, Origin)>);

impl Entered {
    /// Adds an entry; one that is there stays as it is.
    pub fn add(&mut self, section: &'static str, name: &str, origin: Origin) {
        if !self.0.iter().any(|(of, known, _)| *of == section && known == name) {
            self.0.push((section, name.to_owned(), origin));
        }
    }

    /// The entries of that section, in order.
    pub fn of(&self, section: &str) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().filter(move |(of, ..)| *of == section).map(|(_, name, origin)| (name.as_str(), origin))
    }

    /// Whether there is an entry of that name.
    pub fn has(&self, section: &str, name: &str) -> bool {
        self.of(section).any(|(known, _)| known == name)
    }
}

/// All layers laid over each other: of each setting the value that counts, and where it came from.
#[derive(Debug, Default)]
pub struct Layers {
    settings: BTreeMap<String, Entry>,
    /// The entries of the sections: first those of the file, then those that only flags name.
    pub entered: Entered,
    /// That the file is not valid TOML; what else is wrong may then only follow from it.
    pub syntax: Option<Problem>,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
}

impl Layers {
    /// Lays `flags` (later ones win) over `env` over `file` over the defaults that depend on the environment.
    pub fn resolve(file: Document, env: &Env, flags: &[Entry], host_name: &str) -> Self {
        let mut layers =
            Self { entered: file.entered, syntax: file.syntax, problems: file.problems, ..Self::default() };
        for entry in file.entries {
            layers.put(entry);
        }
        layers.enter(flags);
        layers.one_from_variables(env);
        layers.environment(env);
        for entry in flags {
            match keys::find(&entry.path) {
                Some(_) => layers.put(entry.clone()),
                None => {
                    layers.problems.push(unknown::problem(Unknown::Key, &entry.path, entry.origin.clone()));
                }
            }
        }
        layers.name_workspace(env, host_name);
        layers
    }

    /// The value that counts, if any layer gives one.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.settings.get(path)
    }

    /// All settings that some layer gives, by name.
    pub fn settings(&self) -> impl Iterator<Item = &Entry> {
        self.settings.values()
    }

    /// Lays one value over what is there. An empty one or a token is a problem, wherever it stands.
    fn put(&mut self, entry: Entry) {
        let complaint = if entry.text.trim().is_empty() {
            Some((
                format!("{} is empty", entry.path),
                "allowed is a text that says something; a key without one is left out",
            ))
        } else if forms::looks_like_token(&entry.text) {
            let what = format!("{} holds a token", entry.path);
            Some((what, "no secret belongs in the configuration; files and variables are given by name"))
        } else {
            None
        };
        if let Some((what, allowed)) = complaint {
            let good = keys::find(&entry.path).map_or("", |key| key.example);
            self.problems.push(Problem {
                fix: example(Some(&entry.origin), &entry.path, good),
                key: entry.path,
                origin: Some(entry.origin),
                what,
                allowed: allowed.to_owned(),
            });
        } else {
            self.settings.insert(entry.path.clone(), entry);
        }
    }

    /// Entries that only flags name, such as `--set credentials.orders.scope=…`.
    fn enter(&mut self, flags: &[Entry]) {
        for entry in flags {
            let known = keys::entry_path(&entry.path).filter(|_| keys::find(&entry.path).is_some());
            let Some((section, name, _)) = known else { continue };
            match unknown::entry_name(section, name, &entry.origin) {
                Some(problem) => self.problems.push(problem),
                None => self.entered.add(section.name, name, entry.origin.clone()),
            }
        }
    }

    /// With variables alone one access token works. It does not join credentials that are configured: those say
    /// what this repository wants, while variables are often set for a whole organisation.
    fn one_from_variables(&mut self, env: &Env) {
        let configured = self.entered.of("credentials").next().is_some();
        let Some(scope) = env.get(keys::SCOPE).filter(|_| !configured) else { return };
        let origin = Origin::Variable(keys::SCOPE.to_owned());
        self.entered.add("credentials", "default", origin.clone());
        self.put(Entry { path: "credentials.default.scope".to_owned(), text: scope.to_owned(), origin });
        let (name, origin) = match env.get(keys::ENV) {
            Some(name) => (name, Origin::Variable(keys::ENV.to_owned())),
            None => ("APIM_ACCESS_TOKEN", Origin::Default("the default name")),
        };
        self.put(Entry { path: "credentials.default.env".to_owned(), text: name.to_owned(), origin });
    }

    /// Every setting's own variable, which beats its well-known ones as the more particular name.
    fn environment(&mut self, env: &Env) {
        let mut names: Vec<String> = Vec::new();
        let paths = keys::KEYS.iter().map(|key| (key.name.to_owned(), key.aliases));
        let of_entries = keys::SECTIONS.iter().flat_map(|section| {
            self.entered.of(section.name).flat_map(move |(name, _)| {
                let path =
                    move |key: &keys::Key| (format!("{}.{name}.{}", section.name, key.name), key.aliases);
                section.keys.iter().map(path)
            })
        });
        for (path, aliases) in paths.chain(of_entries).collect::<Vec<_>>() {
            let own = keys::variable(&path);
            let found = std::iter::once(own.as_str())
                .chain(aliases.iter().copied())
                .find_map(|name| Some((name, env.get(name)?)));
            if let Some((name, text)) = found {
                self.put(Entry { path, text: text.to_owned(), origin: Origin::Variable(name.to_owned()) });
            }
            names.push(own);
        }
        self.misspelt(env, names);
    }

    /// Variables of ours that no setting takes. The published ones (`APIM_AGENT_GENERATION`, …) may well be set in
    /// a shell that sourced the env file, so only what is nearly a setting is refused.
    fn misspelt(&mut self, env: &Env, mut known: Vec<String>) {
        known.extend([keys::CONFIG, keys::SCOPE, keys::ENV].map(str::to_owned));
        let named = self.get("identity.variable").map(|entry| entry.text.clone());
        for name in env.names() {
            let is_known = known.iter().any(|k| k == name) || named.as_deref() == Some(name);
            if !is_known && !keys::PUBLISHED.contains(&name) {
                self.problems.extend(unknown::variable(name, &known));
            }
        }
        for name in env.not_text() {
            self.problems.push(Problem {
                key: name.clone(),
                origin: Some(Origin::Variable(name.clone())),
                what: format!("{name} is not UTF-8"),
                allowed: "allowed is text".to_owned(),
                fix: format!("set it again, or unset {name}"),
            });
        }
    }

    fn name_workspace(&mut self, env: &Env, host_name: &str) {
        if self.get("workspace").is_some() {
            return;
        }
        let platform = keys::WORKSPACE_FALLBACKS.iter().find_map(|&name| Some((name, env.get(name)?)));
        let (text, origin) = match platform {
            Some((name, text)) => (text, Origin::Variable(name.to_owned())),
            None => (host_name, Origin::Default("the host name")),
        };
        self.put(Entry { path: "workspace".to_owned(), text: text.to_owned(), origin });
    }
}

/// One line for each setting that counts, for logs: `gateway.url = "https://…" (apim-agent.toml:9)`.
pub fn explain(layers: &Layers) -> Vec<String> {
    layers.settings.values().map(|e| format!("{} = {} ({})", e.path, shown(&e.text), e.origin)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;

    fn resolve(file: &str, env: &[(&str, &str)], flags: &[Entry]) -> Layers {
        let env = env.iter().copied().collect();
        Layers::resolve(document::parse("apim-agent.toml", file), &env, flags, "host")
    }

    fn value<'l>(layers: &'l Layers, path: &str) -> (&'l str, String) {
        let entry = layers.get(path).expect(path);
        (&entry.text, entry.origin.to_string())
    }

    #[test]
    fn flags_beat_variables_beat_the_file() {
        let file = "[entra]\ntenant_id = \"file.example\"\n";
        let variables = [("AZURE_TENANT_ID", "azure.example"), ("APIM_AGENT_ENTRA_TENANT_ID", "own.example")];
        let flag = |value| Entry::flag("--set", "entra.tenant_id", value);

        let mut seen = Vec::new();
        for (env, flags) in [
            (&variables[..0], vec![]),
            (&variables[..1], vec![]),
            (&variables[..], vec![]),
            (&variables[..], vec![flag("first.example"), flag("last.example")]),
        ] {
            let layers = resolve(file, env, &flags);
            let (text, origin) = value(&layers, "entra.tenant_id");
            seen.push(format!("{text} from {origin}"));
        }
        assert_eq!(
            seen,
            [
                "file.example from apim-agent.toml:2",
                "azure.example from variable AZURE_TENANT_ID",
                "own.example from variable APIM_AGENT_ENTRA_TENANT_ID",
                "last.example from flag --set",
            ]
        );
    }

    #[test]
    fn the_workspace_has_a_name_in_any_case() {
        let both = [("GITPOD_WORKSPACE_ID", "classic"), ("GITPOD_ENVIRONMENT_ID", "ona")];
        assert_eq!(value(&resolve("", &both, &[]), "workspace").0, "ona");
        assert_eq!(value(&resolve("", &both[..1], &[]), "workspace").0, "classic");
        assert_eq!(value(&resolve("", &[], &[]), "workspace"), ("host", "the host name".to_owned()));
        assert_eq!(value(&resolve("workspace = \"mine\"", &both, &[]), "workspace").0, "mine");
    }

    #[test]
    fn variables_alone_make_one_credential_and_join_no_others() {
        let env = [("APIM_AGENT_SCOPE", "api://orders/.default")];
        let alone = resolve("", &env, &[]);
        assert_eq!(alone.entered.of("credentials").count(), 1);
        assert_eq!(value(&alone, "credentials.default.env").0, "APIM_ACCESS_TOKEN");

        let joined = resolve("[credentials.a]\nscope = \"x\"", &env, &[]);
        assert_eq!(joined.entered.of("credentials").count(), 1);
        assert!(joined.get("credentials.default.scope").is_none());
    }

    #[test]
    fn credentials_keep_the_order_of_the_file_and_flags_may_add_some() {
        let file = "[credentials.z]\nscope = \"1\"\n[credentials.a]\nscope = \"2\"\n";
        let flags = [
            Entry::flag("--set", "credentials.a.scope", "3"),
            Entry::flag("--set", "credentials.m.scope", "4"),
        ];
        let layers = resolve(file, &[("APIM_AGENT_CREDENTIALS_Z_SCOPE", "5")], &flags);
        assert_eq!(
            layers.entered.of("credentials").map(|(name, _)| name).collect::<Vec<_>>(),
            ["z", "a", "m"]
        );
        assert_eq!(value(&layers, "credentials.z.scope").0, "5");
        assert_eq!(value(&layers, "credentials.a.scope").0, "3");
    }

    #[test]
    fn a_misspelt_variable_is_refused_and_a_published_one_is_not() {
        let layers = resolve("", &[("APIM_AGENT_GATWAY_URL", "u"), ("APIM_AGENT_GENERATION", "3")], &[]);
        assert_eq!(layers.problems.len(), 1, "{:?}", layers.problems);
        assert_eq!(layers.problems[0].fix, "rename it to APIM_AGENT_GATEWAY_URL, or unset it");
    }

    #[test]
    fn explaining_shows_no_secret() {
        let layers = resolve("[gateway]\nprobe = \"/0123456789abcdef0123456789abcdef\"", &[], &[]);
        assert_eq!(
            explain(&layers),
            [
                "gateway.probe = a text of 33 characters (not shown) (apim-agent.toml:2)",
                "workspace = \"host\" (the host name)"
            ]
        );
    }
}
