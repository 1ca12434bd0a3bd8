//! What the agent publishes reads back the same in every program that reads env files, or is refused.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod names;
mod readers;
mod values;

use apim_agent::{
    secret::Secret,
    sink::env_file::{self, Content, Format, check_value},
};
use readers::{Reader, installed};

/// Of the values, not of the readers: any will do, but the same at each run.
const SEED: u64 = 20_261_125;

#[test]
fn what_is_published_reads_back_the_same_everywhere() {
    let values: Vec<String> =
        values::generated(SEED).into_iter().filter(|value| check_value("V", value).is_ok()).collect();
    assert!(values.len() > 4000, "only {} of the values can be published", values.len());
    let names: Vec<String> = (0..values.len()).map(|index| format!("V{index}")).collect();
    for reader in installed() {
        let found = reader.read(&render(reader.format, &names, &values), &names);
        let found = found.unwrap_or_else(|error| panic!("{} cannot read the file: {error}", reader.name));
        for (value, found) in values.iter().zip(found) {
            assert!(
                found.as_deref() == Some(value.as_bytes()),
                "{}: {value:?} became {}",
                reader.name,
                shown(found)
            );
        }
    }
    let json = render(Format::Json, &names, &values);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(names.iter().zip(&values).all(|(name, value)| json[name] == **value), "JSON");
}

/// Refused, though no reader makes anything else of it, and why.
const MORE_CAREFUL_THAN_NEEDED: &[(char, &str)] = &[
    ('=', "alone, or at the end after a colon, it would be safe: not worth a rule of its own"),
    ('~', "whether a name after it means something depends on the machine's users"),
    ('%', "only %self means anything to fish: not worth a rule of its own"),
    ('[', "alone it is safe, but it comes in pairs"),
    (']', "the same"),
];

/// So that the alphabet is as wide as it can be: for each character that is left out, wherever it stands, one reader
/// makes something else of it. Says nothing unless all of them are here.
#[test]
fn what_is_refused_is_refused_for_a_reason() {
    let readers = installed();
    if !readers::all_wanted() {
        readers::skipped("only all readers together can show a reason for each refusal");
        return;
    }
    let careful = |value: &str| MORE_CAREFUL_THAN_NEEDED.iter().any(|(c, _)| value.contains(*c));
    let mut refused = 0;
    for c in values::printable() {
        let values =
            values::places(c).into_iter().filter(|value| check_value("V", value).is_err() && !careful(value));
        for value in values {
            refused += 1;
            let disagrees = |reader: &&Reader| {
                let names = ["V".to_owned()];
                let found = reader.read(&raw(reader.format, "V", &value), &names);
                found.is_err() || found.is_ok_and(|found| found[0].as_deref() != Some(value.as_bytes()))
            };
            assert!(
                readers.iter().any(disagrees),
                "{value:?} is refused, and every reader takes it as it stands"
            );
        }
    }
    assert!(refused > 200, "only {refused} values are refused");
}

/// What other alphabets hold depends on the reader's locale and on its idea of white space; of control characters NUL
/// ends a value and a line feed a line. None of them comes near a reader.
#[test]
fn what_is_not_printable_ascii_is_refused() {
    for value in
        values::generated(SEED).iter().filter(|value| !value.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        assert!(check_value("V", value).is_err(), "{value:?}");
    }
}

#[test]
fn a_line_is_one_that_docker_reads() {
    for (length, fits) in [(65_531, true), (65_532, false)] {
        assert_eq!(check_value("ABC", &"x".repeat(length - 1)).is_ok(), fits, "{length}");
    }
}

/// The text of the published file, or of what `apim-agent env` prints.
fn render(format: Format, names: &[String], values: &[String]) -> Vec<u8> {
    let secrets: Vec<Secret> = values.iter().map(|value| Secret::new(value.clone())).collect();
    let pairs: Vec<(&str, &Secret)> = names.iter().map(String::as_str).zip(&secrets).collect();
    let content =
        Content { gateway_url: "https://g", generation: 1, expires_at: None, values: &pairs, missing: &[] };
    env_file::render(format, &content).unwrap().to_vec()
}

/// A line of it, without the agent's checks.
fn raw(format: Format, name: &str, value: &str) -> Vec<u8> {
    match format {
        Format::Fish => format!("set -gx {name} {value}\n"),
        Format::Sh => format!("export {name}={value}\n"),
        _ => format!("{name}={value}\n"),
    }
    .into_bytes()
}

/// What a reader found, short enough for a message.
fn shown(found: Option<Vec<u8>>) -> String {
    let text = found.map(|value| String::from_utf8_lossy(&value).chars().take(200).collect::<String>());
    format!("{text:?}")
}
