//! `apim-agent emulator`: the Azure parts alone, until a signal.

use super::{block_on, outlet, signals::Signals};
use crate::{
    emulator::{Emulator, Options, Ready},
    error::{Class, Error, Result},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Starts the emulator, writes the ready file, says where everything is, and serves until a signal that ends it. The
/// emulator's files and the ready file are gone when it returns.
pub fn run(options: Options, ready_file: Option<PathBuf>) -> Result<()> {
    block_on(async {
        // Before there is anything to remove.
        let mut signals = Signals::catch()?;
        let emulator = start(options, ready_file.as_deref()).await?;
        let _ready_file = ready_file.map(|path| ReadyFile::write(path, emulator.ready())).transpose()?;
        outlet::stdout().push(summary(emulator.ready()).as_bytes());
        signals.next().await;
        emulator.stop();
        Ok(())
    })
}

/// Starts it beside our event loop: it makes keys, which takes a while, and has a loop of its own. A ready file of an
/// earlier one goes first, since whoever waits for the file would take it for ours.
pub(super) async fn start(options: Options, ready_file: Option<&Path>) -> Result<Emulator> {
    if let Some(path) = ready_file {
        clear(path)?;
        try_to_write(path)?;
    }
    let started = tokio::task::spawn_blocking(|| Emulator::start(options)).await;
    started
        .map_err(|error| Error::new(Class::Internal, "the emulator's start failed").why(error.to_string()))?
}

/// One line a service.
fn summary(ready: &Ready) -> String {
    let ca_file = ready.ca_file.display().to_string();
    let lines = [
        ("identity", ready.identity.as_str()),
        ("Entra", &ready.authority),
        ("ARM", &ready.arm),
        ("Key Vault", &ready.key_vault),
        ("gateway", &ready.gateway),
        ("proxy", &ready.proxy),
        ("control", &ready.control),
        ("CA", &ca_file),
    ];
    let lines = lines.map(|(name, place)| format!("  {name:<9} {place}\n")).concat();
    format!("The emulated Azure is up; Ctrl-C ends it.\n{lines}")
}

/// Removed when dropped, so on each way out.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    pub(super) fn write(path: PathBuf, ready: &Ready) -> Result<Self> {
        ready.write(&path)?;
        Ok(Self(path))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a ready file that an earlier emulator left behind. To be called before an emulator starts: whoever waits for
/// the file would take the old one for the sign that this one is up, even where it fails to start.
fn clear(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::new(Class::Config, format!("cannot replace the ready file {}", path.display()))
                .why(error.to_string())
                .fix("name a file that can be removed and made anew"))
        }
        _ => Ok(()),
    }
}

/// Whether a ready file can be made there: found out now, and not when there is something to wipe and revoke. It is done
/// beside the file's own name, for which others may be waiting.
fn try_to_write(path: &Path) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.try", std::process::id()));
    let beside = path.with_file_name(name);
    let tried = fs::OpenOptions::new().write(true).create_new(true).open(&beside);
    tried.and_then(|_| fs::remove_file(&beside)).map_err(|error| {
        Error::new(Class::Config, format!("cannot write the ready file {}", path.display()))
            .why(error.to_string())
            .fix("name a file in a folder that exists and that you may write to")
    })
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "cannot remove the ready file");
        }
        _ => {}
    }
}
