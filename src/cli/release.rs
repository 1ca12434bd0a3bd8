//! `release`: revokes what the journal of a killed agent lists.

use super::{ambient::Ambient, args::Global, block_on, directory, outlet};
use crate::{
    clock,
    error::{Class, Error, Result},
    identity::{prompt::Person, select::Lookup},
    lifecycle::journal::{Journal, Record},
    run::undo,
    sink::runtime_dir::RuntimeDir,
};
use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

/// How long a guard that is at it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn release(global: &Global, ambient: &Ambient) -> Result<ExitCode> {
    let place = ambient.place(global)?;
    let (wanted, xdg) = (place.runtime_dir.as_deref(), ambient.xdg_runtime_dir());
    let find = || RuntimeDir::find(wanted, xdg.as_deref(), &place.workspace);
    if find()?.is_none() {
        say(&format!("{:<10} no killed agent of workspace {} has left anything", "nothing", place.workspace));
        return Ok(ExitCode::SUCCESS);
    }
    block_on(async {
        let open = || open(wanted, xdg.as_deref(), &place.workspace);
        let directory = directory::wait(PATIENCE, open).await?;
        for leftover in directory.leftovers() {
            let s = if leftover.files == 1 { "" } else { "s" };
            say(&format!("{:<10} {} file{s} in {}", "wiped", leftover.files, leftover.path.display()));
        }
        let (person, _end) =
            Person::new(Arc::new(|prompt| say(&super::timeline::prompted(prompt, clock::now()))));
        clean_up(directory, ambient.lookup(), &person, &say).await
    })
}

/// Releases what the journal in a directory of ours lists, and removes what is not needed any more.
pub(super) async fn clean_up(
    directory: RuntimeDir,
    lookup: &Lookup,
    person: &Person,
    say: &(dyn Fn(&str) + Sync),
) -> Result<ExitCode> {
    let directory = Arc::new(directory);
    let journal = Journal::open(&directory)?;
    if journal.is_torn() {
        say(&format!("{:<10} the journal's last record was cut off; what it was about is not known", "note"));
    }
    let told = |record: &Record, outcome: &Result<_>| {
        let (label, text) = undo::tell(record, outcome, clock::now());
        say(&format!("{label:<10} {text}"));
    };
    let patience = undo::patience(&journal.left());
    let left = undo::release_left(&journal, lookup, person, patience, &told).await;
    directory.remove()?;
    if left.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<_> =
        left.iter().map(|(record, error)| format!("{}: {error}", record.credential)).collect();
    Err(Error::new(Class::TryAgain, "not everything could be revoked; the journal keeps it")
        .why(names.join("\n"))
        .fix("run `apim-agent release` again later, or start the agent: it does the same"))
}

fn open(wanted: Option<&Path>, xdg_runtime_dir: Option<&Path>, workspace: &str) -> Result<RuntimeDir> {
    RuntimeDir::open(wanted, xdg_runtime_dir, workspace).map_err(|error| match error.class {
        Class::TryAgain => error.fix("it revokes all that is its own at its end, so stop it instead"),
        _ => error,
    })
}

fn say(text: &str) {
    outlet::stdout().push(format!("{text}\n").as_bytes());
}
