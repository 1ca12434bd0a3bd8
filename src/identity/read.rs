//! Small files with one secret in them.

use crate::error::{Class, Error, Result};
use std::{
    io::Read,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Tokens are a few kilobytes; what is larger is another file.
const MAX: usize = 64 * 1024;

/// The whole text of the file at `path`; `None` if there is none. `setting` names it in errors, such as `token_file`.
///
/// It must be a regular file: it is read again each time, and a pipe would be empty then, or hang. Links are followed,
/// since Kubernetes replaces its token files through them.
pub(super) async fn secret_file(path: &Path, setting: &'static str) -> Result<Option<Zeroizing<String>>> {
    let path = path.to_owned();
    // The file may be on a network, and must not hold up the one thread that also handles signals.
    let reading = tokio::task::spawn_blocking(move || read(&path, setting));
    reading.await.map_err(|error| {
        Error::new(Class::Internal, format!("the reader of {setting} stopped")).why(error.to_string())
    })?
}

fn read(path: &PathBuf, setting: &str) -> Result<Option<Zeroizing<String>>> {
    let bad = |why: String| {
        Error::new(Class::Config, format!("{setting} {} cannot be read", path.display()))
            .why(why)
            .fix(format!("check the path and its permissions, or set {setting}"))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error.to_string())),
    };
    if !metadata.is_file() {
        return Err(bad("it is not a regular file".to_owned()));
    }
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    // One byte more than is allowed, so that too long shows, and all of it at the start: no stale copy by growing.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX + 1));
    file.take(MAX as u64 + 1).read_to_end(&mut text).map_err(|error| bad(error.to_string()))?;
    if text.len() > MAX {
        return Err(bad(format!("it is longer than {} KiB, which no token is", MAX / 1024)));
    }
    let text = std::str::from_utf8(&text).map_err(|_| bad("it is not text".to_owned()))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}
