//! What is wrong from the start, end to end: the agent says so, with a reason and a remedy, and touches nothing.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod arm;
mod configuration;
mod emulator;
mod entra;
mod identity;
mod runtime_dir;

use support::{
    KEY,
    scene::{Scene, Settings},
};

/// Runs the agent, which must end by itself with `code` and say all of `words`, and how to mend it.
fn refused(scene: &Scene, name: &str, settings: Settings<'_>, code: i32, words: &[&str]) -> String {
    let (found, text) = scene.run(settings, &["run"]);
    assert_eq!(found, code, "{name}: {text}");
    for words in ["\napim-agent: ", "\n  fix: "].iter().chain(words) {
        assert!(format!("\n{text}").contains(words), "{name}: no {words:?} in\n{text}");
    }
    assert!(!text.contains("\npublished "), "{name}: {text}");
    scene.assert_clean();
    text
}
