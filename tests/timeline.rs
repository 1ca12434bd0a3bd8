//! What `run` tells: each thing once, and nothing that is not so.
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

mod support;

use nix::sys::signal::Signal;
use support::{bare, process::Process};
use tempfile::TempDir;

/// `run --emulator` with these options, in folders that live as long as it does.
fn start(options: &[&str]) -> (Process, TempDir, TempDir) {
    let (home, runtime_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let mut command = bare(home.path());
    command
        .env("XDG_RUNTIME_DIR", runtime_dir.path())
        .args(["--workspace", "timeline", "run", "--emulator"])
        .args(options);
    (Process::start(&mut command), home, runtime_dir)
}

fn place(text: &str, words: &str) -> usize {
    text.find(words).unwrap_or_else(|| panic!("no {words:?} in\n{text}"))
}

#[test]
fn a_trouble_is_told_once_and_the_usage_when_all_is_there() {
    let (agent, _home, _runtime_dir) = start(&["--key-delay", "3s"]);
    agent.wait_for("\nCtrl-C wipes");
    agent.signal(Signal::SIGINT);
    let (_, text) = agent.finish();
    assert_eq!(text.matches("the gateway does not know the key yet").count(), 1, "{text}");
    assert_eq!(text.matches("In another shell:").count(), 1, "{text}");
    assert!(place(&text, "not complete yet") < place(&text, "generation 2 after"), "{text}");
    assert!(place(&text, "generation 2 after") < place(&text, "In another shell:"), "{text}");
    // Each part of a failure stands on a line of its own, below what happened.
    assert!(text.contains("\n           why  status 401"), "{text}");
    assert!(text.contains("\n           fix  a new key may take minutes"), "{text}");
}

#[test]
fn a_renewal_names_what_is_new_and_only_a_value_that_was_there_is_refused() {
    let (agent, _home, _runtime_dir) = start(&["--key-life", "6s", "--grace", "1s"]);
    let refused = "APIM_SUBSCRIPTION_KEY: the value before is refused from now on";
    let text = agent.wait_until("the end of the first key", |text| text.contains(refused));
    let renewed = place(&text, "generation 2 published: APIM_SUBSCRIPTION_KEY until ");
    assert!(renewed < place(&text, refused), "{text}");
    let line = text[renewed..].lines().next().unwrap();
    assert!(!line.contains("APIM_ACCESS_TOKEN"), "the token is the same as before: {line}");
    agent.signal(Signal::SIGINT);
    let (_, text) = agent.finish();
    assert!(text.contains("merely expires, at "), "{text}");
    assert!(text.contains("\nrevoked    APIM_SUBSCRIPTION_KEY: its subscription is deleted\n"), "{text}");
}

/// Nothing can have been minted yet, so that there is nothing to wait for, whatever hangs.
#[test]
fn without_a_file_nothing_is_said_to_be_wiped() {
    let (agent, _home, _runtime_dir) = start(&["--latency", "10m"]);
    agent.wait_for("apim-agent ");
    agent.signal(Signal::SIGINT);
    let (status, text) = agent.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(!text.contains("\nwiped ") && !text.contains("under way"), "{text}");
}

/// While something is missing, a change is one line and not the whole table again.
#[test]
fn the_table_is_shown_once_while_something_is_missing() {
    let (agent, _home, _runtime_dir) = start(&["--key-delay", "10m", "--access-token-life", "4s"]);
    agent.wait_for("generation 3 published: APIM_ACCESS_TOKEN until ");
    agent.signal(Signal::SIGINT);
    let (_, text) = agent.finish();
    assert_eq!(text.matches("\ncredential ").count(), 1, "{text}");
    assert!(text.contains("; without APIM_SUBSCRIPTION_KEY\n"), "{text}");
}
