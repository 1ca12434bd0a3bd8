//! Texts that are longer than the queue of [`super::outlet`] and asked for by a pipe: they wait for their reader.

use crate::error::{Class, Error, Result};
use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

/// Writes all of `text` to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &[u8]) -> Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Class::Unavailable, "cannot write to standard output").why(error.to_string()))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
