//! Finds and reads the file. The only place of the configuration that touches the disk.

use super::{Choice, FILE_NAME, Inputs, keys};
use crate::error::{Class, Error, Result};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::MetadataExt as _,
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
    /// Whether a search found it: then nobody asked for it, see [`super::trust`].
    pub found: bool,
}

impl Text {
    /// Where it lies, as it is known to whoever allows it: its folder without links, which its relative paths begin at.
    pub fn lies_at(&self) -> Result<PathBuf> {
        let folder = self.folder.canonicalize().map_err(|error| {
            Error::new(Class::Config, format!("the folder of {} cannot be looked at", self.name))
                .why(error.to_string())
        })?;
        Ok(folder.join(FILE_NAME))
    }
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
    search(inputs.folder)
}

/// The file that a search from `start` finds.
pub fn search(start: &Path) -> Result<Option<Text>> {
    for folder in folders(start) {
        let file = look(&folder.join(FILE_NAME), start)?;
        if file.is_some() {
            return Ok(file);
        }
    }
    Ok(None)
}

/// The same error, to somebody who may take it that there is a file: says where one was looked for.
pub fn not_found(error: Error, folder: &Path) -> Error {
    let above = if folders(folder).len() > 1 { " and above it, up to the repository's root" } else { "" };
    let note = format!("no {FILE_NAME} was found: looked in {}{above}", folder.display());
    let why = error.why.as_ref().map_or_else(|| note.clone(), |why| format!("{why}\n{note}"));
    error.why(why)
}

/// The file at the absolute `path`, as if a search from `current` had found it.
pub fn look(path: &Path, current: &Path) -> Result<Option<Text>> {
    let Some(text) = text(path, current)? else { return Ok(None) };
    ours(path, &text.folder)?;
    Ok(Some(Text { found: true, ..text }))
}

/// A file that was merely found says who is sent the workspace's identity, so it counts only if nobody else could have
/// put it there: it and its folder belong to us or to root, and not everybody may write to it. Whether its author is to
/// be trusted is another question, see [`super::trust`].
///
/// Without this, whoever plants a file and a `.git` in a shared folder reads the bearer of the next one who comes by.
fn ours(path: &Path, folder: &Path) -> Result<()> {
    let euid = nix::unistd::geteuid().as_raw();
    let foreign = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        match found.uid() {
            0 => None,
            uid if uid == euid => None,
            uid => Some(format!("{} belongs to another user (uid {uid}, we are {euid})", path.display())),
        }
    };
    let open = std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o002 != 0);
    let open = open.then(|| format!("everybody may write to {}", path.display()));
    match foreign(path).or_else(|| foreign(folder)).or(open) {
        None => Ok(()),
        Some(why) => {
            Err(Error::new(Class::Config, format!("the configuration {} is not trusted", path.display()))
                .why(format!("it was found by searching, and {why}"))
                .fix(format!("read it, and if it is as it should be: --config {}", path.display())))
        }
    }
}

/// The folders to look into: from `start` up to the repository's root, which is the first one that holds `.git`.
///
/// Outside a repository only `start` itself: further up may be folders that anybody can write to, and the file says
/// who is sent the workspace's identity.
fn folders(start: &Path) -> Vec<&Path> {
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
    Ok(Some(Text { name, folder, text, found: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, load};
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, chown},
    };

    #[test]
    fn searches_up_to_the_root_of_the_repository_and_no_further() {
        let temp = tempfile::tempdir().expect("temp");
        let repository = temp.path().join("repository");
        let inner = repository.join("a/b");
        fs::create_dir_all(&inner).expect("folders");
        assert_eq!(folders(&inner), [inner.as_path()], "no repository");

        fs::write(repository.join(".git"), "gitdir: elsewhere").expect("a worktree's .git is a file");
        assert_eq!(folders(&inner), [inner.as_path(), &repository.join("a"), &repository]);
    }

    #[test]
    fn whoever_has_no_file_is_told_where_it_was_looked_for() {
        let temp = tempfile::tempdir().expect("temp");
        let env = Env::default();
        let inputs = |file| Inputs { file, env: &env, flags: &[], folder: temp.path(), host_name: "h" };
        let why = |file| load(&inputs(file)).expect_err("nothing is set").why.expect("a reason");
        let note = format!("\nno {FILE_NAME} was found: looked in {}", temp.path().display());
        assert!(why(Choice::Usual(None)).ends_with(&note));
        assert!(!why(Choice::Nothing).contains("was found"));
        fs::write(temp.path().join(FILE_NAME), "").expect("written");
        assert!(!why(Choice::Usual(None)).contains("was found"));
    }

    #[test]
    fn a_file_that_was_found_must_be_ours() {
        let temp = tempfile::tempdir().expect("temp");
        let path = temp.path().join(FILE_NAME);
        fs::write(&path, "").expect("written");
        ours(&path, temp.path()).expect("ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
        let error = ours(&path, temp.path()).expect_err("anybody's");
        assert!(error.to_string().contains("everybody may write"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can give a file away");
            return;
        }
        for foreign in [path.as_path(), temp.path()] {
            chown(foreign, Some(65534), None).expect("chown");
            let error = ours(&path, temp.path()).expect_err("somebody else's");
            assert!(error.to_string().contains("uid 65534"), "{error}");
            chown(foreign, Some(0), None).expect("chown");
        }
        ours(&path, temp.path()).expect("ours again");
    }
}
