//! The whole configuration: the file's text, NUL, variables as NAME=value lines, NUL, flags as path=value lines.
#![no_main]

use apim_agent::{
    config::{
        Entry, Env, document, env_name,
        layers::Layers,
        validate::{self, Folders},
    },
    error::Class,
    sink::env_file::check_name,
};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\0');
    let file = parts.next().unwrap_or_default();
    let mut pairs = || {
        parts.next().unwrap_or_default().lines().filter_map(|line| line.split_once('=')).collect::<Vec<_>>()
    };
    let env: Env = pairs().into_iter().collect();
    let flags: Vec<Entry> =
        pairs().into_iter().map(|(path, text)| Entry::flag("--set", path, text)).collect();

    let folder = Path::new("/workspace");
    let layers = || Layers::resolve(document::parse("apim-agent.toml", file), &env, &flags, "host");
    if let Ok(place) = validate::place(layers(), Folders { file: folder, current: folder }) {
        assert!(!place.workspace.is_empty());
    }
    match validate::config(layers(), Folders { file: folder, current: folder }) {
        Ok(config) => {
            assert!(!config.credentials.is_empty());
            for (index, credential) in config.credentials.iter().enumerate() {
                check_name(&credential.env).expect("a variable's name");
                env_name::free(&credential.env).expect("a name that is free");
                let same = |other: &apim_agent::config::Credential| other.env == credential.env;
                assert!(!config.credentials[..index].iter().any(same), "{} twice", credential.env);
                let has_lifetime = credential.target.kind().keys().contains(&"lifetime");
                assert!(!has_lifetime || credential.grace < credential.lifetime);
            }
            let paths = config.ca_file.iter().chain(&config.runtime_dir);
            for path in paths.chain(config.identities.values().map(|identity| &identity.bearer_file)) {
                assert!(path.is_absolute(), "{}", path.display());
            }
        }
        Err(error) => {
            assert_eq!(error.class, Class::Config);
            // The only message of several lines.
            assert!(
                !error.to_string().chars().any(|c| c.is_control() && c != '\n'),
                "control characters in {error:?}"
            );
        }
    }
});
