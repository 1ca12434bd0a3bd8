//! What a newcomer sees, from outside: `run --emulator` in one shell, everything else in another.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::Command;
use support::{
    Answer, BINARY, KEY_AND_TOKEN, bare, client, leaks::Leaks, parse_env, process::Process, scene::Scene,
};
use tempfile::TempDir;

const MISSING: &str = "{ \"statusCode\": 401, \"message\": \"Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.\" }";
const INVALID: &str = "{ \"statusCode\": 401, \"message\": \"Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.\" }";

/// `run --emulator`, and what a second shell knows of it.
struct Newcomer {
    home: TempDir,
    runtime_dir: TempDir,
    agent: Process,
    ready: Value,
}

impl Newcomer {
    fn start(options: &[&str]) -> Self {
        let (home, runtime_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let ready_file = home.path().join("ready.json");
        let mut command = Self::command(&home, &runtime_dir);
        command.args(["--log", "trace", "run", "--emulator", "--ready-file"]).arg(&ready_file).args(options);
        let agent = Process::start(&mut command);
        agent.wait_for("\nready ");
        let ready = serde_json::from_slice(&std::fs::read(ready_file).unwrap()).unwrap();
        Self { home, runtime_dir, agent, ready }
    }

    fn command(home: &TempDir, runtime_dir: &TempDir) -> Command {
        let mut command = bare(home.path());
        command.env("XDG_RUNTIME_DIR", runtime_dir.path());
        // Whoever runs the tests may have an agent running under this machine's own name.
        command.env("APIM_AGENT_WORKSPACE", home.path().file_name().unwrap());
        command
    }

    /// Another shell's command.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Self::command(&self.home, &self.runtime_dir).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("the ready file has no {key}"))
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.text("env_file")).unwrap()
    }

    fn value(&self, name: &str) -> String {
        let found = parse_env(&self.file()).into_iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("{name} is not published")).1
    }

    fn call(&self, headers: &[(&str, &str)]) -> Answer {
        let client = client(self.text("ca_file").as_ref());
        let mut request = http::Request::get(format!("{}/echo", self.text("gateway")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(client.send(request.body(bytes::Bytes::new()).unwrap())).unwrap();
        let (head, body) = answer.into_parts();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn secrets(&self, leaks: &mut Leaks) {
        for name in ["APIM_SUBSCRIPTION_KEY", "APIM_ACCESS_TOKEN"] {
            leaks.secret(name, &self.value(name));
        }
        for key in ["identity_token_file", "assertion_file"] {
            leaks.secret(key, std::fs::read_to_string(self.text(key)).unwrap().trim());
        }
    }

    /// Ends it with `signal`: its exit code and all it printed. Nothing may be left, and no secret may have leaked.
    fn end(self, signal: Signal, mut leaks: Leaks) -> (Option<i32>, String) {
        self.secrets(&mut leaks);
        leaks.check_process(self.agent.pid());
        self.agent.signal(signal);
        let (status, text) = self.agent.finish();
        leaks.check("what it printed", text.as_bytes());
        leaks.check_folder(self.home.path());
        for folder in [self.runtime_dir.path(), self.home.path()] {
            let left: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
        (status.code(), text)
    }
}

#[test]
fn the_timeline_says_who_what_until_when_and_how_to_use_it() {
    let newcomer = Newcomer::start(&[]);
    let text = newcomer.agent.text();
    let iss = newcomer.text("identity");
    for words in
        [iss, "organization_id:", "/products/starter", "api://echo/.default", newcomer.text("env_file")]
    {
        assert!(text.contains(words), "the timeline lacks {words:?}:\n{text}");
    }
    assert!(text.contains(&format!(". {}", newcomer.text("env_file"))));
    let pid = newcomer.ready["pid"].as_i64();
    assert_eq!(pid, Some(newcomer.agent.pid().into()));

    // The file has what it always has.
    let names: Vec<_> = parse_env(&newcomer.file()).into_iter().map(|(name, _)| name).collect();
    let wanted = [
        "APIM_GATEWAY_URL",
        "APIM_AGENT_GENERATION",
        "APIM_AGENT_EXPIRES_AT",
        "APIM_SUBSCRIPTION_KEY",
        "APIM_ACCESS_TOKEN",
    ];
    for name in wanted {
        assert!(names.iter().any(|known| known == name), "{name} is not in the file");
    }
    assert_eq!(newcomer.value("APIM_GATEWAY_URL"), newcomer.text("gateway"));
    let expires_at = newcomer.value("APIM_AGENT_EXPIRES_AT");
    let rfc3339 = time::format_description::well_known::Rfc3339;
    let when = time::OffsetDateTime::parse(&expires_at, &rfc3339).unwrap();
    assert!(when.offset().is_utc() && expires_at.ends_with('Z'), "{expires_at}");
    let (code, text) = newcomer.end(Signal::SIGINT, Leaks::default());
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn the_gateway_opens_for_the_credentials_and_for_nothing_else() {
    let newcomer = Newcomer::start(&[]);
    let (key, token) = (newcomer.value("APIM_SUBSCRIPTION_KEY"), newcomer.value("APIM_ACCESS_TOKEN"));
    let bearer = format!("Bearer {token}");

    let with_key = newcomer.call(&[("Ocp-Apim-Subscription-Key", &key)]);
    assert_eq!(with_key.status, 200, "{}", with_key.body);
    assert!(with_key.body.contains("/echo") && !with_key.body.contains(&key));
    let with_token = newcomer.call(&[("Authorization", &bearer)]);
    assert_eq!(with_token.status, 200, "{}", with_token.body);
    assert!(!with_token.body.contains(&token));

    let without = newcomer.call(&[]);
    assert_eq!((without.status, without.body.as_str()), (401, MISSING));
    let wrong = newcomer.call(&[("Ocp-Apim-Subscription-Key", "0123456789abcdef0123456789abcdef")]);
    assert_eq!((wrong.status, wrong.body.as_str()), (401, INVALID));
    assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("AzureApiManagementKey realm="));

    newcomer.end(Signal::SIGTERM, Leaks::default());
}

#[test]
fn a_key_of_another_product_is_refused_in_the_same_words_as_a_wrong_one() {
    let scene = Scene::new(&[], &KEY_AND_TOKEN.replace("/products/starter", "/products/unlimited"));
    // No gateway path proves this key, so it is published unproved.
    scene.workspace.edit(|text| text.replace("probe = \"/echo\"\n", ""));
    let agent = scene.published(&[]);
    let foreign = scene.emulator.echo_with_key(&scene.workspace.value("APIM_SUBSCRIPTION_KEY"));
    assert_eq!((foreign.status, foreign.body.as_str()), (401, INVALID));
    assert_eq!(scene.emulator.echo_with_token(&scene.workspace.value("APIM_ACCESS_TOKEN")).status, 200);
    scene.learn(&agent);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn the_printed_lines_work_as_printed() {
    let newcomer = Newcomer::start(&[]);
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl on this machine");
        newcomer.end(Signal::SIGTERM, Leaks::default());
        return;
    }
    let text = newcomer.agent.text();
    let line = |start: &str| {
        let mut found = text.lines().map(str::trim).filter(|line| line.starts_with(start));
        (
            found.next().unwrap_or_else(|| panic!("no line starts with {start:?}:\n{text}")).to_owned(),
            found.next().map(str::to_owned),
        )
    };
    let (source, _) = line(". /");
    let (first, second) = line("printf ");
    for shell in ["sh", "bash", "dash"] {
        for curl in [&first, second.as_ref().expect("a line for each credential")] {
            let script = format!(
                "{source} && {curl} --silent --show-error --output /dev/null --write-out '%{{http_code}}'"
            );
            let Ok(output) = Command::new(shell).arg("-c").arg(&script).output() else { continue };
            let code = String::from_utf8(output.stdout).unwrap();
            assert_eq!(code, "200", "{shell} -c {script:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    newcomer.end(Signal::SIGTERM, Leaks::default());
}

#[test]
fn it_renews_while_one_watches_and_no_reader_of_the_file_is_ever_refused() {
    let newcomer = Newcomer::start(&["--short-lives", "--key-delay", "1s", "--rate-limit", "1000000"]);
    let mut leaks = Leaks::default();
    let mut keys: Vec<String> = Vec::new();
    let mut generations: Vec<u64> = Vec::new();
    // A loop of calls that reads the file anew each time, over two renewals of the key.
    while keys.len() < 3 {
        let values = parse_env(&newcomer.file());
        let value =
            |name: &str| values.iter().find(|(key, _)| key == name).expect("the file is whole").1.clone();
        let key = value("APIM_SUBSCRIPTION_KEY");
        let answer = newcomer.call(&[("Ocp-Apim-Subscription-Key", &key)]);
        assert_eq!(answer.status, 200, "generation {}: {}", value("APIM_AGENT_GENERATION"), answer.body);
        let bearer = format!("Bearer {}", value("APIM_ACCESS_TOKEN"));
        assert_eq!(newcomer.call(&[("Authorization", &bearer)]).status, 200);
        let generation = value("APIM_AGENT_GENERATION").parse().unwrap();
        if generations.last() != Some(&generation) {
            assert!(generations.iter().all(|before| *before < generation), "generations only go up");
            generations.push(generation);
            leaks.secret("a token", &value("APIM_ACCESS_TOKEN"));
        }
        if keys.last() != Some(&key) {
            leaks.secret("a key", &key);
            if let Some(before) = keys.last() {
                let answer = newcomer.call(&[("Ocp-Apim-Subscription-Key", before)]);
                assert_eq!(answer.status, 200, "the key before must live through its grace: {}", answer.body);
            }
            keys.push(key);
        }
    }
    newcomer.agent.wait_until("the end of the second key's grace", |text| {
        text.matches("APIM_SUBSCRIPTION_KEY: the value before is refused from now on").count() >= 2
    });
    for old in &keys[..2] {
        assert_eq!(newcomer.call(&[("Ocp-Apim-Subscription-Key", old)]).status, 401, "an old key must die");
    }
    let (code, text) = newcomer.end(Signal::SIGHUP, leaks);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn status_env_and_exec_use_the_running_agent() {
    let newcomer = Newcomer::start(&[]);
    let (code, text, errors) = newcomer.run(&["status"]);
    assert_eq!(code, 0, "{errors}");
    for words in ["APIM_SUBSCRIPTION_KEY", "APIM_ACCESS_TOKEN", "/products/starter"] {
        assert!(text.contains(words), "status lacks {words}:\n{text}");
    }
    let (_, json, _) = newcomer.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["phase"], "published");
    assert_eq!(status["env_file"], newcomer.text("env_file"));
    assert!(status["next"]["at"].is_string(), "{json}");
    assert_eq!(status["credentials"].as_array().unwrap().len(), 2);

    let key = newcomer.value("APIM_SUBSCRIPTION_KEY");
    let (_, json, _) = newcomer.run(&["env", "--format", "json"]);
    let values: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(values["APIM_SUBSCRIPTION_KEY"], *key);
    assert_eq!(values["APIM_GATEWAY_URL"], newcomer.text("gateway"));
    let (_, dotenv, _) = newcomer.run(&["env", "--format", "dotenv"]);
    assert_eq!(
        parse_env(&dotenv).into_iter().find(|(name, _)| name == "APIM_SUBSCRIPTION_KEY").unwrap().1,
        key
    );
    let (_, fish, _) = newcomer.run(&["env", "--format", "fish"]);
    assert!(fish.contains("set -gx APIM_SUBSCRIPTION_KEY "), "{fish}");
    let (_, shell, _) = newcomer.run(&["env", "--format", "sh"]);
    let script = format!("{shell}\nsh -c 'printf %s \"$APIM_SUBSCRIPTION_KEY\"'");
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), key, "env --format sh exports");

    let (code, text, _) =
        newcomer.run(&["exec", "--", "sh", "-c", "printf %s \"$APIM_SUBSCRIPTION_KEY\"; exit 7"]);
    assert_eq!((code, text), (7, key.clone()));

    let (code, _, errors) = newcomer.run(&["refresh"]);
    assert_eq!(code, 0, "{errors}");
    newcomer.agent.wait_for("generation 2 published");

    let mut leaks = Leaks::default();
    leaks.secret("the first key", &key);
    newcomer.end(Signal::SIGTERM, leaks);
}

#[test]
fn nothing_runs_and_the_commands_say_so() {
    let (home, runtime_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    for arguments in [&["status"][..], &["env", "--format", "sh"], &["refresh"]] {
        let output = Newcomer::command(&home, &runtime_dir).args(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {errors}");
        assert!(errors.contains("no agent runs") && errors.contains("apim-agent run"), "{errors}");
    }
    let version = Command::new(BINARY).arg("--version").output().unwrap();
    assert!(version.status.success());
}

#[test]
fn every_ending_wipes_then_revokes_and_says_what_it_did() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let newcomer = Newcomer::start(&[]);
        let (code, text) = newcomer.end(signal, Leaks::default());
        assert_eq!(code, Some(0), "{text}");
        let place =
            |words: &str| text.find(words).unwrap_or_else(|| panic!("{signal}: no {words:?} in\n{text}"));
        assert!(place("wiped ") < place("revoked "), "{text}");
        assert!(text.contains("APIM_ACCESS_TOKEN: cannot be revoked, it merely expires"), "{text}");
    }
}
