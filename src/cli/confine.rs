//! Which files an agent may touch: a configuration in terms of Landlock. Pure, but for whether a file is there.

use crate::{
    config::{Client, ClientAuth, Config, Identity, Method, Source},
    error::{Class, Error, Result},
    sys::landlock::{self, Rules},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Programs and their libraries: the guard is this program once more, and its loader lies there.
const PROGRAMS: [&str; 9] =
    ["/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/nix/store", "/gnu/store"];

/// What name resolution, the trust store, and looking at one's own descriptors and at swap need; then where platforms put
/// what the workspace is told.
const SYSTEM: [&str; 14] = [
    "/etc",
    "/proc",
    "/sys",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/var/lib/ca-certificates",
    "/run/secrets",
    "/var/run/secrets",
    "/usr/local/gitpod",
    "/workspaces/.codespaces/shared",
];

/// What the agent needs besides what its configuration names.
#[derive(Default)]
pub(super) struct Needs {
    /// To be read: the configuration's folder, where it is noted what is trusted, ...
    pub(super) read: Vec<PathBuf>,
    /// To be written below: the runtime directory's base, ...
    pub(super) write: Vec<PathBuf>,
}

/// The confinement of a process that stands.
pub(super) struct Fence {
    /// Folders that may be read, with no symbolic link in them. `None`: all.
    readable: Option<Vec<PathBuf>>,
}

/// Confines this thread, and all that it starts, to what `config` and `needs` name, unless the configuration has it run
/// programs: those have files of their own.
pub(super) fn confine(config: &Config, needs: Needs) -> Fence {
    if let Some(name) = program(config) {
        landlock::renounce(&format!("identity {name} runs programs, which write files of their own"));
        return Fence { readable: None };
    }
    let rules = rules(config, needs);
    let readable = [&*rules.read, &*rules.execute, &*rules.write].concat();
    let readable = readable.iter().filter_map(|path| path.canonicalize().ok()).collect();
    Fence { readable: landlock::confine(&rules).then_some(readable) }
}

impl Fence {
    /// Whether an agent inside can follow this configuration.
    ///
    /// # Errors
    ///
    /// [`Class::Config`] where it names a file outside, or has programs run: what the kernel was told once stays.
    pub(super) fn admits(&self, config: &Config) -> Result<()> {
        let Some(readable) = &self.readable else { return Ok(()) };
        let refused = |what: String| {
            Err(Error::new(Class::Config, what)
                .why("since it was started it can reach only what its configuration named then (Landlock)")
                .fix("restart the agent"))
        };
        if let Some(name) = program(config) {
            return refused(format!("identity {name} runs programs, which this agent cannot"));
        }
        let is_inside = |file: &Path| {
            // Of one that is not there yet, the folder counts that it will be in.
            let place = file.ancestors().find_map(|place| place.canonicalize().ok());
            place.is_some_and(|place| readable.iter().any(|folder| place.starts_with(folder)))
        };
        match files(config).into_iter().find(|file| !is_inside(file)) {
            Some(file) => refused(format!("{} lies where this agent cannot read", file.display())),
            None => Ok(()),
        }
    }
}

fn rules(config: &Config, needs: Needs) -> Rules {
    let mut read: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).chain(needs.read).collect();
    // Often a symbolic link to where the resolver keeps it.
    read.extend(Path::new("/etc/resolv.conf").canonicalize());
    for file in files(config) {
        // They are replaced by renaming, so the folder; and where links lead now.
        read.insert(folder_of(file));
        read.extend(file.canonicalize().ok().map(|file| folder_of(&file)));
    }
    // A folder is removed from the one above it.
    let folders = needs.write.iter().map(|path| folder_of(path)).collect();
    Rules {
        read: read.into_iter().collect(),
        execute: PROGRAMS.iter().map(PathBuf::from).collect(),
        write: [needs.write, vec!["/dev/null".into(), "/dev/tty".into()]].concat(),
        folders,
    }
}

pub(super) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => file.to_owned(),
    }
}

/// Every file that the configuration names.
fn files(config: &Config) -> Vec<&Path> {
    let mut files = Vec::new();
    for identity in config.identities.values() {
        let is_ona = matches!(identity.source, Source::Ona | Source::Auto);
        let bearer = is_ona.then_some(&identity.bearer_file);
        let named = bearer.into_iter().chain(&identity.token_file).chain(&identity.assertion_file);
        files.extend(named.map(PathBuf::as_path));
    }
    files.extend(config.ca_file.as_deref());
    for exchange in config.exchanges.values() {
        match client(&exchange.method).map(|client| &client.auth) {
            Some(ClientAuth::PrivateKeyJwt { key_file }) => files.push(key_file),
            Some(ClientAuth::Mtls { certificate_file, key_file }) => {
                files.extend([&**certificate_file, key_file]);
            }
            Some(ClientAuth::None) | None => {}
        }
    }
    files
}

fn client(method: &Method) -> Option<&Client> {
    match method {
        Method::SamlBearer(saml) => Some(&saml.client),
        Method::TokenExchange(exchange) => Some(&exchange.client),
        Method::Entra(_) | Method::OnBehalfOf(_) => None,
    }
}

/// The first identity that may run a program.
fn program(config: &Config) -> Option<&str> {
    config.identities.iter().find(|(_, identity)| runs_programs(identity)).map(|(name, _)| name.as_str())
}

fn runs_programs(identity: &Identity) -> bool {
    match identity.source {
        // Its search ends at the first that is here, and a file comes before the programs.
        Source::Auto => {
            identity.command.is_some() || (identity.token_file.is_none() && !identity.bearer_file.exists())
        }
        // With a bearer it asks the API itself.
        Source::Ona => !identity.bearer_file.exists(),
        Source::Saml => identity.command.is_some(),
        Source::Command
        | Source::Gitpod
        | Source::Buildkite
        | Source::Circleci
        | Source::AzureCli
        | Source::Azd
        | Source::Browser => true,
        Source::File
        | Source::Env
        | Source::GithubActions
        | Source::Gitlab
        | Source::ManagedIdentity
        | Source::DeviceCode => false,
    }
}
