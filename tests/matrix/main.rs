//! Each identity source with each credential kind that makes sense for it, end to end on the emulator; and docs/identity.md's
//! table of them, which is made of what has been seen to work here.
//!
//! `APIM_AGENT_BLESS=1 cargo test --test matrix` writes the table anew.
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

#[path = "../support/mod.rs"]
mod support;

mod kinds;
mod people;
mod sources;

use apim_agent::config::Source;
use kinds::{KINDS, Stage};
use std::{collections::BTreeMap, path::Path};

/// What was seen: of each source, by kind, the exchange that it went through.
type Seen = BTreeMap<(&'static str, &'static str), &'static str>;

#[test]
fn each_source_gives_each_kind_that_it_can() {
    let ways = sources::ways();
    for (name, source) in Source::ALL.into_iter().filter(|(_, source)| *source != Source::Auto) {
        assert!(ways.iter().any(|way| way.source == name), "nothing here begins with {source}");
    }
    let mut seen = Seen::new();
    let mut failures = Vec::new();
    for way in &ways {
        // One that fails must not hide the others.
        let row = std::panic::catch_unwind(|| Stage::new(way).play());
        match row {
            Ok(row) => seen.extend(row.into_iter().map(|(kind, exchange)| ((way.row, kind), exchange))),
            Err(_) => failures.push(way.row),
        }
    }
    assert!(failures.is_empty(), "failed: {}; see above", failures.join(", "));
    compare(&table(&ways.iter().map(|way| way.row).collect::<Vec<_>>(), &seen));
}

/// The table as docs/identity.md has it.
fn table(rows: &[&'static str], seen: &Seen) -> String {
    let mut lines = vec![format!("| identity | {} |", KINDS.map(|kind| format!("`{kind}`")).join(" | "))];
    lines.push(format!("|---{}|", "|---".repeat(KINDS.len())));
    for row in rows {
        let cells = KINDS.map(|kind| seen.get(&(*row, kind)).copied().unwrap_or("–").to_owned());
        lines.push(format!("| {row} | {} |", cells.join(" | ")));
    }
    lines.join("\n")
}

fn compare(table: &str) {
    const MARK: &str = "<!-- matrix: made by tests/matrix of what it has seen to work -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/identity.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, after) = page.split_once(MARK).expect("the page has the mark");
    let end = after.find("\n\n").unwrap();
    if std::env::var_os("APIM_AGENT_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{MARK}{table}{}", &after[end..])).unwrap();
        return;
    }
    assert_eq!(&after[..end], table, "the page's table is not what was seen");
}
