//! The endings of the platforms: terminals that hang up, signals to one process only, SIGKILL for the rest.

use super::{Ended, agent, support, wait_for_nothing};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pty_process::blocking::{Command, Pty, open};
use std::{io::Read as _, process::Child, thread};
use support::{
    KEY, TOKEN,
    scene::{Scene, poll},
};

/// Hang-ups that the agent has to outlive, all of them.
const TRIES: usize = 100;
/// At a time.
const LANES: usize = 4;

/// A shell on a terminal of its own, in which `script` finds the agent's command as `"$@"`.
fn shell(scene: &Scene, workspace: &str, shell: &[&str], script: &str, words: &[&str]) -> (Pty, Child) {
    let agent = scene.command(&[("workspace", workspace)], words);
    let (pty, pts) = open().unwrap();
    let mut command = Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(script).arg("task");
    command = command.arg(agent.get_program()).args(agent.get_args());
    command = command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", scene.workspace.home.path());
    let child = command.current_dir(scene.workspace.home.path()).spawn(pts).unwrap();
    (pty, child)
}

/// A `postStartCommand`: `/bin/sh -c` on a terminal that is closed as soon as the command is over.
#[test]
fn it_outlives_the_terminal_of_a_post_start_command() {
    let scene = Scene::new(&[], TOKEN);
    let names: Vec<_> = (0..TRIES).map(|number| format!("try-{number}")).collect();
    for lane in names.chunks(LANES) {
        let tries: Vec<_> = lane
            .iter()
            .map(|name| (name, shell(&scene, name, &["/bin/sh"], r#""$@""#, &["start"])))
            .collect();
        for (name, (pty, mut child)) in tries {
            let mut pty = pty;
            let reader = thread::spawn(move || {
                let mut text = Vec::new();
                let mut piece = [0; 4096];
                // The end of a terminal is an error.
                while let Ok(count @ 1..) = pty.read(&mut piece) {
                    text.extend_from_slice(&piece[..count]);
                }
                (pty, String::from_utf8_lossy(&text).into_owned())
            });
            let status = child.wait().unwrap();
            // Ends only if nobody has the terminal any more. Closing it then hangs up whoever is left of the session.
            let (pty, text) = reader.join().unwrap();
            drop(pty);
            assert!(status.success(), "{name}: {text}");
            scene.keep(text);
            let (code, text) = scene.run(&[("workspace", name)], &["status"]);
            assert_eq!(code, 0, "{name} is gone: {text}");
            let (code, text) = scene.run(&[("workspace", name)], &["stop"]);
            assert_eq!(code, 0, "{name}: {text}");
        }
    }
    scene.assert_clean();
}

/// SIGTERM to the process that the platform started and to nobody else; what SIGKILL would find after it is nothing.
#[test]
fn a_task_that_becomes_the_agent_ends_wiped_by_sigterm_to_the_shell() {
    // Gitpod Classic: an interactive bash, which ignores SIGTERM; Ona: a plain shell.
    for kind in [&["bash", "--norc", "-i"][..], &["/bin/sh"]] {
        let scene = Scene::new(&[], KEY);
        let _ended = Ended(&scene);
        let (pty, mut child) = shell(&scene, "test", kind, r#"exec "$@""#, &["run"]);
        scene.status_when("ready", |status| status["ready"] == true);
        let task = Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert_eq!(agent(&scene), task);
        kill(task, Signal::SIGTERM).unwrap();
        // It says its last words to the terminal; nobody has to read them.
        poll("its end", || child.try_wait().unwrap());
        drop(pty);
        scene.assert_clean();
    }
}

/// A terminal that is closed under an agent in the foreground.
#[test]
fn an_agent_in_the_foreground_ends_wiped_with_its_terminal() {
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    let (pty, mut child) = shell(&scene, "test", &["/bin/sh"], r#"exec "$@""#, &["run"]);
    scene.status_when("ready", |status| status["ready"] == true);
    drop(pty);
    poll("its end", || child.try_wait().unwrap());
    wait_for_nothing(&scene);
    scene.assert_clean();
}

/// The end of a dev container: nobody asks the agent, then everything is killed at once. What is in RAM stays there, with
/// the container's tmpfs; the next start of the workspace wipes and revokes.
#[test]
fn after_a_container_that_was_killed_as_a_whole_the_next_start_cleans_up() {
    let scene = Scene::new(&[], KEY);
    let _ended = Ended(&scene);
    assert_eq!(scene.run(&[], &["start"]).0, 0);
    let first = agent(&scene);
    // So that neither can do anything about the other.
    kill(first, Signal::SIGSTOP).unwrap();
    for guard in support::guard::guards(first.as_raw()) {
        support::guard::end(guard);
    }
    kill(first, Signal::SIGKILL).unwrap();
    let (code, text) = poll("its death", || {
        let (code, text) = scene.run(&[], &["start"]);
        (!text.contains(&format!("process {first}\n"))).then_some((code, text))
    });
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("wiped "), "{text}");
    assert_eq!(scene.emulator.subscriptions().len(), 1);
    assert_eq!(scene.run(&[], &["stop"]).0, 0);
    scene.assert_clean();
}
