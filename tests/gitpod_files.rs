//! The fragments that people copy into their repositories: they parse, and they have what a clean end depends on.

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader},
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
    assert_eq!(commands["start"].as_str(), Some("exec apim-agent run --config apim-agent.toml"));
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
    assert_eq!(keys(&tasks[0]), ["command", "name"], "init, before and prebuild run in prebuilds");
    assert_eq!(tasks[0]["command"].as_str(), Some("exec apim-agent run --config apim-agent.toml"));
}

#[test]
fn the_readme_names_every_fragment_and_nothing_that_is_not_there() {
    let readme = text("README.md");
    for name in [AUTOMATIONS, CLASSIC, "policies/echo.xml"] {
        assert!(readme.contains(&format!("| `{name}` |")), "README lacks {name}");
        assert!(path(name).is_file(), "{name}");
    }
}

/// Runs the task as Classic would, with a stand-in for the agent.
#[test]
fn on_classic_sigterm_reaches_the_agent() {
    let folder = tempfile::tempdir().expect("a folder");
    let agent = "trap 'kill $!; echo wiped; exit 0' TERM; tail -f /dev/null & echo $$; wait";
    stand_in(folder.path(), "apim-agent", agent);

    let file = yaml(CLASSIC);
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(file["tasks"][0]["command"].as_str().expect("a text"));
    shell.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
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
    kill(id, Signal::SIGTERM).expect("the agent lives");
    assert_eq!(line(), "wiped");
    assert!(task.wait().expect("it ends").success());
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
