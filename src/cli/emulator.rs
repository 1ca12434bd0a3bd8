//! `apim-agent emulator`: the Azure parts alone, until a signal.

use super::{runtime, signals::Signals};
use crate::{
    emulator::{Emulator, Options, Ready},
    error::{Class, Error, Result},
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Starts the emulator, writes the ready file, says where everything is, and serves until SIGINT, SIGTERM or SIGHUP.
/// The emulator's files and the ready file are gone when it returns.
pub fn run(options: Options, ready_file: Option<PathBuf>) -> Result<()> {
    let runtime = runtime()?;
    // Before the ready file: who waits for that file may send the signal at once.
    let mut signals = runtime.block_on(async { Signals::catch() })?;
    let emulator = Emulator::start(options)?;
    let _ready_file = ready_file.map(|path| ReadyFile::write(path, emulator.ready())).transpose()?;
    match io::stdout().write_all(summary(emulator.ready()).as_bytes()).and_then(|()| io::stdout().flush()) {
        // Nobody reads it; the services are what counts.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(&error)),
        _ => {}
    }
    runtime.block_on(signals.next());
    emulator.stop();
    Ok(())
}

/// One line a service.
fn summary(ready: &Ready) -> String {
    let ca_file = ready.ca_file.display().to_string();
    let lines = [
        ("identity", ready.identity.as_str()),
        ("Entra", &ready.authority),
        ("ARM", &ready.arm),
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

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "cannot remove the ready file");
        }
        _ => {}
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new(Class::Internal, "the emulator cannot say where it is").why(error.to_string())
}
