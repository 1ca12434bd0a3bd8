//! For a job of GitHub Actions: variables for the steps that follow, masked in the log.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use super::is_address;
use crate::{
    cli::ambient::Ambient,
    error::{Class, Error, Result},
    lifecycle::control::Published,
    secret::assemble,
    sink::env_file::Format,
};
use std::{fs::OpenOptions, io::Write as _};
use zeroize::Zeroizing;

/// Appends the variables to the file that `GITHUB_ENV` names.
pub(super) fn append(ambient: &Ambient, published: &Published) -> Result<()> {
    let path = (ambient.lookup())("GITHUB_ENV").filter(|path| !path.is_empty()).ok_or_else(|| {
        Error::new(Class::Usage, "GITHUB_ENV is not set")
            .why("--format github is for a step of GitHub Actions")
            .fix("elsewhere: --format dotenv")
    })?;
    let text = published.render(Format::GitHub)?;
    // Only what is there already: a file that we made would be read by nobody, and would stay.
    let file = OpenOptions::new().append(true).open(&path);
    file.and_then(|mut file| file.write_all(&text)).map_err(|error| {
        Error::new(Class::Config, format!("cannot append to {path}, which GITHUB_ENV names"))
            .why(error.to_string())
    })
}

/// The commands that have the runner mask each value, for standard output.
pub(super) fn masks(published: &Published) -> Zeroizing<Vec<u8>> {
    assemble(|put| {
        let secret = published.values.values.iter().filter(|(name, _)| !is_address(name));
        for (_, secret) in secret {
            put("::add-mask::");
            // The runner decodes %25, %0A and %0D in what follows.
            for (index, part) in secret.expose().split('%').enumerate() {
                put(if index > 0 { "%25" } else { "" });
                put(part);
            }
            put("\n");
        }
    })
}
