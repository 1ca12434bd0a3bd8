//! `man`: manual pages, from the definition that parses the command line.

use super::{args, print::print};
use crate::error::{Class, Error, Result};
use std::{io, process::ExitCode};

pub(super) fn man(command: &args::Man) -> Result<ExitCode> {
    let Some(folder) = &command.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(args::command()).render(&mut page).map_err(|error| {
            Error::new(Class::Internal, "cannot make the manual page").why(error.to_string())
        })?;
        return print(&page);
    };
    let written = |error: io::Error| {
        Error::new(Class::Config, format!("cannot write manual pages into {}", folder.display()))
            .why(error.to_string())
            .fix("name a folder that you may write to: apim-agent man --folder ~/.local/share/man/man1")
    };
    std::fs::create_dir_all(folder).map_err(written)?;
    clap_mangen::generate_to(args::command(), folder).map_err(written)?;
    Ok(ExitCode::SUCCESS)
}
