//! The hooks in shells on real terminals: what the agent publishes appears, changes and goes at the next prompt.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;
mod terminal;

use std::{collections::HashMap, fs, process::Command};
use support::{
    BINARY, KEY_AND_TOKEN,
    scene::{Scene, poll},
};
use terminal::{Shell, Terminal};

const OURS: [&str; 5] = [
    "APIM_GATEWAY_URL",
    "APIM_AGENT_GENERATION",
    "APIM_AGENT_EXPIRES_AT",
    "APIM_SUBSCRIPTION_KEY",
    "APIM_ACCESS_TOKEN",
];

/// A shell in the scene's home, which has the hook and a variable of the user's own.
fn open<'a>(scene: &'a Scene, shell: &'static Shell, rc: &str) -> Terminal<'a> {
    Terminal::open(shell, scene.workspace.home.path(), scene.workspace.runtime_dir.path(), BINARY, rc)
}

fn published(scene: &Scene) -> HashMap<String, String> {
    scene.workspace.published().into_iter().collect()
}

fn ours(environment: &HashMap<String, String>) -> Vec<&'static str> {
    OURS.into_iter().filter(|name| environment.contains_key(*name)).collect()
}

fn assert_loaded(scene: &Scene, shell: &Terminal<'_>) {
    // Published between the prompt and our look at the file: then at the next prompt.
    poll("the published values in the shell", || {
        let seen = shell.environment();
        published(scene).iter().all(|(name, value)| seen.get(name) == Some(value)).then_some(())
    });
}

fn lives_with_the_agent(shell: &'static Shell) {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let terminal = open(&scene, shell, "");
    let before = terminal.environment();
    assert!(ours(&before).is_empty(), "{:?}", ours(&before));

    // The shell was there first.
    let agent = scene.published(&[]);
    assert_loaded(&scene, &terminal);
    let first = published(&scene);
    assert_eq!(terminal.environment()["OWN"], "stays");

    let (code, text) = scene.run(&[], &["refresh"]);
    assert_eq!(code, 0, "{text}");
    poll("the renewal", || {
        let now = published(&scene);
        OURS[3..].iter().all(|name| now.get(*name).is_some_and(|v| *v != first[*name])).then_some(())
    });
    scene.learn(&agent);
    assert_loaded(&scene, &terminal);

    assert_eq!(scene.end(agent).0, 0);
    let after = terminal.environment();
    assert!(ours(&after).is_empty(), "left: {:?}", ours(&after));
    assert_eq!(after["OWN"], "stays");
    assert!(!after.contains_key("APIM_AGENT_HOOK"));

    // A new one begins at generation 1 again; the shell takes it all the same.
    let agent = scene.published(&[]);
    assert_loaded(&scene, &terminal);
    assert_eq!(scene.end(agent).0, 0);
    scene.keep(terminal.close());
    // With the history file, which lies in the home folder.
    scene.assert_clean();
}

#[test]
fn bash_lives_with_the_agent() {
    lives_with_the_agent(&terminal::BASH);
}

#[test]
fn zsh_lives_with_the_agent() {
    lives_with_the_agent(&terminal::ZSH);
}

#[test]
fn fish_lives_with_the_agent() {
    lives_with_the_agent(&terminal::FISH);
}

/// `$?`, `set -eux`, a `PROMPT_COMMAND` of the user's own as text and as list, and the hook read twice.
#[test]
fn it_is_a_quiet_guest_in_bash_and_zsh() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let rc = [
        (&terminal::BASH, "PROMPT_COMMAND='own=$((${own:-0} + 1))'; HOOK; HOOK"),
        (&terminal::BASH, "PROMPT_COMMAND=('own=$((${own:-0} + 1))' ':'); HOOK; HOOK"),
        (&terminal::ZSH, "precmd() { own=$((${own:-0} + 1)); }; HOOK; HOOK"),
    ];
    for (shell, rc) in rc {
        let terminal = open(&scene, shell, rc);
        assert_loaded(&scene, &terminal);
        terminal.type_in("(exit 7)");
        terminal.say("printf 'status %s.\\n' $?", "status 7.");
        terminal.say("printf 'own %s.\\n' $((own > 1))", "own 1.");
        terminal.run("set -eu");
        terminal.say("printf 'still %s.\\n' here", "still here.");
        terminal.run("set -x");
        // A new shell of the same terminal has nothing loaded: with a trace, it would show the values.
        terminal.run("__apim_agent_stamp=");
        terminal.run("set +x");
        assert_loaded(&scene, &terminal);
        scene.keep(terminal.close());
    }
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// The place of the agent is asked for once; then prompts come from the shell alone.
#[test]
fn while_nothing_changes_no_process_is_started() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let count = scene.workspace.runtime_dir.path().join("count");
    let wrapper = scene.workspace.home.path().join("apim-agent-counted");
    fs::write(&wrapper, format!("#!/bin/sh\necho asked >> {}\nexec {BINARY} \"$@\"\n", count.display()))
        .unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&wrapper).status().unwrap().success());
    for shell in [&terminal::BASH, &terminal::ZSH, &terminal::FISH] {
        let _ = fs::remove_file(&count);
        let rc = format!("HOOK-AS {}", wrapper.display());
        let terminal = open(&scene, shell, &rc);
        assert_loaded(&scene, &terminal);
        for _ in 0..20 {
            terminal.run(":");
        }
        assert_eq!(fs::read_to_string(&count).unwrap(), "asked\n", "{}", shell.name);
        // Another folder may be another workspace's.
        terminal.run("cd /");
        terminal.run(":");
        assert_eq!(fs::read_to_string(&count).unwrap(), "asked\nasked\n", "{}", shell.name);
        assert!(ours(&terminal.environment()).is_empty(), "{}", shell.name);
        scene.keep(terminal.close());
    }
    assert_eq!(scene.end(agent).0, 0);
}
