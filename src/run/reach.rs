//! Which files an agent needs, so that it can give up all others.

use crate::{
    config::{self, ClientAuth, Config, Identity, Method, Source},
    error::{Class, Error, Result},
    identity::select::Lookup,
    lifecycle::status::Confinement,
    sys::confine::{Confined, Reach, confine},
};
use std::path::{Path, PathBuf};

/// What the system's own libraries read: roots of trust, the resolver's files, time zones, what the kernel tells.
const SYSTEM: [&str; 11] = [
    "/etc",
    "/usr/share",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/proc",
    "/sys",
    "/dev/urandom",
    // Kubernetes' projected tokens.
    "/var/run/secrets",
];

/// The loader and the libraries: the guard is our own program, started again.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store"];

/// What an agent has been confined to, and what is to be said of it.
pub struct Bounds {
    /// `None`: it has not been.
    reach: Option<Reach>,
    pub(super) said: Confinement,
}

/// Confines this thread, and all that it starts from now on, to the files that an agent of `config` needs: its runtime
/// directory to write to, what the configuration names and the system's own to read. `more` is what its surroundings add: the
/// folder of its configuration and of the records of what is allowed, its own program, and what an emulator writes.
///
/// Where the configuration has programs run, nothing is done: they would be confined too.
pub fn bound(config: &Config, directory: &Path, lookup: &Lookup, more: Reach) -> Result<Bounds> {
    if let Some(programs) = programs(config, lookup) {
        let because = Some(format!("programs are run for the {programs}"));
        return Ok(Bounds { reach: None, said: Confinement { landlock: None, partly: false, because } });
    }
    let reach = reach(config, directory, lookup, more);
    let (landlock, partly) = match confine(&reach)? {
        Confined::Wholly(abi) => (Some(abi), false),
        Confined::Partly(abi) => (Some(abi), true),
        Confined::No => (None, false),
    };
    let because = landlock.is_none().then(|| "this kernel has no Landlock".to_owned());
    let reach = landlock.map(|_| reach);
    Ok(Bounds { reach, said: Confinement { landlock, partly, because } })
}

impl Bounds {
    /// Whether an agent within these bounds can live by `config`.
    ///
    /// # Errors
    /// It cannot, and would have to be started again.
    pub(super) fn admit(&self, config: &Config, lookup: &Lookup) -> Result<()> {
        let Some(reach) = &self.reach else { return Ok(()) };
        let refused = |why: String| {
            let what = "the agent, as it was started, cannot live by it";
            Err(Error::new(Class::Config, what).why(why).fix("stop it and start it again"))
        };
        if let Some(programs) = programs(config, lookup) {
            return refused(format!(
                "programs would be run for the {programs}, and it has given up that right"
            ));
        }
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let known: Vec<_> = reach.read.iter().chain(&reach.write).map(|path| real(path)).collect();
        let is_known = |path: &&PathBuf| known.iter().any(|folder| real(path).starts_with(folder));
        // Where nothing is, there is nothing to be read.
        match folders(config).iter().filter(|path| path.exists()).find(|path| !is_known(path)) {
            Some(path) => refused(format!("it has given up the right to read in {}", path.display())),
            None => Ok(()),
        }
    }
}

/// The programs that an identity of this configuration may have run. They have files of their own.
fn programs(config: &Config, lookup: &Lookup) -> Option<String> {
    let runs = config.identities.iter().filter(|(_, identity)| may_run(identity, lookup));
    let names: Vec<_> = runs.map(|(name, identity)| section(name, identity)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn section(name: &str, identity: &Identity) -> String {
    let source = identity.source;
    if name == config::DEFAULT { format!("source {source}") } else { format!("source {source} of {name}") }
}

/// Whether this identity may be asked of a program. What comes later in `auto`'s order does not matter once one is found.
fn may_run(identity: &Identity, lookup: &Lookup) -> bool {
    let is_set = |name: &str| lookup(name).is_some_and(|value| !value.is_empty());
    let has_variable = || is_set(identity.variable.as_deref().unwrap_or(config::ID_TOKEN_VARIABLE));
    let has_file = identity.token_file.is_some();
    match identity.source {
        Source::Saml => identity.command.is_some(),
        Source::Ona => !identity.bearer_file.exists() && is_set("GITPOD_ENVIRONMENT_ID"),
        Source::Auto => {
            identity.command.is_some() || !(has_file || has_variable() || identity.bearer_file.exists())
        }
        source => matches!(
            source,
            Source::Command
                | Source::Gitpod
                | Source::Buildkite
                | Source::Circleci
                | Source::AzureCli
                | Source::Azd
                | Source::Browser
        ),
    }
}

fn reach(config: &Config, directory: &Path, lookup: &Lookup, more: Reach) -> Reach {
    let mut reach = more;
    reach.read.extend(SYSTEM.map(PathBuf::from));
    reach.run.extend(LIBRARIES.map(PathBuf::from));
    let roots = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(|name| lookup(name));
    reach.read.extend(roots.map(PathBuf::from));
    reach.read.extend(folders(config));
    reach.write.extend([directory.to_owned(), PathBuf::from("/dev/null")]);
    // Our own base folder goes when it is empty.
    if let Some(base) = directory.parent() {
        reach.tidy.extend(std::iter::once(base).chain(base.parent()).map(Path::to_owned));
    }
    reach
}

/// Where the files lie that the configuration names. Not the files themselves: most are replaced by another of the same name.
fn folders(config: &Config) -> Vec<PathBuf> {
    let files = config.identities.values().flat_map(|identity| {
        [Some(&identity.bearer_file), identity.token_file.as_ref(), identity.assertion_file.as_ref()]
    });
    let auths = config.exchanges.values().filter_map(|exchange| match &exchange.method {
        Method::TokenExchange(method) => Some(&method.client.auth),
        Method::SamlBearer(method) => Some(&method.client.auth),
        Method::Entra(_) | Method::OnBehalfOf(_) => None,
    });
    let keys = auths.flat_map(|auth| match auth {
        ClientAuth::None => [None, None],
        ClientAuth::PrivateKeyJwt { key_file } => [Some(key_file), None],
        ClientAuth::Mtls { certificate_file, key_file } => [Some(certificate_file), Some(key_file)],
    });
    let all = files.chain(keys).flatten().chain(config.ca_file.as_ref());
    all.filter_map(|file| file.parent()).map(Path::to_owned).collect()
}
