//! What an emulator cannot be started with, and what it can.

use super::support::{bare, process::Process};
use nix::sys::signal::Signal;
use std::path::Path;

fn on_emulator(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Process {
    let mut command = bare(home);
    command.env("XDG_RUNTIME_DIR", home).envs(variables.iter().copied());
    Process::start(command.args(arguments))
}

#[test]
fn a_ready_file_that_cannot_be_written_is_noticed_before_anything_starts() {
    let ram = tempfile::tempdir_in("/dev/shm").unwrap();
    let ready = ram.path().join("missing/ready.json");
    for command in [&["emulator"][..], &["run", "--emulator"]] {
        let arguments = [command, &["--ready-file", ready.to_str().unwrap()]].concat();
        let (status, text) = on_emulator(ram.path(), &[], &arguments).finish();
        assert_eq!(status.code(), Some(78), "{text}");
        assert!(text.starts_with("apim-agent: cannot write the ready file "), "{text}");
        assert!(text.contains("\n  fix: name a file in a folder that exists"), "{text}");
    }
    assert_eq!(ram.path().read_dir().unwrap().count(), 0, "nothing was begun");
}

/// Such variables are set for the agent on Azure, whose file has these entries.
#[test]
fn the_variables_of_a_files_entries_do_not_stop_a_run_without_the_file() {
    let ram = tempfile::tempdir_in("/dev/shm").unwrap();
    let variables = [
        ("APIM_AGENT_CREDENTIALS_ORDERS_PROBE", "/x"),
        ("APIM_AGENT_GATEWAYS_PARTNER_URL", "https://p.example"),
    ];
    let agent = on_emulator(ram.path(), &variables, &["--workspace", "entries", "run", "--emulator"]);
    agent.wait_for("\nCtrl-C wipes");
    agent.signal(Signal::SIGINT);
    let (status, text) = agent.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    // A slip of the pen elsewhere is still one.
    let slip = [("APIM_AGENT_GATEWAY_ULR", "https://p.example")];
    let (status, text) = on_emulator(ram.path(), &slip, &["run", "--emulator"]).finish();
    assert_eq!(status.code(), Some(78), "{text}");
    assert!(text.contains("APIM_AGENT_GATEWAY_URL"), "{text}");
}

#[test]
fn a_variable_that_cannot_be_read_is_told_of() {
    use std::os::unix::ffi::OsStrExt as _;
    let ram = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut command = bare(ram.path());
    command.env("XDG_RUNTIME_DIR", ram.path()).env("HTTPS_PROXY", std::ffi::OsStr::from_bytes(b"\xff"));
    let agent = Process::start(command.args(["--workspace", "proxy", "run", "--emulator"]));
    agent.wait_for("\nCtrl-C wipes");
    agent.signal(Signal::SIGINT);
    let (_, text) = agent.finish();
    assert!(text.contains("the variable HTTPS_PROXY is not UTF-8 and counts as not set"), "{text}");
}
