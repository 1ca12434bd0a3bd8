//! The one place that reads the environment, the current folder and the host's name. Everything else gets values.

use super::args::Global;
use crate::{
    config::{self, Choice, Config, Entry, Env, Inputs, Place, Purpose, trust::Places},
    error::{Class, Error, Result},
    identity::select::Lookup,
};
use std::{
    env::VarError,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The value of a variable, if it has one that can be used. Of one that cannot, somebody has to hear: without it the agent
/// may go another way, such as past a proxy.
fn text(name: &str, read: Result<String, VarError>) -> Option<String> {
    read.inspect_err(|error| {
        if let VarError::NotUnicode(_) = error {
            tracing::warn!("the variable {name} is not UTF-8 and counts as not set");
        }
    })
    .ok()
}

/// What surrounds the process, read once.
pub struct Ambient {
    env: Env,
    lookup: Lookup,
    folder: PathBuf,
    host_name: String,
    places: Places,
}

impl Ambient {
    /// Reads it.
    pub fn read() -> Result<Self> {
        let folder = std::env::current_dir().map_err(|error| {
            Error::new(Class::Config, "there is no current folder")
                .why(error.to_string())
                .fix("change to one that exists")
        })?;
        // A host without a readable name still has one workspace.
        let host_name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let lookup: Lookup = Arc::new(|name| text(name, std::env::var(name)));
        Ok(Self {
            env: std::env::vars_os().collect(),
            places: Places::usual(&*lookup),
            lookup,
            folder,
            host_name: host_name.unwrap_or_else(|| "localhost".to_owned()),
        })
    }

    /// How single variables are looked up: the id token, proxies.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// `XDG_RUNTIME_DIR`.
    pub fn xdg_runtime_dir(&self) -> Option<PathBuf> {
        (self.lookup)("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute()).map(PathBuf::from)
    }

    /// The whole configuration.
    pub fn load(&self, global: &Global) -> Result<Config> {
        config::load_for(&self.inputs(global.file(), &global.settings()), Purpose::Credentials, &self.places)
    }

    /// The configuration of a command that manages an APIM service.
    pub fn load_for_management(&self, global: &Global) -> Result<Config> {
        config::load_for(&self.inputs(global.file(), &global.settings()), Purpose::Management, &self.places)
    }

    /// The configuration of a run on the emulator: `settings` beat everything, and only a file that was asked for is read.
    pub fn load_with(&self, global: &Global, settings: Vec<Entry>) -> Result<Config> {
        let file = if global.config.is_some() { global.file() } else { Choice::Nothing };
        let settings = [global.settings(), settings].concat();
        config::load_for(&self.inputs(file, &settings), Purpose::Credentials, &self.places)
    }

    /// The file that [`Ambient::load`] reads, if there is one.
    pub fn file(&self, global: &Global) -> Option<PathBuf> {
        self.named(&self.inputs(global.file(), &[]))
    }

    /// The file that [`Ambient::load_with`] reads, if it reads one.
    pub fn file_with(&self, global: &Global) -> Option<PathBuf> {
        global.config.as_ref()?;
        self.file(global)
    }

    fn named(&self, inputs: &Inputs<'_>) -> Option<PathBuf> {
        // Its name is as short as the current folder allows.
        config::file::read(inputs).ok().flatten().map(|file| self.folder.join(file.name))
    }

    /// The current folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it is noted what is trusted.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Where a running agent is to be found.
    pub fn place(&self, global: &Global) -> Result<Place> {
        config::place(&self.inputs(global.file(), &global.settings()))
    }

    fn inputs<'a>(&'a self, file: Choice<'a>, flags: &'a [Entry]) -> Inputs<'a> {
        Inputs { file, env: &self.env, flags, folder: &self.folder, host_name: &self.host_name }
    }
}
