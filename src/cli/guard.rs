//! What the guard does, and says on the agent's standard error, when the agent has died. See [`crate::lifecycle::guard`].

use super::{ambient::Ambient, block_on, outlet, release::clean_up, tell};
use crate::{
    error::Result,
    identity::prompt::Person,
    lifecycle::guard::{Fate, Post, stand},
    sys,
};
use std::{process::ExitCode, sync::Arc};

/// Stands until the agent has ended or died; then cleans up.
pub(super) fn main(post: &Post) -> ExitCode {
    let code = guard(post).unwrap_or_else(|error| {
        tell(&error);
        error.exit_code().into()
    });
    // No thread of its own for what is printed: it is written here.
    outlet::flush();
    code
}

fn guard(post: &Post) -> Result<ExitCode> {
    sys::harden()?;
    let (wiped, directory) = match stand(post)? {
        Fate::Dismissed => return Ok(ExitCode::SUCCESS),
        Fate::Orphaned { wiped, directory } => (wiped, directory),
    };
    outlet::stderr()
        .push(format!("apim-agent: the agent of {} was killed\n", post.path().display()).as_bytes());
    match wiped {
        Ok(files) => say(&format!("{:<10} {files} file{}", "wiped", if files == 1 { "" } else { "s" })),
        Err(error) => tell(&error),
    }
    outlet::flush();
    let directory = directory?;
    let ambient = Ambient::read()?;
    block_on(async {
        // Nobody is asked to sign in by a process that nobody knows of: such a source refuses, and the journal stays.
        let (person, end) = Person::new(Arc::new(|_| {}));
        end.begin();
        clean_up(*directory, ambient.lookup(), &person, &say).await
    })
}

fn say(text: &str) {
    outlet::stderr().push(format!("apim-agent: {text}\n").as_bytes());
}
