//! The fragments that people copy into their repositories: they parse, and they have what a clean end depends on.

use nix::{
    sys::{
        signal::{Signal, kill, killpg},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use yaml_rust2::{Yaml, YamlLoader};

const AUTOMATIONS: &str = ".ona/automations.yaml";
const CLASSIC: &str = ".gitpod.yml";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gitpod").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Yaml {
    let mut documents =
        YamlLoader::load_from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(documents.len(), 1, "{name} is one document");
    documents.remove(0)
}

/// The keys of a mapping, sorted.
fn keys(mapping: &Yaml) -> Vec<&str> {
    let mapping = mapping.as_hash().expect("a mapping");
    let mut keys: Vec<_> = mapping.keys().map(|key| key.as_str().expect("a text")).collect();
    keys.sort_unstable();
    keys
}

fn is_known_command(line: &str) -> bool {
    ["exec apim-agent run", "apim-agent status"].contains(&line)
}

#[test]
fn on_ona_the_agent_gets_sigterm_and_starts_each_time() {
    let file = yaml(AUTOMATIONS);
    assert_eq!(keys(&file), ["services"]);
    let service = &file["services"]["apim-agent"];
    // Ona refuses a file with a field that it does not know.
    assert_eq!(keys(service), ["commands", "description", "name", "triggeredBy"]);

    let triggers: Vec<_> =
        service["triggeredBy"].as_vec().expect("a list").iter().map(Yaml::as_str).collect();
    assert_eq!(triggers, [Some("postEnvironmentStart")]);

    let commands = &service["commands"];
    assert_eq!(keys(commands), ["ready", "start"], "a stop command would turn SIGTERM into SIGKILL");
    assert_eq!(commands["start"].as_str(), Some("exec apim-agent run"));
    assert_eq!(commands["ready"].as_str(), Some("apim-agent status"));
}

#[test]
fn the_reason_for_having_no_stop_command_stands_in_the_file() {
    let text = text(AUTOMATIONS);
    let comment = text.lines().find(|line| line.contains("No stop command")).expect("a comment");
    assert!(comment.trim_start().starts_with('#') && comment.contains("SIGKILL"));
}

#[test]
fn on_classic_the_agent_replaces_the_tasks_shell_and_never_runs_in_a_prebuild() {
    let file = yaml(CLASSIC);
    assert_eq!(keys(&file), ["tasks"]);
    let tasks = file["tasks"].as_vec().expect("a list");
    assert_eq!(tasks.len(), 1);
    assert_eq!(keys(&tasks[0]), ["command", "env", "name"], "init, before and prebuild run in prebuilds");

    let command = tasks[0]["command"].as_str().expect("a text");
    assert_eq!(command.trim_end().lines().last(), Some("exec apim-agent run"));
    let calls: Vec<_> = command.lines().map(str::trim).filter(|line| line.contains("apim-agent")).collect();
    assert!(calls.iter().all(|line| is_known_command(line)), "{calls:?}");
}

#[test]
fn on_classic_the_id_token_stays_in_ram_and_private() {
    let file = yaml(CLASSIC);
    let task = &file["tasks"][0];
    let token_file = task["env"]["AZURE_FEDERATED_TOKEN_FILE"].as_str().expect("a text");
    assert!(token_file.starts_with("/dev/shm/"), "{token_file}");
    let command = task["command"].as_str().expect("a text");
    let place = |needle: &str| command.find(needle).unwrap_or_else(|| panic!("no {needle:?}"));
    assert!(place("umask 077") < place("gp idp token"), "the file must never be readable by others");
    assert!(place("--audience api://AzureADTokenExchange") < place("exec apim-agent run"));
}

#[test]
fn the_readme_names_every_fragment_and_nothing_that_is_not_there() {
    let readme = text("README.md");
    for name in [AUTOMATIONS, CLASSIC, "policies/echo.xml"] {
        assert!(readme.contains(&format!("| `{name}` |")), "README lacks {name}");
        assert!(path(name).is_file(), "{name}");
    }
}

/// Runs the task as Classic would, with stand-ins for `gp`, `sleep` and the agent itself.
#[test]
fn on_classic_sigterm_reaches_the_agent_and_the_token_goes_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (token_file, gate) = (folder.path().join("id-token"), folder.path().join("gate"));
    mkfifo(&gate, Mode::S_IRWXU).expect("a fifo");
    stand_in(folder.path(), "gp", "echo eyJ.fake.token");
    stand_in(folder.path(), "sleep", r#"read _ < "$GATE""#);
    stand_in(
        folder.path(),
        "apim-agent",
        "trap 'kill $!; echo wiped; exit 0' TERM; tail -f /dev/null & echo $$; wait",
    );

    let file = yaml(CLASSIC);
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(file["tasks"][0]["command"].as_str().expect("a text"));
    shell.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
    shell.env("AZURE_FEDERATED_TOKEN_FILE", &token_file).env("GATE", &gate);
    let mut task = shell.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("bash");
    let id = Pid::from_raw(i32::try_from(task.id()).expect("a process id"));
    let _group = Group(id);
    let mut output = BufReader::new(task.stdout.take().expect("piped"));
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("output");
        line.trim_end().to_owned()
    };

    assert_eq!(line(), id.to_string(), "the agent has the process id that the platform signals");
    let mode = fs::metadata(&token_file).expect("the id token").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    kill(id, Signal::SIGTERM).expect("the agent lives");
    assert_eq!(line(), "wiped");
    assert!(task.wait().expect("it ends").success());
    // The loop wakes, finds the agent gone, and cleans up.
    fs::write(&gate, "\n").expect("the loop waits");
    output.read_to_string(&mut String::new()).expect("the end of all of the task");
    assert!(!token_file.exists(), "the id token is left behind");
}

fn stand_in(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}

/// Whatever the test started ends with it, also when it fails.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // All of it may have ended already.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}
