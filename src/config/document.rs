//! The file's text to a flat list of settings, each with its line. Pure.

use super::{
    keys::{self, Section},
    layers::{Entered, Entry},
    problem::{Origin, Problem, example},
    unknown::{self, Unknown},
};
use std::sync::Arc;
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// What a file says.
#[derive(Debug, Default)]
pub struct Document {
    /// Its known settings, in its order.
    pub entries: Vec<Entry>,
    /// The entries of the sections, in its order.
    pub entered: Entered,
    /// What is wrong with its form: unknown keys, wrong types.
    pub problems: Vec<Problem>,
    /// The first error of TOML itself. The rest is then what could be made out, good enough to find a running agent.
    pub syntax: Option<Problem>,
}

/// Reads `text`; `name` stands for the file in messages.
pub fn parse(name: &str, text: &str) -> Document {
    let (root, errors) = DeTable::parse_recoverable(text);
    let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut reader = Reader { name: Arc::from(name), text, line_starts, document: Document::default() };
    reader.document.syntax = errors.first().map(|error| reader.syntax(error));
    reader.root(root.get_ref());
    reader.document
}

struct Reader<'t> {
    name: Arc<str>,
    text: &'t str,
    /// The byte at which each line begins; the first one begins at 0.
    line_starts: Vec<usize>,
    document: Document,
}

type Item<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

/// The items in the order of the file; the map's own order is alphabetical.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Item<'t, 'i>> {
    let mut items: Vec<_> = table.iter().collect();
    items.sort_by_key(|(key, _)| key.span().start);
    items
}

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (key, value) in in_order(root) {
            let (name, origin) = (key.get_ref().as_ref(), self.origin(key));
            match value.get_ref() {
                DeValue::Table(table) if let Some(section) = keys::section(name) => {
                    self.section(section, table);
                }
                DeValue::Table(table) if keys::TABLES.contains(&name) => {
                    for item in in_order(table) {
                        self.leaf(&format!("{name}.{}", item.0.get_ref()), item);
                    }
                }
                DeValue::Table(_) if keys::find(name).is_none() => {
                    self.document.problems.push(unknown::problem(Unknown::Table, name, origin));
                }
                other if keys::TABLES.contains(&name) => self.not_a_table(name, other, origin),
                _ => self.leaf(name, (key, value)),
            }
        }
    }

    fn section(&mut self, section: &'static Section, table: &DeTable<'_>) {
        for (key, value) in in_order(table) {
            let (name, origin) = (key.get_ref().as_ref(), self.origin(key));
            let DeValue::Table(table) = value.get_ref() else {
                self.not_a_table(&format!("{}.{name}", section.name), value.get_ref(), origin);
                continue;
            };
            if let Some(problem) = unknown::entry_name(section, name, &origin) {
                self.document.problems.push(problem);
                continue;
            }
            self.document.entered.add(section.name, name, origin);
            for item in in_order(table) {
                self.leaf(&format!("{}.{name}.{}", section.name, item.0.get_ref()), item);
            }
        }
    }

    /// Every setting is a text, durations and paths too (`lifetime = 3600` would leave the unit to a guess), or a list
    /// of them, which goes on as JSON.
    fn leaf(&mut self, path: &str, (key, value): Item<'_, '_>) {
        let Some(known) = keys::find(path) else {
            let origin = self.origin(key);
            return self.document.problems.push(unknown::problem(Unknown::Key, path, origin));
        };
        let origin = self.origin(value);
        let text = match value.get_ref() {
            DeValue::String(text) if !known.is_list() && !known.is_flag() => Some(text.to_string()),
            DeValue::Array(items) if known.is_list() => list(items),
            DeValue::Boolean(flag) if known.is_flag() => Some(flag.to_string()),
            _ => None,
        };
        if let Some(text) = text {
            return self.document.entries.push(Entry { path: path.to_owned(), text, origin });
        }
        let (what, wanted) = match value.get_ref() {
            DeValue::Array(_) if known.is_list() => ("holds something else than texts".to_owned(), "texts"),
            other if known.is_list() => (format!("is {}", type_of(other)), "a list of texts"),
            other if known.is_flag() => (format!("is {}", type_of(other)), "true or false, not"),
            other => (format!("is {}", type_of(other)), "a text"),
        };
        self.document.problems.push(Problem {
            key: path.to_owned(),
            what: format!("{path} {what}"),
            allowed: format!("allowed is {wanted} in quotes"),
            fix: example(Some(&origin), path, known.example),
            origin: Some(origin),
        });
    }

    fn not_a_table(&mut self, path: &str, value: &DeValue<'_>, origin: Origin) {
        let header = match keys::section(path) {
            Some(section) => format!("{path}.{}", section.example),
            None => path.to_owned(),
        };
        self.document.problems.push(Problem {
            key: path.to_owned(),
            origin: Some(origin),
            what: format!("{path} is {}", type_of(value)),
            allowed: "allowed is a table".to_owned(),
            fix: format!("for example: [{header}] on a line of its own"),
        });
    }

    /// Only the parser's message, never its excerpt of the line: that may hold anything.
    fn syntax(&self, error: &toml::de::Error) -> Problem {
        let start = error.span().map_or(self.text.len(), |span| span.start);
        let (line, column) = self.position(start);
        Problem {
            key: String::new(),
            origin: Some(Origin::File { name: Arc::clone(&self.name), line }),
            what: format!("{} is not valid TOML", self.name),
            allowed: format!("column {column}: {}", error.message()),
            fix: "each line is a [table], a key = \"value\" or a # comment".to_owned(),
        }
    }

    fn origin<T>(&self, spanned: &Spanned<T>) -> Origin {
        let (line, _) = self.position(spanned.span().start);
        Origin::File { name: Arc::clone(&self.name), line }
    }

    /// Line and column of a byte, both from 1; columns count characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= byte);
        let before = self.text.get(self.line_starts[line - 1]..byte).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

/// A list of texts as JSON; `None` when something else is in it.
fn list(items: &[Spanned<DeValue<'_>>]) -> Option<String> {
    let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
    serde_json::to_string(&texts?).ok()
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
