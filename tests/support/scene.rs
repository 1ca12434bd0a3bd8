//! An emulator, a workspace on it, and all that must hold of both whatever went wrong between them.

use super::{Emulator, Workspace, leaks::Leaks, process::Process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{cell::RefCell, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};

/// Settings that differ from those of [`Workspace::new`], as `--set` takes them.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// One test's stage.
pub(crate) struct Scene {
    /// Azure.
    pub(crate) emulator: Emulator,
    /// The workspace.
    pub(crate) workspace: Workspace,
    leaks: RefCell<Leaks>,
    printed: RefCell<Vec<String>>,
}

impl Scene {
    /// An emulator with these options, and a workspace with these credentials.
    pub(crate) fn new(options: &[&str], credentials: &str) -> Self {
        let emulator = Emulator::start(&[options, &["--log", "trace"]].concat());
        let workspace = Workspace::new(&emulator, credentials);
        let mut leaks = Leaks::default();
        emulator.secrets(&mut leaks);
        Self { emulator, workspace, leaks: RefCell::new(leaks), printed: RefCell::default() }
    }

    /// Starts `run`, which may never publish anything.
    pub(crate) fn start(&self, settings: Settings<'_>) -> Process {
        Process::start(&mut self.command(settings, &["run"]))
    }

    /// Starts `run` and waits for the first publication.
    pub(crate) fn published(&self, settings: Settings<'_>) -> Process {
        let agent = self.start(settings);
        agent.wait_for("\npublished ");
        self.learn(&agent);
        agent
    }

    /// Starts `run` for another workspace in the same place, and waits for its first publication.
    pub(crate) fn published_elsewhere(&self, workspace: &str) -> Process {
        let agent = self.start(&[("workspace", workspace)]);
        agent.wait_for("\npublished ");
        agent
    }

    /// A command of the agent in this workspace, logging all it can.
    pub(crate) fn command(&self, settings: Settings<'_>, arguments: &[&str]) -> std::process::Command {
        let mut command = self.workspace.command(&[]);
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.args(arguments);
        command
    }

    /// Runs a command of the agent to its end: its exit code and all it printed.
    pub(crate) fn run(&self, settings: Settings<'_>, arguments: &[&str]) -> (i32, String) {
        self.finish(Process::start(&mut self.command(settings, arguments)))
    }

    /// Waits for the end of a command that was started: its exit code and all it printed.
    pub(crate) fn finish(&self, process: Process) -> (i32, String) {
        let (status, text) = process.finish();
        self.keep(text.clone());
        (code(status), text)
    }

    /// Asks an agent to end, and waits for that.
    pub(crate) fn end(&self, agent: Process) -> (i32, String) {
        agent.signal(Signal::SIGTERM);
        self.finish(agent)
    }

    /// What `status --json` says of the agent that runs.
    pub(crate) fn status(&self) -> Value {
        self.try_status().expect("an agent runs")
    }

    /// Asks for the status until it is as wanted, also of an agent that has only been started.
    pub(crate) fn status_when(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        poll(what, || self.try_status().filter(&wanted))
    }

    fn try_status(&self) -> Option<Value> {
        let output = self.command(&[], &["status", "--json"]).output().unwrap();
        let [text, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        self.keep(errors);
        self.keep(text.clone());
        if output.status.code() == Some(69) {
            return None;
        }
        let status: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let ready = output.status.success();
        assert_eq!(status["ready"], ready, "the exit code says the same as the text: {text}");
        Some(status)
    }

    /// Takes the secrets that exist now into the leak check: those published, and those at ARM. Nothing of the agent's
    /// command line and environment may hold them.
    pub(crate) fn learn(&self, agent: &Process) {
        let mut leaks = self.leaks.borrow_mut();
        for (name, value) in self.workspace.published() {
            if !name.starts_with("APIM_AGENT_") && name != "APIM_GATEWAY_URL" {
                leaks.secret(&name, &value);
            }
        }
        for sid in self.emulator.subscriptions() {
            for key in self.emulator.keys(&sid) {
                leaks.secret("a key at ARM", &key);
            }
        }
        leaks.check_process(agent.pid());
    }

    /// Takes what was printed elsewhere into the leak check.
    pub(crate) fn keep(&self, printed: String) {
        self.printed.borrow_mut().push(printed);
    }

    /// Takes a secret that the test made itself into the leak check.
    pub(crate) fn secret(&self, name: &str, value: &str) {
        self.leaks.borrow_mut().secret(name, value);
    }

    /// The agent has asked neither for an identity nor for anything at ARM. The tests' own questions begin at Entra.
    pub(crate) fn assert_untouched(&self) {
        for operation in ["IdentityService_GetIDToken", "Subscription_CreateOrUpdate"] {
            assert_eq!(self.emulator.count(operation), 0, "{operation} was called");
        }
    }

    /// Nothing is left in the runtime directory or at ARM, and no secret went where none belongs.
    pub(crate) fn assert_clean(&self) {
        self.workspace.assert_nothing_left();
        let left = self.emulator.subscriptions();
        assert!(left.is_empty(), "left at ARM: {left:?}");
        self.assert_silent();
    }

    /// No secret is in what agent and emulator printed, in the journal, or in a file of the workspace.
    pub(crate) fn assert_silent(&self) {
        let leaks = self.leaks.borrow();
        let own = [self.emulator.printed(), Value::from(self.emulator.journal()).to_string()];
        for text in self.printed.borrow().iter().chain(&own) {
            leaks.check("what was printed, or the journal", text.as_bytes());
            Leaks::check_shapes("what was printed, or the journal", text);
        }
        leaks.check_folder(self.workspace.home.path());
    }
}

/// The exit code as shells count it: 128 and the signal for a death by one.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// Asks until there is an answer. The pause only spares the machine.
pub(crate) fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not come");
}
