//! In the claims of an id token: they are shown, and become part of a command that people paste.

use super::{
    Stage,
    support::token::{AUDIENCE, LATER, jwt},
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

#[test]
fn a_claim_is_shown_and_pasted_as_what_it_is() {
    let stage = Stage::new();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let tools = stand_in(folder.path());
    let path = folder.path().join("token");
    let settings = [("identity.source", "file"), ("identity.token_file", path.to_str().unwrap())];
    let known = stage.scene.emulator.get("identity").to_owned();
    let (mut pasted, mut refused) = (0, 0);
    for value in stage.values().into_iter().filter(|value| value.bytes.len() < 10_000) {
        let Some(claim) = value.text() else { continue };
        // The mark is a secret to the leak check; a claim is none.
        let claim = claim.replace("mark", "word");
        for (iss, sub) in [(claim.as_str(), "subject"), (known.as_str(), claim.as_str())] {
            fs::write(&path, jwt(&json!({"iss": iss, "sub": sub, "aud": AUDIENCE, "exp": LATER}))).unwrap();
            let (code, text) = stage.run(value.name, &settings, &["\n  fix: "]);
            assert!(!text.contains("\npublished "), "{}: {text}", value.name);
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{}: {text:?}", value.name);
            if claim.chars().any(char::is_control) {
                refused += 1;
                assert_eq!(code, 78, "{}: {text}", value.name);
                assert!(text.contains("holds control characters"), "{}: {text}", value.name);
                continue;
            }
            pasted += 1;
            assert_eq!(code, 77, "{}: {text}", value.name);
            let at = text.find("az ad app ").unwrap_or_else(|| panic!("no command: {text}"));
            let line = text[at..].lines().next().unwrap();
            for shell in ["sh", "bash", "dash", "zsh"] {
                let Some(parameters) = paste(shell, line, &tools) else { continue };
                assert_eq!(
                    (&parameters["issuer"], &parameters["subject"]),
                    (&json!(iss), &json!(sub)),
                    "{shell}: {line}"
                );
            }
            stage.assert_nothing_executed(value.name);
        }
    }
    assert!(pasted > 20 && refused > 8, "{pasted} {refused}");
    stage.scene.assert_clean();
}

/// A folder with an `az` that shows its last argument.
fn stand_in(folder: &Path) -> String {
    let az = folder.join("az");
    fs::write(&az, "#!/bin/sh\nfor last; do :; done\nprintf %s \"$last\"\n").unwrap();
    fs::set_permissions(&az, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// What `az` is given when the line is pasted.
fn paste(shell: &str, line: &str, path: &str) -> Option<Value> {
    let Ok(output) = Command::new(shell).args(["-c", line]).env("PATH", path).output() else {
        eprintln!("SKIPPED: {shell} is not installed");
        return None;
    };
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{shell}: {error}: {line}")))
}
