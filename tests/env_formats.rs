//! `env --format` and `--only` from outside, each with a program that really reads it where one is here.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};
use support::{KEY_AND_TOKEN, scene::Scene};

fn env(scene: &Scene, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = scene.command(&[], &[&["env"], arguments].concat()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn curl_calls_with_what_it_is_given() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    // A key and a token go into headers of their own.
    for arguments in [&[][..], &["--only", "key"], &["--only", "token"]] {
        let (code, config, errors) = env(&scene, &[&["--format", "curl"], arguments].concat());
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(config.lines().count(), if arguments.is_empty() { 2 } else { 1 });
        let url = format!("{}/echo", scene.emulator.get("gateway"));
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-K", "-", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]);
        curl.arg(scene.emulator.get("ca_file")).arg(url);
        let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        curl.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
        let output = curl.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "200", "{arguments:?}");
    }
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn curl_is_not_given_two_in_one_header() {
    let second = KEY_AND_TOKEN.replace("[credentials.key]", "[credentials.other]").replace("_KEY", "_OTHER");
    let (second, _) = second.split_once("[credentials.token]").unwrap();
    let scene = Scene::new(&[], &format!("{KEY_AND_TOKEN}{second}"));
    let agent = scene.published(&[]);
    let (code, config, errors) = env(&scene, &["--format", "curl"]);
    assert_eq!((code, config.as_str()), (Some(64), ""), "{errors}");
    assert!(errors.contains("key and other would go into the same header"), "{errors}");
    assert!(errors.contains("--only key, or --only other"), "{errors}");
    let (code, _, errors) = env(&scene, &["--format", "curl", "--only", "other", "--only", "token"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

#[test]
fn only_takes_names_of_the_configuration() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let (code, text, errors) = env(&scene, &["--only", "key"]);
    assert_eq!(code, Some(0), "{errors}");
    let names: Vec<_> = text.lines().map(|line| line.split(['=', ' ']).nth(1).unwrap()).collect();
    assert_eq!(
        names,
        ["APIM_GATEWAY_URL", "APIM_AGENT_GENERATION", "APIM_AGENT_EXPIRES_AT", "APIM_SUBSCRIPTION_KEY"]
    );
    let (code, text, errors) = env(&scene, &["--only", "nobody"]);
    assert_eq!((code, text.as_str()), (Some(64), ""));
    assert!(errors.contains("no credential \"nobody\"") && errors.contains("key, token"), "{errors}");
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// The runner's part: it reads commands from standard output, and `NAME=value` lines from the file.
#[test]
fn github_masks_each_value_and_appends_the_variables() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let agent = scene.published(&[]);
    let (code, text, errors) = env(&scene, &["--format", "github"]);
    assert_eq!((code, text.as_str()), (Some(64), ""));
    assert!(errors.contains("GITHUB_ENV is not set"), "{errors}");

    let file = scene.workspace.runtime_dir.path().join("github-env");
    std::fs::write(&file, "BEFORE=1\n").unwrap();
    let mut command = scene.command(&[], &["env", "--format", "github"]);
    let output = command.env("GITHUB_ENV", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let masks: Vec<String> = ["APIM_SUBSCRIPTION_KEY", "APIM_ACCESS_TOKEN"]
        .map(|name| format!("::add-mask::{}", scene.workspace.value(name)))
        .into();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), masks);
    let appended = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let (_, dotenv, _) = env(&scene, &["--format", "dotenv"]);
    assert_eq!(appended, format!("BEFORE=1\n{dotenv}"));
    for format in ["docker", "systemd"] {
        assert_eq!(env(&scene, &["--format", format]).1, dotenv, "{format}");
    }
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}

/// direnv itself loads the library and the env file, and sees the end.
#[test]
fn direnv_uses_it() {
    let Ok(version) = Command::new("direnv").arg("version").output() else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: direnv is not installed");
        return;
    };
    assert!(version.status.success());
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let home = scene.workspace.home.path();
    let library = home.join(".config/direnv/lib");
    std::fs::create_dir_all(&library).unwrap();
    let code = scene.command(&[], &["hook", "direnv"]).output().unwrap().stdout;
    std::fs::write(library.join("apim_agent.sh"), code).unwrap();
    std::fs::write(home.join(".envrc"), "use apim_agent\n").unwrap();
    let direnv = |arguments: &[&str]| {
        let mut command = Command::new("direnv");
        command.args(arguments).env_clear().env("HOME", home).current_dir(home);
        let output = command.env("PATH", std::env::var_os("PATH").unwrap()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        (String::from_utf8(output.stdout).unwrap(), errors)
    };
    direnv(&["allow"]);
    let (_, said) = direnv(&["exec", ".", "true"]);
    assert!(said.contains("no agent runs"), "{said}");
    let agent = scene.published(&[]);
    let (seen, _) = direnv(&["exec", ".", "env"]);
    for (name, value) in scene.workspace.published() {
        assert!(seen.contains(&format!("{name}={value}\n")), "{name}");
    }
    assert_eq!(scene.end(agent).0, 0);
    let (seen, _) = direnv(&["exec", ".", "env"]);
    assert!(!seen.contains("APIM_SUBSCRIPTION_KEY="));
    scene.assert_clean();
}
