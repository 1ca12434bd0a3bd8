//! Finds and reads the file. The only place of the configuration that touches the disk.

use super::{Choice, FILE_NAME, Inputs, keys};
use crate::error::{Class, Error, Result};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

/// A configuration is a few hundred bytes; what is larger is something else.
const LARGEST: u64 = 256 * 1024;

/// A file as it was read.
#[derive(Debug)]
pub struct Text {
    /// Its name for messages, as short as the current folder allows.
    pub name: String,
    /// The folder that it lies in, which its relative paths begin at.
    pub folder: PathBuf,
    /// Its content.
    pub text: String,
}

/// Reads the file that `inputs` ask for. A named one has to be there; of the searched one `None` is an answer.
pub fn read(inputs: &Inputs<'_>) -> Result<Option<Text>> {
    let Choice::Usual(flag) = inputs.file else { return Ok(None) };
    let by_variable = || inputs.env.get(keys::CONFIG).map(Path::new);
    if let Some((path, by)) = flag
        .map(|path| (path, "flag --config"))
        .or(by_variable().map(|path| (path, "variable APIM_AGENT_CONFIG")))
    {
        let path = inputs.folder.join(path);
        return match text(&path, inputs.folder)? {
            Some(text) => Ok(Some(text)),
            None => {
                Err(Error::new(Class::Config, format!("the configuration {} does not exist", path.display()))
                    .why(format!("{by} names it"))
                    .fix(format!("correct the path, or leave it out to search for {FILE_NAME}")))
            }
        };
    }
    for folder in search(inputs.folder) {
        if let Some(text) = text(&folder.join(FILE_NAME), inputs.folder)? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// The folders to look into: from `start` up to the repository's root, which is the first one that holds `.git`.
///
/// Outside a repository only `start` itself: further up may be folders that anybody can write to, and the file says
/// who is sent the workspace's identity.
fn search(start: &Path) -> Vec<&Path> {
    let root = start.ancestors().position(|folder| folder.join(".git").exists());
    start.ancestors().take(root.unwrap_or(0) + 1).collect()
}

fn text(path: &Path, current: &Path) -> Result<Option<Text>> {
    let wrong = |why: String| {
        Error::new(Class::Config, format!("cannot read the configuration {}", path.display()))
            .why(why)
            .fix("it has to be a readable text file in TOML")
    };
    // A pipe would keep us waiting for a writer, so the kind is looked at first.
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(wrong("it is not a regular file".to_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(wrong(error.to_string())),
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(format!("it is larger than {} KiB", LARGEST / 1024)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        wrong(format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
    })?;
    let name = path.strip_prefix(current).unwrap_or(path).display().to_string();
    let folder = path.parent().unwrap_or(current).to_owned();
    Ok(Some(Text { name, folder, text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn searches_up_to_the_root_of_the_repository_and_no_further() {
        let temp = tempfile::tempdir().expect("temp");
        let repository = temp.path().join("repository");
        let inner = repository.join("a/b");
        fs::create_dir_all(&inner).expect("folders");
        assert_eq!(search(&inner), [inner.as_path()], "no repository");

        fs::write(repository.join(".git"), "gitdir: elsewhere").expect("a worktree's .git is a file");
        assert_eq!(search(&inner), [inner.as_path(), &repository.join("a"), &repository]);
    }
}
