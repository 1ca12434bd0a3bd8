//! A scene for one hostile value after another, and what must hold after each.

use super::support::{
    TOKEN, files_below,
    hostile::{self, Hostile},
    parse_env,
    process::Process,
    scene::{Scene, Settings},
};
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// In each hostile value.
const MARK: &str = "0a1b2c3d-mark-4e5f6a7b";

/// The shells, as they are started with a script that reads what the agent publishes from their standard input.
const SHELLS: &[&[&str]] = &[
    &["bash", "--norc", "-c"],
    &["dash", "-c"],
    &["zsh", "-f", "-c"],
    &["busybox", "sh", "-c"],
    &["fish", "--no-config", "-c"],
];

/// A scene, and the file that shows that something was executed.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    canary: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let scene = Scene::new(&[], TOKEN);
        scene.workspace.edit(|text| text.replace("probe = \"/echo\"\n", ""));
        scene.secret("the hostile value", MARK);
        let canary = scene.workspace.home.path().join("canary");
        Self { scene, canary }
    }

    /// All hostile values.
    pub(crate) fn values(&self) -> Vec<Hostile> {
        hostile::values(&self.canary, MARK)
    }

    /// Runs the agent until it has ended, waits for its next try, or has published, and until `words` are said if it has
    /// not published; then ends it. What must hold, holds. Its exit code, and what was printed.
    pub(crate) fn run(&self, name: &str, settings: Settings<'_>, words: &[&str]) -> (i32, String) {
        let agent = self.scene.start(settings);
        self.settle(name, &agent, "\npublished ", words);
        let (code, text) = self.end(agent);
        self.assert_nothing_executed(name);
        (code, text)
    }

    /// Asks the agent to end unless it has, and waits for that.
    fn end(&self, agent: Process) -> (i32, String) {
        // An agent that has given up ends on its own, with its own code.
        if gave_up(&agent.text()) { self.scene.finish(agent) } else { self.scene.end(agent) }
    }

    /// Waits until the agent has dealt with a value, in one way or the other.
    pub(crate) fn settle(&self, name: &str, agent: &Process, published: &str, words: &[&str]) {
        let said = |text: &str| (gave_up(text) || text.contains("; again in")) && text.ends_with('\n');
        let settled = |text: &str| {
            text.contains(published) || said(text) && words.iter().all(|words| text.contains(words))
        };
        let text = agent.wait_until(name, settled);
        if gave_up(&text) {
            // It is on its way out, and wipes what there is.
            self.assert_nothing_executed(name);
        } else {
            self.assert_harmless(name);
        }
    }

    /// The env file is whole or absent, and whoever reads it gets its values and executes nothing.
    fn assert_harmless(&self, name: &str) {
        let files = files_below(self.scene.workspace.runtime_dir.path());
        for file in files.iter().filter(|path| path.file_name().is_some_and(|name| name == "env")) {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.ends_with('\n'), "{name}: torn: {} bytes", text.len());
            let ours = ["APIM_GATEWAY_URL", "APIM_AGENT_", "APIM_ACCESS_TOKEN", "PASSWORD"];
            let foreign = |(known, _): &(String, String)| !ours.iter().any(|ours| known.starts_with(ours));
            assert!(!parse_env(&text).iter().any(foreign), "{name}: it sets other variables");
            for shell in SHELLS {
                self.assert_reads(name, shell, &text);
            }
            for (known, path) in parse_env(&text).iter().filter(|(known, _)| known.ends_with("_FILE")) {
                let found = fs::read_to_string(path).unwrap();
                assert!(found.contains(MARK), "{name}: {known} names another file");
            }
        }
        self.assert_nothing_executed(name);
    }

    /// The shell has the same values: from the file, or in fish, which cannot read it, from the agent.
    fn assert_reads(&self, name: &str, shell: &[&str], text: &str) {
        let (names, values): (Vec<_>, Vec<_>) = parse_env(text).into_iter().unzip();
        let show: String = names.iter().flat_map(|name| ["; printf '%s\\n' \"$", name, "\""]).collect();
        let (source, input) = if shell[0] == "fish" {
            let output = self.scene.command(&[], &["env", "--format", "fish"]).output().unwrap();
            if !output.status.success() {
                // What cannot be published cannot be printed either; then nothing is.
                assert!(output.stdout.is_empty(), "{name}: half of the set is printed");
                return;
            }
            ("source -", output.stdout)
        } else {
            (". /dev/stdin", text.as_bytes().to_vec())
        };
        let mut command = Command::new(shell[0]);
        command
            .args(&shell[1..])
            .arg(format!("{source}{show}"))
            .current_dir(self.scene.workspace.home.path());
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            eprintln!("SKIPPED: {} is not installed", shell[0]);
            return;
        };
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let found = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let found: Vec<&str> = found.split_terminator('\n').collect();
        // Not in the message: they may be genuine.
        assert!(found == values, "{name}: {} has read something else", shell[0]);
    }

    /// Nobody has made the file that hostile values make.
    pub(crate) fn assert_nothing_executed(&self, name: &str) {
        assert!(!self.canary.exists(), "{name}: it was executed");
    }
}

/// Whether it has said why it ends. Its two outputs come in any order.
fn gave_up(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("apim-agent: "))
}
