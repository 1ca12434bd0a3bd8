//! What the end-to-end tests share: the real binary as emulator and as agent, a small client, a leak check.
#![allow(dead_code)] // Each test binary uses a part of it.
#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

pub(crate) mod guard;
pub(crate) mod hostile;
pub(crate) mod leaks;
pub(crate) mod process;
pub(crate) mod scene;
pub(crate) mod stub;
pub(crate) mod token;

use apim_agent::http::{Client, Options};
use bytes::Bytes;
use leaks::Leaks;
use process::{HANG, Process};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_apim-agent");

/// An answer, read whole.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: http::HeaderMap,
    /// The body as text.
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// The emulator as a process of its own.
pub(crate) struct Emulator {
    process: Process,
    runtime: tokio::runtime::Runtime,
    client: Client,
    /// What it said when every port listened.
    pub(crate) ready: Value,
    folder: TempDir,
}

impl Emulator {
    /// Starts one with these options.
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let ready_file = folder.path().join("ready.json");
        let mut command = bare(folder.path());
        // Its files lie in our folder, so that nothing of a killed one is left.
        command.env("XDG_RUNTIME_DIR", folder.path());
        command.arg("emulator").arg("--ready-file").arg(&ready_file).args(options);
        let process = Process::start(&mut command);
        process.wait_until("the emulator's ready file", |_| ready_file.exists());
        let ready: Value = serde_json::from_slice(&std::fs::read(&ready_file).unwrap()).unwrap();
        let client = client(Path::new(ready["ca_file"].as_str().unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { process, runtime, client, ready, folder }
    }

    /// A value of the ready file.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("the ready file has no {key}"))
    }

    /// One request with these headers.
    pub(crate) fn call(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let answer = self.runtime.block_on(self.client.send(request)).unwrap();
        let (head, body) = answer.into_parts();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// A call of the echo API with a subscription key.
    pub(crate) fn echo_with_key(&self, key: &str) -> Answer {
        let url = format!("{}/echo", self.get("gateway"));
        self.call("GET", &url, &[("Ocp-Apim-Subscription-Key", key)], "")
    }

    /// A call of the echo API with an access token.
    pub(crate) fn echo_with_token(&self, token: &str) -> Answer {
        let url = format!("{}/echo", self.get("gateway"));
        self.call("GET", &url, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    /// The journal of requests, without those to the control port.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let url = format!("{}/_emulator/journal", self.get("control"));
        let Value::Array(rows) = self.call("GET", &url, &[], "").json() else {
            panic!("the journal is no list")
        };
        rows.into_iter().filter(|row| row["service"] != "control").collect()
    }

    /// How many calls of an operation it saw.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.journal().iter().filter(|row| row["operation"] == operation).count()
    }

    /// Scripts a fault.
    pub(crate) fn fault(&self, fault: &Value) {
        let url = format!("{}/_emulator/faults", self.get("control"));
        let answer = self.call("POST", &url, &[("Content-Type", "application/json")], &fault.to_string());
        assert!(answer.status < 300, "the emulator refuses the fault: {}", answer.body);
    }

    /// Forgets all faults that are left.
    pub(crate) fn clear_faults(&self) {
        let url = format!("{}/_emulator/faults", self.get("control"));
        assert!(self.call("DELETE", &url, &[], "").status < 300);
    }

    /// Lets go of what a `hold` fault holds.
    pub(crate) fn release(&self) {
        let url = format!("{}/_emulator/release", self.get("control"));
        assert!(self.call("POST", &url, &[], "").status < 300);
    }

    /// The names of the subscriptions at ARM.
    pub(crate) fn subscriptions(&self) -> Vec<String> {
        let list = self.arm("GET", "subscriptions").json();
        let entries = list["value"].as_array().unwrap_or_else(|| panic!("ARM lists nothing: {list}"));
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The keys of a subscription at ARM, published or not.
    pub(crate) fn keys(&self, sid: &str) -> [String; 2] {
        let keys = self.arm("POST", &format!("subscriptions/{sid}/listSecrets")).json();
        ["primaryKey", "secondaryKey"].map(|key| keys[key].as_str().unwrap().to_owned())
    }

    /// Deletes a subscription behind the agent's back.
    pub(crate) fn delete(&self, sid: &str) {
        assert_eq!(self.arm("DELETE", &format!("subscriptions/{sid}")).status, 200);
    }

    /// Asks ARM for something below the service, as the workspace application may.
    fn arm(&self, method: &str, path: &str) -> Answer {
        let assertion = std::fs::read_to_string(self.get("assertion_file")).unwrap();
        let form = format!(
            "grant_type=client_credentials&client_id={}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={}",
            self.get("client_id"),
            assertion.trim()
        );
        let url = format!("{}/{}/oauth2/v2.0/token", self.get("authority"), self.get("tenant_id"));
        let answer =
            self.call("POST", &url, &[("Content-Type", "application/x-www-form-urlencoded")], &form).json();
        let bearer = format!(
            "Bearer {}",
            answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}"))
        );
        let url = format!("{}{}/{path}?api-version=2024-05-01", self.get("arm"), self.service_id());
        self.call(method, &url, &[("Authorization", &bearer), ("If-Match", "*")], "")
    }

    /// ARM resource id of the APIM service.
    pub(crate) fn service_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ApiManagement/service/{}",
            self.get("subscription_id"),
            self.get("resource_group"),
            self.get("service_name")
        )
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        self.process.text()
    }

    /// Ends it; what it printed.
    pub(crate) fn stop(self) -> String {
        self.process.signal(nix::sys::signal::Signal::SIGTERM);
        self.process.finish().1
    }

    /// The secrets that it gave its clients, for a leak check.
    pub(crate) fn secrets(&self, leaks: &mut Leaks) {
        for key in ["identity_token_file", "assertion_file"] {
            leaks.secret(key, std::fs::read_to_string(self.get(key)).unwrap().trim());
        }
    }
}

