//! Names: what the configuration allows is a plain variable to every reader.

use super::{
    SEED,
    readers::{installed, skipped},
    render, shown,
    values::Random,
};
use apim_agent::config::env_name;
use std::{collections::BTreeSet, process::Command};

/// How shells list the variables that they have of themselves, in an empty environment.
const LISTS: &[&[&str]] = &[
    &["bash", "--norc", "-c", "compgen -v"],
    &["zsh", "-f", "-c", "print -l ${(k)parameters}"],
    &["zsh", "-f", "-i", "-c", "print -l ${(k)parameters}"],
    &["fish", "--no-config", "-c", "set --names"],
    &["dash", "-c", "set | cut -d= -f1"],
    &["busybox", "sh", "-c", "set | cut -d= -f1"],
];

/// A credential under such a name would break the shell, be lost, or be taken for a setting.
#[test]
fn a_variable_of_a_shell_is_no_name_for_a_credential() {
    let mut open = BTreeSet::new();
    for list in LISTS {
        let mut command = Command::new(list[0]);
        command.args(&list[1..]).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let Ok(output) = command.output() else {
            skipped(&format!("{} is not installed", list[0]));
            continue;
        };
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(listed.lines().any(|name| name == "PATH"), "{list:?} lists nothing: {listed:?}");
        let names = listed.lines().filter(|name| env_name::free(name).is_ok());
        open.extend(names.map(|name| format!("{name} ({})", list[0])));
    }
    assert!(open.is_empty(), "these names are taken: {open:?}");
}

#[test]
fn every_name_that_is_allowed_is_one_to_every_reader() {
    let mut random = Random(SEED);
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain(['_']).collect();
    let all: Vec<char> = letters.iter().copied().chain('0'..='9').collect();
    let mut names: BTreeSet<String> = letters.iter().map(char::to_string).collect();
    for length in (0..12).cycle().take(600).chain([60, 100, 126, 127]) {
        names.insert(random.text(&letters, 1) + &random.text(&all, length));
    }
    names.extend(
        ["export", "if", "then", "done", "function", "end", "set", "source", "null", "true", "_0", "__"]
            .map(str::to_owned),
    );
    let names: Vec<String> = names.into_iter().filter(|name| env_name::free(name).is_ok()).collect();
    assert!(names.len() > 500, "only {} of the names are allowed", names.len());
    for reader in installed() {
        let found = reader.read(&render(reader.format, &names, &names), &names);
        let found = found.unwrap_or_else(|error| panic!("{} cannot read the file: {error}", reader.name));
        for (name, found) in names.iter().zip(found) {
            assert!(
                found.as_deref() == Some(name.as_bytes()),
                "{}: {name} became {}",
                reader.name,
                shown(found)
            );
        }
    }
}
