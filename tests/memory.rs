//! What is in the agent's memory, and what it may still do: seen from outside, by root where only root can see it.
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

mod support;

use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::json;
use std::{
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    process::Command,
};
use support::{
    KEY_AND_TOKEN,
    process::Process,
    scene::{Scene, poll},
};

fn process_status(pid: i32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn secrets_are_locked_and_where_they_cannot_be_it_is_said() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let process = scene.status()["process"].clone();
    assert_eq!(process["lock_refused"], false, "{process}");
    assert!(process["locked_secrets"].as_u64().unwrap() >= 2, "{process}");
    assert_ne!(process_status(agent.pid(), "VmLck"), "0 kB");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();

    // Locked memory is privileged beyond the limit, so the privilege goes too.
    let mut command = Command::new("prlimit");
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock", "prlimit"]);
    }
    let agent = scene.command(&[], &["run"]);
    command.arg("--memlock=0:0").arg(agent.get_program()).args(agent.get_args()).env_clear();
    command.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    let agent = Process::start(&mut command);
    agent.wait_for("\npublished ");
    let process = scene.status()["process"].clone();
    assert_eq!(
        (&process["locked_secrets"], &process["lock_refused"]),
        (&json!(0), &json!(true)),
        "{process}"
    );
    let (_, text) = scene.run(&[], &["status"]);
    assert!(text.contains("0 of ") && text.contains("RLIMIT_MEMLOCK allows no more"), "{text}");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn it_reads_and_writes_only_what_it_needs() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let process = scene.status()["process"].clone();
    if process["landlock"].is_null() {
        eprintln!("NOT CHECKED: {}", process["unconfined_because"]);
        return;
    }
    assert_eq!(process_status(agent.pid(), "NoNewPrivs"), "1");
    // A file elsewhere, which it could read by its permissions, is refused as a change, and the old one stays in force.
    let elsewhere = tempfile::tempdir().unwrap();
    let token = elsewhere.path().join("token");
    std::fs::copy(scene.emulator.get("identity_token_file"), &token).unwrap();
    let file = scene.workspace.home.path().join("apim-agent.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let old = format!("bearer_file = \"{}\"", scene.emulator.get("identity_token_file"));
    scene.workspace.edit(|text| text.replace(&old, &format!("bearer_file = \"{}\"", token.display())));
    let text = agent.wait_for("cannot live by it");
    agent.wait_for("fix  stop it and start it again");
    assert!(text.contains("is not applied"), "{text}");
    scene.workspace.edit(|_| before.clone());
    agent.wait_for("configuration: in order again");
    // So is a program, which would have files of its own.
    scene.workspace.edit(|text| {
        text.replace("source = \"ona\"", "source = \"command\"\ncommand = [\"cat\", \"/dev/null\"]")
    });
    agent.wait_for("programs would be run for the source command");
    scene.workspace.edit(|_| before);
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn with_a_program_to_run_it_is_not_confined_and_says_so() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let file = scene.emulator.get("assertion_file").to_owned();
    let command = format!("[\"cat\", \"{file}\"]");
    let agent = scene.published(&[("identity.source", "command"), ("identity.command", &command)]);
    let process = scene.status()["process"].clone();
    assert_eq!(process["landlock"], json!(null));
    assert_eq!(process["unconfined_because"], "programs are run for the source command");
    assert_eq!(process_status(agent.pid(), "NoNewPrivs"), "0");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// Where each of `secrets` stands in the memory of a process: its mapping, and what stands before it, which tells whose
/// buffer it is.
fn found(pid: i32, secrets: &[(String, String)]) -> Vec<String> {
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let (mut found, mut scanned) = (Vec::new(), 0);
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        if !rest.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A mapping may be gone, or have no page behind it that can be read.
        let Ok(read) = memory.read_at(&mut bytes, from) else { continue };
        scanned += read;
        let text = String::from_utf8_lossy(&bytes[..read]);
        for (name, value) in secrets {
            found.extend(text.match_indices(value.as_str()).map(|(at, _)| {
                let before: Vec<char> = text[..at].chars().rev().take(60).collect();
                format!("{name} in {line} behind {:?}", before.into_iter().rev().collect::<String>())
            }));
        }
    }
    assert!(scanned > 1_000_000, "only {scanned} bytes could be read");
    found
}

#[test]
fn after_the_wipe_no_published_secret_is_in_the_agents_memory() {
    if !geteuid().is_root() {
        eprintln!("NOT CHECKED: only root can read the agent's memory");
        return;
    }
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let named = |(name, _): &(String, String)| name == "APIM_SUBSCRIPTION_KEY" || name == "APIM_ACCESS_TOKEN";
    let secrets: Vec<_> = scene.workspace.published().into_iter().filter(named).collect();
    assert_eq!(secrets.len(), 2);
    assert!(!found(agent.pid(), &secrets).is_empty(), "it holds them while it publishes them");
    // The revocation is under way, and stays so.
    scene.emulator.fault(&json!({"operation": "Subscription_Delete", "action": "hold"}));
    agent.signal(Signal::SIGTERM);
    agent.wait_for("\nwiped ");
    poll("the deletion to arrive", || (scene.emulator.count("Subscription_Delete") > 0).then_some(()));
    assert_eq!(found(agent.pid(), &secrets), Vec::<String>::new());
    scene.emulator.release();
    assert_eq!(scene.finish(agent).0, 0);
    scene.assert_clean();
}

/// An abort is the worst moment for a memory image.
#[test]
fn an_abort_leaves_no_core_file() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let mut command = scene.command(&[], &["run"]);
    let folder = scene.workspace.home.path().to_owned();
    command.current_dir(&folder).process_group(0);
    let agent = Process::start(&mut command);
    agent.wait_for("\npublished ");
    scene.learn(&agent);
    agent.signal(Signal::SIGABRT);
    let (code, _) = scene.finish(agent);
    assert_eq!(code, 128 + Signal::SIGABRT as i32);
    // Its guard cleans up.
    poll("the clean-up", || {
        let left: Vec<_> = std::fs::read_dir(scene.workspace.runtime_dir.path()).unwrap().collect();
        left.is_empty().then_some(())
    });
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_string_lossy().contains("core")), "{files:?}");
    scene.assert_clean();
}

/// A command gets the three that it expects, and nothing of the agent's.
#[test]
fn descriptors_are_not_inherited() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    // No pipe behind ls: the shell itself would hold its ends for a moment.
    let list = "ls /proc/$$/fd; true";
    let numbers = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.parse::<u32>().is_ok()).map(str::to_owned).collect()
    };
    // Whoever started the test may have left some open, which every program gets.
    let (_, given) = Process::start(Command::new("sh").args(["-c", list])).finish();
    let given = numbers(&given);
    assert!(given.len() >= 3, "{given:?}");
    for running in [false, true] {
        let agent = running.then(|| scene.published(&[]));
        let (code, text) = scene.run(&[], &["exec", "--", "sh", "-c", list]);
        assert_eq!(code, 0, "{text}");
        assert_eq!(numbers(&text), given, "{text}");
        if let Some(agent) = agent {
            assert_eq!(scene.end(agent).0, 0);
        }
    }
    scene.assert_clean();
}
