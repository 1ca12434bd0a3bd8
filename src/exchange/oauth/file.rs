//! The PEM files of a client: read again at each use, so that a renewed key counts from its next use on.

use crate::{
    error::{Class, Error, Result},
    secret::Secret,
};
use std::{io::Read, path::Path};
use zeroize::Zeroizing;

/// A key with a chain of certificates is a few kilobytes.
const MAX: usize = 256 * 1024;

/// The text of the file at `path`, a regular one. `setting` names it in errors. Errors: `Config`, without its content.
pub(super) async fn read(path: &Path, setting: &'static str) -> Result<Secret> {
    let path = path.to_owned();
    // It may be on a network, and must not hold up the one thread that also handles signals.
    let reading = tokio::task::spawn_blocking(move || {
        let bad = |why: String| {
            Error::new(Class::Config, format!("{setting} {} cannot be read", path.display()))
                .why(why)
                .fix(format!("check the path and its permissions, or set {setting}"))
        };
        let metadata = std::fs::metadata(&path).map_err(|error| bad(error.to_string()))?;
        if !metadata.is_file() {
            return Err(bad("it is not a regular file".to_owned()));
        }
        let file = std::fs::File::open(&path).map_err(|error| bad(error.to_string()))?;
        // All of it at the start, and one byte more than is allowed: no stale copy by growing, and too long shows.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX + 1));
        file.take(MAX as u64 + 1).read_to_end(&mut text).map_err(|error| bad(error.to_string()))?;
        if text.len() > MAX {
            return Err(bad(format!("it is longer than {} KiB, which no PEM file is", MAX / 1024)));
        }
        let text = std::str::from_utf8(&text).map_err(|_| bad("it is not text".to_owned()))?;
        Ok(Secret::new(text.to_owned()))
    });
    reading.await.map_err(|error| {
        Error::new(Class::Internal, format!("the reader of {setting} stopped")).why(error.to_string())
    })?
}