/// A workspace on the emulator: folders, a configuration, and the agent's commands in it.
pub(crate) struct Workspace {
    /// Ordinary files: the configuration, the home folder.
    pub(crate) home: TempDir,
    /// The runtime directory, in RAM.
    pub(crate) runtime_dir: TempDir,
    config: PathBuf,
}

/// One subscription key: the least that goes through every stage.
pub(crate) const KEY: &str = r#"
[credentials.key]
kind = "subscription-key"
scope = "/products/starter"
env = "APIM_SUBSCRIPTION_KEY"
"#;

/// One access token.
pub(crate) const TOKEN: &str = r#"
[credentials.token]
kind = "access-token"
scope = "api://echo/.default"
env = "APIM_ACCESS_TOKEN"
"#;

/// Both.
pub(crate) const KEY_AND_TOKEN: &str = r#"
[credentials.key]
kind = "subscription-key"
scope = "/products/starter"
env = "APIM_SUBSCRIPTION_KEY"
[credentials.token]
kind = "access-token"
scope = "api://echo/.default"
env = "APIM_ACCESS_TOKEN"
"#;

impl Workspace {
    /// A workspace with these credentials.
    pub(crate) fn new(emulator: &Emulator, credentials: &str) -> Self {
        let (home, runtime_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let text = format!(
            r#"workspace = "test"
ca_file = "{}"
runtime_dir = "{}"
[identity]
source = "ona"
url = "{}"
bearer_file = "{}"
[entra]
tenant_id = "{}"
client_id = "{}"
authority = "{}"
[arm]
url = "{}"
[gateway]
url = "{}"
service = "{}"
probe = "/echo"
{credentials}"#,
            emulator.get("ca_file"),
            runtime_dir.path().display(),
            emulator.get("identity"),
            emulator.get("identity_token_file"),
            emulator.get("tenant_id"),
            emulator.get("client_id"),
            emulator.get("authority"),
            emulator.get("arm"),
            emulator.get("gateway"),
            emulator.service_id(),
        );
        let config = home.path().join("apim-agent.toml");
        std::fs::write(&config, text).unwrap();
        Self { home, runtime_dir, config }
    }

    /// Changes the configuration's text.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, change(text)).unwrap();
    }

    /// An agent command in this workspace, logging all it can.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.home.path());
        command.arg("--config").arg(&self.config).arg("--log").arg("trace").args(arguments);
        command
    }

    /// Runs an agent command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> (std::process::ExitStatus, String) {
        Process::start(&mut self.command(arguments)).finish()
    }

    /// Starts `run` and waits for the first publication.
    pub(crate) fn agent(&self) -> Process {
        let process = Process::start(&mut self.command(&["run"]));
        process.wait_for("published");
        process
    }

    /// The env file's path; there must be exactly one.
    pub(crate) fn env_file(&self) -> PathBuf {
        let found = files_below(self.runtime_dir.path());
        let mut named = found.into_iter().filter(|path| path.file_name().is_some_and(|name| name == "env"));
        let file = named.next().expect("no env file is published");
        assert!(named.next().is_none());
        file
    }

    /// The published set, read as a dotenv reader would.
    pub(crate) fn published(&self) -> Vec<(String, String)> {
        parse_env(&std::fs::read_to_string(self.env_file()).unwrap())
    }

    /// One published value.
    pub(crate) fn value(&self, name: &str) -> String {
        let found = self.published().into_iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("{name} is not published")).1
    }

    /// Fails when there is an env file, whole or being written.
    pub(crate) fn assert_nothing_published(&self) {
        let found = files_below(self.runtime_dir.path());
        let is_value = |path: &&PathBuf| !["control", "journal"].iter().any(|name| path.ends_with(name));
        let files: Vec<_> = found.iter().filter(is_value).collect();
        assert!(files.is_empty(), "published: {files:?}");
    }

    /// Fails unless the journal is all that is left: something could not be revoked.
    pub(crate) fn assert_only_the_journal_left(&self) {
        let found = files_below(self.runtime_dir.path());
        let [journal] = &found[..] else { panic!("left in the runtime directory: {found:?}") };
        assert!(journal.ends_with("journal"), "{}", journal.display());
    }

    /// Fails when anything is left in the runtime directory.
    pub(crate) fn assert_nothing_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.runtime_dir.path()).unwrap().collect();
        assert!(left.is_empty(), "left in the runtime directory: {left:?}");
    }
}

/// The assignments of an env file.
pub(crate) fn parse_env(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once('=').unwrap_or_else(|| panic!("not an assignment: {line}")));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() && !path.is_symlink() => files.extend(files_below(&path)),
            path => files.push(path),
        }
    }
    files
}

/// The binary with an environment of its own: nothing of the machine's reaches it but the search path.
pub(crate) fn bare(home: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().current_dir(home).env("HOME", home).env("TMPDIR", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A client that trusts the emulator's CA.
pub(crate) fn client(ca_file: &Path) -> Client {
    Client::new(&Options { ca_file: Some(ca_file.to_owned()), timeout: HANG, ..Options::default() }).unwrap()
}
