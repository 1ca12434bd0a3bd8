//! `allow` and `deny`: what a person says about a configuration that was found.

use super::{ambient::Ambient, args, outlet};
use crate::{
    clock,
    config::{
        Env, FILE_NAME, document,
        file::{self, Text},
        layers::Layers,
        problem::{readable, report},
        trust::{
            self, Need,
            store::{Mark, Store},
        },
    },
    error::{Class, Error, Result},
};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) fn allow(command: &args::Allowed, ambient: &Ambient) -> Result<ExitCode> {
    let (store, file) = (store(ambient)?, asked_for(command, ambient)?);
    let path = file.lies_at()?;
    let needs = needs(&file)?;
    store.allow(&path, &Mark::of(&path, &file.text), &needs, clock::now())?;
    outlet::stdout().push(told(&path, &needs).as_bytes());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn deny(command: &args::Allowed, ambient: &Ambient) -> Result<ExitCode> {
    let path = match &command.file {
        // It may be gone already; what was allowed of it is not.
        Some(named) => lies_at(&searched_for(named, ambient)?)?,
        None => asked_for(command, ambient)?.lies_at()?,
    };
    let count = store(ambient)?.deny(&path)?;
    let name = readable(&path.display().to_string());
    let text = match count {
        0 => format!("nothing of {name} was allowed\n"),
        1 => format!("denied     {name}: it is allowed no longer\n"),
        count => format!("denied     {name}: {count} versions of it are allowed no longer\n"),
    };
    outlet::stdout().push(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// What of the file needs trust, whatever variables and flags may beat today: all of it is what is being allowed.
fn needs(file: &Text) -> Result<Vec<Need>> {
    let document = document::parse(&file.name, &file.text);
    if let Some(problem) = document.syntax {
        return Err(report(vec![problem]));
    }
    Ok(trust::needs(&Layers::resolve(document, &Env::default(), &[], "localhost")))
}

fn told(path: &Path, needs: &[Need]) -> String {
    let mut text = format!("allowed    {} as it is now", readable(&path.display().to_string()));
    if needs.is_empty() {
        text += "; nothing in it needs that by itself\n";
    } else {
        text += ", and with it:\n";
        for need in needs {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "  {need}");
        }
    }
    text + "A change of the file needs it again; apim-agent deny takes it back.\n"
}

fn store(ambient: &Ambient) -> Result<&Store> {
    ambient.places().store.as_ref().ok_or_else(|| {
        Error::new(Class::Config, "there is no place for the record of what is allowed")
            .why("neither XDG_STATE_HOME nor HOME is set to an absolute path")
            .fix(format!("set one of them; or name the configuration: --config {FILE_NAME}"))
    })
}

/// The file, held to what one that is found by searching is held to.
fn asked_for(command: &args::Allowed, ambient: &Ambient) -> Result<Text> {
    let missing = |what: String| {
        Error::new(Class::Config, what)
            .fix(format!("change to the repository, or give the path of its {FILE_NAME}"))
    };
    let Some(named) = &command.file else {
        return file::search(ambient.folder())?.ok_or_else(|| {
            missing(format!("there is no {FILE_NAME} from here up to the repository's root"))
        });
    };
    let path = searched_for(named, ambient)?;
    file::look(&path, ambient.folder())?
        .ok_or_else(|| missing(format!("{} does not exist", readable(&path.display().to_string()))))
}

/// The absolute path of a file that a search could find.
fn searched_for(named: &Path, ambient: &Ambient) -> Result<PathBuf> {
    if named.file_name().is_some_and(|name| name == FILE_NAME) {
        return Ok(ambient.folder().join(named));
    }
    let what = format!("{} is never found by searching", readable(&named.display().to_string()));
    Err(Error::new(Class::Config, what)
        .why(format!("only a file called {FILE_NAME} is; any other is read when somebody names it, and needs no allowing"))
        .fix(format!("name it: --config {}", trust::in_shell(named))))
}

/// Where a file lies that may be gone.
fn lies_at(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().unwrap_or(path);
    let folder = folder.canonicalize().map_err(|error| {
        Error::new(Class::Config, format!("{} cannot be looked at", readable(&folder.display().to_string())))
            .why(error.to_string())
    })?;
    Ok(folder.join(FILE_NAME))
}
