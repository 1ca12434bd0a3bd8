//! What the process may still do with files: Landlock, <https://docs.kernel.org/userspace-api/landlock.html>.

use crate::error::{Class, Error, Result};
use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use std::path::PathBuf;

/// The rights that are taken away where they are not given back. A kernel that knows fewer takes away those that it knows.
const RIGHTS: ABI = ABI::V5;

/// The files and folders that are needed; all below a folder is meant, and what does not exist is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// To be read.
    pub read: Vec<PathBuf>,
    /// To be read and run: programs, their loader and libraries.
    pub run: Vec<PathBuf>,
    /// To be read, written, made and removed.
    pub write: Vec<PathBuf>,
    /// Of which an empty folder may be removed.
    pub tidy: Vec<PathBuf>,
}

/// Whether it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confined {
    /// By Landlock of this ABI version, with all the rights that we mean.
    Wholly(u32),
    /// The kernel's is older and knows some of the rights only.
    Partly(u32),
    /// The kernel has none.
    No,
}

/// Confines this thread, and all that it starts from now on, to `reach`. It cannot be taken back. Like everything that is
/// confined it gets no new privileges by running a program (`PR_SET_NO_NEW_PRIVS`).
///
/// Threads that exist already stay as they are.
///
/// # Errors
/// The kernel has it, and refuses.
pub fn confine(reach: &Reach) -> Result<Confined> {
    let status = restrict(reach).map_err(|error| {
        Error::new(Class::Internal, "the kernel does not let the agent confine itself").why(error.to_string())
    })?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            kernel_abi.unwrap_or(effective_abi as i32).unsigned_abs()
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => return Ok(Confined::No),
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confined::Wholly(abi),
        RulesetStatus::PartiallyEnforced => Confined::Partly(abi),
        RulesetStatus::NotEnforced => Confined::No,
    })
}

fn restrict(reach: &Reach) -> std::result::Result<RestrictionStatus, landlock::RulesetError> {
    let all = AccessFs::from_all(RIGHTS);
    let run = AccessFs::from_read(RIGHTS);
    let read: BitFlags<AccessFs> = run & !BitFlags::from(AccessFs::Execute);
    Ruleset::default()
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(&reach.read, read))?
        .add_rules(path_beneath_rules(&reach.run, run))?
        .add_rules(path_beneath_rules(&reach.write, all & !BitFlags::from(AccessFs::Execute)))?
        .add_rules(path_beneath_rules(&reach.tidy, AccessFs::RemoveDir))?
        .restrict_self()
}
