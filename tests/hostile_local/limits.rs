//! Resource limits: at the start, and lowered during life.

use super::{
    KEY,
    support::{BINARY, process::Process, scene::Scene},
};
use nix::sys::signal::Signal;
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output},
};

/// The agent's command line behind `prlimit`.
fn limited(scene: &Scene, limit: &str, arguments: &[&str]) -> Command {
    let agent = scene.command(&[], arguments);
    let mut command = Command::new("prlimit");
    command.env_clear().arg(limit).arg(BINARY).args(agent.get_args());
    command.current_dir(agent.get_current_dir().unwrap());
    command.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Changes a soft limit of a running process.
fn lower(pid: i32, limit: &str) {
    let Output { status, stderr, .. } =
        Command::new("prlimit").args(["--pid", &pid.to_string(), limit]).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn without_memory_to_lock_it_works() {
    let scene = Scene::new(&[], KEY);
    let agent = Process::start(&mut limited(&scene, "--memlock=0:0", &["run"]));
    agent.wait_for("\npublished ");
    scene.learn(&agent);
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn with_too_few_descriptors_it_ends_with_an_error_and_leaves_nothing() {
    // From far too few up to enough; each number fails at another place.
    for most in 4..=24 {
        let scene = Scene::new(&[], KEY);
        let agent = Process::start(&mut limited(&scene, &format!("--nofile={most}:{most}"), &["run"]));
        agent.wait_until("an end, a complaint or a publication", |text| {
            text.contains("Too many open files") || text.contains("\npublished ")
        });
        if !agent.has_ended() {
            agent.signal(Signal::SIGTERM);
        }
        let (status, text) = agent.finish();
        // Our own signal may come before the agent catches it, or while it ends; it has published nothing then.
        let ours = status.signal() == Some(Signal::SIGTERM as i32) && !text.contains("\npublished ");
        assert!(status.signal().is_none() || ours, "with {most}: {status}: {text}");
        assert!(!text.contains("panicked"), "with {most}: {text}");
        scene.keep(text);
        scene.workspace.assert_nothing_published();
        scene.assert_silent();
    }
}

#[test]
fn descriptors_that_run_out_during_life_are_waited_for() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let before = scene.workspace.value("APIM_SUBSCRIPTION_KEY");

    lower(agent.pid(), "--nofile=3:");
    // The connection waits in the kernel's queue; the accept loop says why, and rests in between.
    let socket = scene.workspace.env_file().with_file_name("control");
    let waiting = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let complaint = "the control socket could not accept a connection";
    agent.wait_until("three complaints", |text| text.matches(complaint).count() >= 3);
    assert_eq!(scene.workspace.value("APIM_SUBSCRIPTION_KEY"), before);

    lower(agent.pid(), "--nofile=1024:");
    drop(waiting);
    assert_eq!(scene.status()["ready"], true);
    let (code, text) = scene.run(&[], &["refresh"]);
    assert_eq!(code, 0, "{text}");
    agent.wait_until("the renewal", |text| text.contains("generation 2 published"));
    scene.learn(&agent);
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn the_end_wipes_without_a_descriptor_to_spare() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    lower(agent.pid(), "--nofile=3:");
    agent.signal(Signal::SIGTERM);
    let (status, text) = agent.finish();
    assert_eq!(status.signal(), None, "{text}");
    assert!(text.contains("\nwiped "), "{text}");
    scene.keep(text);
    scene.workspace.assert_nothing_published();
    scene.assert_silent();
}

#[test]
fn a_file_size_limit_is_an_error_and_no_death() {
    let scene = Scene::new(&[], KEY);
    let agent = Process::start(&mut limited(&scene, "--fsize=0:0", &["run"]));
    agent.wait_until("an end or a complaint", |text| text.contains("File too large"));
    if !agent.has_ended() {
        agent.signal(Signal::SIGTERM);
    }
    let (status, text) = agent.finish();
    assert_eq!(status.signal(), None, "{text}");
    scene.keep(text);
    scene.workspace.assert_nothing_published();
    scene.assert_silent();
}
