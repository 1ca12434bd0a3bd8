//! What to say about a name that is no setting: the nearest one that is, or that it is a secret and in the wrong place.

use super::{
    keys::{self, Section},
    problem::{Origin, Problem, example},
};

/// What an unknown name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// A key with a value.
    Key,
    /// A `[table]` at the top.
    Table,
}

/// The complaint about the unknown `path`. Its value is never part of it.
pub fn problem(kind: Unknown, path: &str, origin: Origin) -> Problem {
    let written = match kind {
        Unknown::Key => readable(path),
        Unknown::Table => format!("[{}]", readable(path)),
    };
    if is_surely_secret(path) {
        return secret(path, origin);
    }
    let (table, leaf) = split(path);
    let suggestion = suggest(kind, table, leaf);
    if suggestion.is_none() && kind == Unknown::Key && may_be_secret(leaf) {
        return secret(path, origin);
    }
    let fix = match &suggestion {
        Some(near) => match keys::find(near) {
            Some(known) => {
                format!("did you mean {near}? {}", capital(&example(Some(&origin), near, known.example)))
            }
            None => format!("did you mean [{near}]?"),
        },
        None => "remove it, or name it as one of these".to_owned(),
    };
    Problem {
        key: suggestion.unwrap_or_else(|| path.to_owned()),
        what: format!("{written} is not a setting"),
        allowed: allowed(kind, table),
        fix,
        origin: Some(origin),
    }
}

/// The complaint about an entry's name that could not be part of a path or of a variable.
pub fn entry_name(section: &Section, name: &str, origin: &Origin) -> Option<Problem> {
    let is_word = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    // A credential called so is no table's rival.
    let is_taken = name == keys::DEFAULT && section.name != "credentials";
    (!is_word || is_taken).then(|| Problem {
        key: section.name.to_owned(),
        origin: Some(origin.clone()),
        what: format!("the name {} under {} is not usable", super::problem::shown(name), section.name),
        allowed: if is_taken {
            "it stands for the plain tables".to_owned()
        } else {
            "allowed are 1 to 64 letters (a-z, A-Z), digits, - and _".to_owned()
        },
        fix: format!("for example: [{}.{}]", section.name, section.example),
    })
}

/// A variable that begins as ours do, and is a slip of the pen away from one that we know.
pub fn variable(name: &str, known: &[String]) -> Option<Problem> {
    let near = keys::nearest(
        name.strip_prefix(keys::PREFIX)?,
        known.iter().filter_map(|k| k.strip_prefix(keys::PREFIX)),
    )?;
    Some(Problem {
        key: name.to_owned(),
        origin: Some(Origin::Variable(name.to_owned())),
        what: format!("{} is not a setting", readable(name)),
        allowed: format!("it would be ignored, but is nearly {}{near}", keys::PREFIX),
        fix: format!("rename it to {}{near}, or unset it", keys::PREFIX),
    })
}

fn split(path: &str) -> (&str, &str) {
    let Some((table, rest)) = path.split_once('.') else { return ("", path) };
    match keys::section(table) {
        // Below an entry everything is one level deep: `credentials.NAME.key`.
        Some(_) => match rest.split_once('.') {
            Some((name, leaf)) => (&path[..=table.len() + name.len()], leaf),
            None => (table, rest),
        },
        None => (table, rest),
    }
}

/// The names that are known in `table`, `""` being the top.
fn siblings(table: &str) -> Vec<&'static str> {
    if let Some(section) = table.split_once('.').and_then(|(section, _)| keys::section(section)) {
        return section.keys.iter().map(|key| key.name).collect();
    }
    let in_table = |name: &'static str| match name.split_once('.') {
        Some((of, leaf)) => (of == table).then_some(leaf),
        None => table.is_empty().then_some(name),
    };
    keys::KEYS.iter().filter_map(|key| in_table(key.name)).collect()
}

fn suggest(kind: Unknown, table: &str, leaf: &str) -> Option<String> {
    if kind == Unknown::Table {
        return keys::nearest(leaf, keys::TABLES.iter().copied()).map(str::to_owned);
    }
    let leaf = leaf.to_ascii_lowercase().replace('-', "_");
    if let Some(near) = keys::nearest(&leaf, siblings(table)) {
        return Some(if table.is_empty() { near.to_owned() } else { format!("{table}.{near}") });
    }
    // A mistyped table: the name is looked for in the one that was meant.
    if !keys::TABLES.contains(&table)
        && let Some(meant) = keys::nearest(table, keys::TABLES.iter().copied())
        && let Some(near) = keys::nearest(&leaf, siblings(meant))
    {
        return Some(format!("{meant}.{near}"));
    }
    // The right name in the wrong table, such as `tenant_id` at the top.
    let elsewhere = |key: &&keys::Key| key.name.rsplit('.').next() == Some(leaf.as_str());
    // The one that has a well-known variable is the best known.
    keys::KEYS
        .iter()
        .filter(elsewhere)
        .min_by_key(|key| key.aliases.is_empty())
        .map(|key| key.name.to_owned())
}

fn allowed(kind: Unknown, table: &str) -> String {
    if kind == Unknown::Table {
        let named = |table: &&str| match keys::section(table) {
            Some(_) => format!("[{table}.NAME]"),
            None => format!("[{table}]"),
        };
        return format!("allowed are {}", keys::TABLES.iter().map(named).collect::<Vec<_>>().join(", "));
    }
    let names = siblings(table);
    match (table, names.is_empty()) {
        ("", _) => format!("allowed outside tables are {}", names.join(", ")),
        (section, _) if keys::section(section).is_some() => format!("allowed are tables: [{section}.NAME]"),
        (_, true) => format!("there is no table [{}]", readable(table)),
        _ => format!("allowed in [{table}] are {}", names.join(", ")),
    }
}

fn secret(path: &str, origin: Origin) -> Problem {
    Problem {
        key: path.to_owned(),
        origin: Some(origin),
        what: format!("{} looks like a secret", readable(path)),
        allowed: "no secret belongs in the configuration; the agent gets all it needs through the workspace's identity"
            .to_owned(),
        fix: "remove it, and revoke it if it was ever committed or shared".to_owned(),
    }
}

fn is_surely_secret(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["secret", "password", "passwd", "private_key", "subscription_key", "api_key"]
        .iter()
        .any(|word| path.contains(word))
}

fn may_be_secret(leaf: &str) -> bool {
    let leaf = leaf.to_ascii_lowercase();
    ["key", "token", "bearer", "assertion", "pwd", "sas"].iter().any(|word| leaf.contains(word))
}

/// A name from outside, safe to print.
fn readable(name: &str) -> String {
    let cut: String = name.chars().take(80).collect();
    cut.escape_debug().to_string()
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
