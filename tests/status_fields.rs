//! docs/status.md lists the fields that the program prints, and `--short` and `--ready` answer by exit code.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use support::{KEY_AND_TOKEN, scene::Scene};

fn listed(mark: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.md")).unwrap();
    let (_, after) = page.split_once(mark).unwrap();
    let rows =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

fn fields(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_fields_are_those_of_the_page_and_the_codes_those_of_the_help() {
    let scene = Scene::new(&[], KEY_AND_TOKEN);
    let plain = |form: &str| {
        let mut command = scene.command(&[], &["status", form]);
        let output = command.env("LC_ALL", "C").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(plain("--short"), (69, "apim off\n".to_owned()));
    assert_eq!(plain("--ready"), (69, String::new()));
    let agent = scene.published(&[]);
    let status = scene.status();
    assert_eq!(fields(&status), listed("<!-- status fields:"));
    assert_eq!(fields(&status["credentials"][0]), listed("<!-- credential fields:"));
    let (code, text) = plain("--short");
    assert!(code == 0 && text.starts_with("apim ok 2 ") && text.ends_with("m\n"), "{code} {text}");
    assert_eq!(plain("--ready"), (0, String::new()));
    assert_eq!(scene.end(agent).0, 0);
    scene.assert_clean();
}
