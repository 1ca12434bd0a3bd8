//! The programs that read env files, each run for real.

use apim_agent::sink::env_file::Format;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Set to `all` where a missing reader is a failure rather than a gap: by `scripts/env-readers`.
const WANTED: &str = "APIM_AGENT_TEST_READERS";

/// Where `scripts/env-readers` has put those that are not Debian packages.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/env-readers");

/// One reader, of one of our formats.
pub(crate) struct Reader {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// What it is given to read.
    pub(crate) format: Format,
    /// What is run: words, with `{here}` for the folder of the drivers, `{tools}` for that of the tools, `{file}` and
    /// `{names}`.
    command: &'static str,
}

/// Cheap ones first.
const READERS: &[Reader] = &[
    shell("dash", "dash {here}/read.sh file {file} {names}"),
    shell("busybox sh", "busybox sh {here}/read.sh file {file} {names}"),
    shell("bash", "bash --norc {here}/read.sh file {file} {names}"),
    shell("bash --posix", "bash --norc --posix {here}/read.sh file {file} {names}"),
    shell("zsh", "zsh -f {here}/read.sh file {file} {names}"),
    shell("zsh with the options of its frameworks", ZSH_OPTIONS),
    export("dash, eval", "dash {here}/read.sh text {file} {names}"),
    export("busybox sh, eval", "busybox sh {here}/read.sh text {file} {names}"),
    export("bash, eval", "bash --norc {here}/read.sh text {file} {names}"),
    export("zsh, eval", "zsh -f {here}/read.sh text {file} {names}"),
    export("zsh with the options of its frameworks, eval", ZSH_OPTIONS_EVAL),
    Reader {
        name: "fish",
        format: Format::Fish,
        command: "fish --no-config {here}/read.fish {file} {names}",
    },
    shell("direnv", "bash --norc {here}/read.sh direnv {file} {names}"),
    shell("npm dotenv", "node {here}/read.js {file} {names} {tools}/node_modules/dotenv"),
    shell("node --env-file", "node --env-file={file} {here}/read.js {file} {names}"),
    shell("python-dotenv", "{tools}/venv/bin/python {here}/read.py {file} {names}"),
    shell("docker compose", COMPOSE),
];

/// Frameworks for zsh set these; each gives one more character a meaning.
const ZSH_OPTIONS: &str = "zsh -f -o extendedglob -o magicequalsubst -o globassign -o rcexpandparam {here}/read.sh file {file} {names}";
const ZSH_OPTIONS_EVAL: &str = "zsh -f -o extendedglob -o magicequalsubst -o globassign -o rcexpandparam {here}/read.sh text {file} {names}";
const COMPOSE: &str = "docker-compose -f {compose} config --format json";

const fn shell(name: &'static str, command: &'static str) -> Reader {
    Reader { name, format: Format::File, command }
}

const fn export(name: &'static str, command: &'static str) -> Reader {
    Reader { name, format: Format::Sh, command }
}

/// Those that are here. The others are named, or fail the test where all are wanted.
pub(crate) fn installed() -> Vec<&'static Reader> {
    let (here, missing): (Vec<&Reader>, Vec<&Reader>) =
        READERS.iter().partition(|reader| reader.is_installed());
    for reader in &missing {
        skipped(&format!("{} is not installed (scripts/env-readers installs and runs it)", reader.name));
    }
    assert!(missing.is_empty() || !all_wanted(), "not all readers are here");
    here
}

/// Says so past the harness, which keeps what a test that passes has printed.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Whether every reader has to be here.
pub(crate) fn all_wanted() -> bool {
    std::env::var_os(WANTED).is_some_and(|wanted| wanted == "all")
}

impl Reader {
    fn is_installed(&self) -> bool {
        let program = self.command.split(' ').next().unwrap().replace("{tools}", FOLDER);
        let package = match self.name {
            "npm dotenv" => Path::new(FOLDER).join("node_modules/dotenv").exists(),
            "direnv" => on_path("direnv"),
            _ => true,
        };
        package && (on_path(&program) || program.starts_with('/') && Path::new(&program).exists())
    }

    /// What it makes of `text` for each of `names`: a value, or `None` for a variable that is not set. `Err` with its
    /// words if it gives up.
    pub(crate) fn read(&self, text: &[u8], names: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let folder = Folder::new(text, names);
        let words = self.command.split(' ').map(|word| {
            word.replace("{here}", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env_readers"))
                .replace("{tools}", FOLDER)
                .replace("{file}", folder.path("some.env").to_str().unwrap())
                .replace("{names}", folder.path("names").to_str().unwrap())
                .replace("{compose}", folder.path("compose.yaml").to_str().unwrap())
        });
        let words: Vec<String> = words.collect();
        let output = folder.command(&words[0]).args(&words[1..]).output().unwrap();
        if !output.status.success() {
            let words: String = String::from_utf8_lossy(&output.stderr).chars().take(500).collect();
            return Err(format!("{}: {words}", output.status));
        }
        if self.name == "docker compose" {
            return compose(&output.stdout, names);
        }
        let mut fields: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
        let end = fields.pop();
        if end != Some(b"") || fields.len() != names.len() {
            return Err(format!("{} values for {} names", fields.len(), names.len()));
        }
        fields
            .iter()
            .map(|field| match field.split_first() {
                Some((b'=', value)) => Ok(Some(value.to_vec())),
                Some((b'-', b"")) => Ok(None),
                _ => Err("it printed something".to_owned()),
            })
            .collect()
    }
}

/// The environment that `docker compose config` found. It doubles each `$` to show that it stands for itself.
fn compose(output: &[u8], names: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
    let config: serde_json::Value = serde_json::from_slice(output).map_err(|error| error.to_string())?;
    let found = &config["services"]["reader"]["environment"];
    Ok(names.iter().map(|name| Some(found[name].as_str()?.replace("$$", "$").into_bytes())).collect())
}

/// An empty folder with an env file, as current folder and home.
struct Folder(TempDir);

impl Folder {
    fn new(text: &[u8], names: &[String]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("some.env"), text).unwrap();
        fs::write(folder.path("names"), names.join("\n") + "\n").unwrap();
        let compose = "name: readers\nservices: {reader: {image: none, env_file: [some.env]}}\n";
        fs::write(folder.path("compose.yaml"), compose).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.0.path()).env("HOME", self.0.path()).env("LC_ALL", "C.UTF-8");
        command.env("PATH", std::env::join_paths(search_path()).unwrap()).stdin(Stdio::null());
        command
    }
}

/// What `scripts/env-readers` has installed comes first.
fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others: Vec<PathBuf> = std::env::split_paths(&path).collect();
    std::iter::once(Path::new(FOLDER).join("venv/bin")).chain(others)
}

fn on_path(program: &str) -> bool {
    search_path().any(|folder| folder.join(program).is_file())
}
