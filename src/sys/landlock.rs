//! Landlock: the kernel keeps this process, and what it starts, from files that it has no business with.
//! <https://docs.kernel.org/userspace-api/landlock.html>

use ::landlock::{
    ABI, Access as _, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// The file rights that are governed. ABI 6 and 7 brought none; on an older kernel those that it does not know are left out.
const RIGHTS: ABI = ABI::V5;

/// What the process may do; everything else that touches a file's content, or a folder's, is refused. Files stand for
/// themselves, folders for all that is below them. One that is not there is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// To be read.
    pub read: Vec<PathBuf>,
    /// To be read and executed.
    pub execute: Vec<PathBuf>,
    /// To be read, and written, made and removed below.
    pub write: Vec<PathBuf>,
    /// Empty folders may be made and removed below.
    pub folders: Vec<PathBuf>,
}

/// The ABI in force, or why there is none.
static OUTCOME: Mutex<Option<Result<u8, String>>> = Mutex::new(None);

/// The ABI in force, or why none is.
pub(super) fn outcome() -> Result<u8, String> {
    let outcome = OUTCOME.lock().unwrap_or_else(PoisonError::into_inner).clone();
    outcome.unwrap_or_else(|| Err("not for this command".to_owned()))
}

/// Says why this process stays unconfined.
pub fn renounce(why: &str) {
    note(Err(why.to_owned()));
}

/// Confines the calling thread and all that it starts from now on. It cannot be undone. Whether it is in force: where the
/// kernel does not have it, the process goes on without, and `status` says so.
pub fn confine(rules: &Rules) -> bool {
    let outcome = match apply(rules) {
        Ok((RulesetStatus::NotEnforced, _)) => {
            Err("this kernel does not have it, or has it switched off".to_owned())
        }
        Ok((_, abi)) => Ok(abi),
        Err(error) => Err(error.to_string()),
    };
    let is_confined = outcome.is_ok();
    note(outcome);
    is_confined
}

fn note(outcome: Result<u8, String>) {
    *OUTCOME.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
}

fn apply(rules: &Rules) -> Result<(RulesetStatus, u8), RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let folders: BitFlags<AccessFs> = AccessFs::MakeDir | AccessFs::RemoveDir | AccessFs::ReadDir;
    // The guard is this program started once more. What is at its path may be a newer one.
    let own = PathFd::new("/proc/self/exe")
        .ok()
        .map(|own| PathBeneath::new(own, AccessFs::ReadFile | AccessFs::Execute));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(RIGHTS))?
        .create()?
        .add_rules(path_beneath_rules(&rules.read, read))?
        .add_rules(path_beneath_rules(&rules.execute, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(&rules.write, AccessFs::from_all(RIGHTS) & !AccessFs::Execute))?
        .add_rules(path_beneath_rules(&rules.folders, folders))?
        .add_rules(own.into_iter().map(Ok::<_, RulesetError>))?
        .restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            u8::try_from(kernel_abi.unwrap_or(effective_abi as i32)).unwrap_or(u8::MAX)
        }
        _ => 0,
    };
    Ok((status.ruleset, abi))
}
