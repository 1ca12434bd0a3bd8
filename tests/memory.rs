//! The agent's own memory, files and rights, looked at from outside: what is locked, what is left after the wipe, what it
//! cannot read.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::FileExt as _, process::Command};
use support::{
    BINARY, KEY_AND_TOKEN, TOKEN,
    guard::guard,
    process::Process,
    scene::{Scene, poll},
};

/// Another process's memory is closed to all but root, and that is what the agent asks for.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("NOT CHECKED: only root can look into the agent");
    }
    root
}

/// Where each of `secrets` stands in the memory of a process: the mapping, for whoever has to find the buffer.
fn found(pid: i32, secrets: &[(String, String)]) -> Vec<String> {
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut found = Vec::new();
    let mut scanned = 0;
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
            // What stands before it tells whose buffer it is.
            found.extend(text.match_indices(value.as_str()).map(|(at, _)| {
                let before: Vec<char> = text[..at].chars().rev().take(80).collect();
                let before: String = before.into_iter().rev().collect();
                format!("{name} in {line} behind {before:?}")
            }));
        }
    }
    assert!(scanned > 1_000_000, "only {scanned} bytes could be read");
    found
}

/// A value of `/proc/PID/status`.
fn told(pid: i32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

#[test]
fn after_the_wipe_no_published_secret_is_in_the_agents_memory() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let named = |(name, _): &(String, String)| name == "APIM_SUBSCRIPTION_KEY" || name == "APIM_ACCESS_TOKEN";
    let secrets: Vec<_> = scene.workspace.published().into_iter().filter(named).collect();
    assert_eq!(secrets.len(), 2);
    assert!(!found(agent.pid(), &secrets).is_empty(), "it holds them while it publishes them");
    scene.emulator.fault(&json!({"operation": "Subscription_Delete", "action": "hold"}));
    agent.signal(Signal::SIGTERM);
    agent.wait_for("\nwiped ");
    poll("the deletion to arrive", || {
        let held = |row: &Value| row["operation"] == "Subscription_Delete";
        scene.emulator.journal().iter().any(held).then_some(())
    });
    assert_eq!(found(agent.pid(), &secrets), Vec::<String>::new());
    scene.emulator.release();
    assert_eq!(scene.finish(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn what_holds_is_what_status_says() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let hardening = scene.status()["hardening"].clone();
    assert_eq!(told(agent.pid(), "NoNewPrivs"), "1");
    assert_eq!(told(agent.pid(), "Umask"), "0077");
    for key in ["not_dumpable", "no_core_files", "no_new_privileges"] {
        assert_eq!(hardening[key], true, "{hardening}");
    }
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", agent.pid())).unwrap();
    let flags = smaps.lines().filter_map(|line| line.strip_prefix("VmFlags:"));
    let locked = flags.filter(|flags| flags.contains(" lo")).collect::<Vec<_>>();
    assert!(locked.iter().all(|flags| flags.contains(" dd") && flags.contains(" dc")), "{locked:?}");
    assert_eq!(locked.is_empty(), hardening["locked_secrets"] == 0, "{hardening}");
    assert!(hardening["locked_secrets"] != 0 || hardening["not_locked_because"].is_string(), "{hardening}");
    assert_eq!(hardening["landlock"].is_null(), hardening["no_landlock_because"].is_string(), "{hardening}");
    let (_, text) = scene.run(&[], &["status"]);
    assert!(text.contains("\n  process   not dumpable, no core files, no new privileges, "), "{text}");
    scene.end(agent);
    scene.assert_clean();
}

#[test]
fn without_a_byte_to_lock_it_works_and_says_so() {
    let scene = Scene::new(&[], TOKEN);
    let ours = scene.command(&[], &["run"]);
    // Root may lock whatever its limit is, unless it gives up the right to.
    let mut command = Command::new("prlimit");
    command.arg("--memlock=0:0");
    if nix::unistd::geteuid().is_root() {
        command.args(["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]);
    }
    command.arg(BINARY).args(ours.get_args()).env_clear();
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = ours.get_current_dir() {
        command.current_dir(folder);
    }
    let agent = Process::start(&mut command);
    agent.wait_for("\npublished ");
    scene.learn(&agent);
    let hardening = scene.status()["hardening"].clone();
    assert_eq!(hardening["locked_secrets"], 0, "{hardening}");
    assert_eq!(hardening["not_locked_because"], "RLIMIT_MEMLOCK is 0", "{hardening}");
    scene.end(agent);
    scene.assert_clean();
}

#[test]
fn a_file_that_the_configuration_did_not_name_is_refused_until_a_restart() {
    let scene = Scene::new(&[], TOKEN);
    let agent = scene.published(&[]);
    if scene.status()["hardening"]["landlock"].is_null() {
        println!("NOT CHECKED: no Landlock here");
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let bearer = elsewhere.path().join("bearer");
    fs::copy(scene.emulator.get("identity_token_file"), &bearer).unwrap();
    let new = bearer.display().to_string();
    scene.workspace.edit(|text| text.replace(scene.emulator.get("identity_token_file"), &new));
    agent.wait_for("fix  restart the agent");
    let failure = scene.status()["config_error"].to_string();
    assert!(failure.contains("lies where this agent cannot read"), "{failure}");
    scene.end(agent);
    let again = scene.published(&[]);
    scene.end(again);
    scene.assert_clean();
}

#[test]
fn no_descriptor_of_the_agents_own_is_left_to_what_it_starts() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(&[], TOKEN);
    let agent = scene.published(&[]);
    guard(&agent);
    let folder = format!("/proc/{}/fd", agent.pid());
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let number = entry.file_name().into_string().unwrap();
        // It may have been closed meanwhile.
        let Ok(place) = fs::read_link(entry.path()) else { continue };
        // Standard streams, and what the agent was itself given by whoever runs this test.
        let ours = fs::read_link(format!("/proc/self/fd/{number}"));
        if ["0", "1", "2"].contains(&number.as_str()) || ours.is_ok_and(|ours| ours == place) {
            continue;
        }
        let Ok(info) = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", agent.pid())) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let close_on_exec = u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000 != 0;
        assert!(close_on_exec, "descriptor {number} would be inherited: {}", place.display());
    }
    scene.end(agent);
    scene.assert_clean();
}
