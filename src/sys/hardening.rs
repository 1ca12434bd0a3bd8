//! What holds of the hardening in this process, as the kernel tells it: for `status`, as data and in words.

use super::landlock;
use crate::secret;
use nix::{
    errno::Errno,
    sys::{
        prctl::{get_dumpable, get_no_new_privs},
        resource::{Resource, getrlimit},
    },
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What holds of it. Each is asked of the kernel, and one that cannot be asked does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardening {
    /// `/proc/PID/mem`, `environ` and `fd` and ptrace are closed to other processes of this user.
    pub not_dumpable: bool,
    /// The soft limit of a core file's size is 0.
    pub no_core_files: bool,
    /// Neither the agent nor what it starts gains rights by `execve`.
    pub no_new_privileges: bool,
    /// Secrets in pages that are locked in RAM, and left out of core files and forks.
    pub locked_secrets: usize,
    /// Secrets on the heap, where they may be swapped out.
    pub unlocked_secrets: usize,
    /// Why those are not locked; `null` when all are.
    pub not_locked_because: Option<String>,
    /// The ABI of the Landlock rules that confine the agent's files; `null` when none do.
    pub landlock: Option<u8>,
    /// Why none do; `null` when they do.
    pub no_landlock_because: Option<String>,
}

impl Hardening {
    /// As it is at this moment.
    pub fn now() -> Self {
        let counted = secret::locked();
        let landlock = landlock::outcome();
        Self {
            not_dumpable: get_dumpable() == Ok(false),
            no_core_files: getrlimit(Resource::RLIMIT_CORE).is_ok_and(|(soft, _)| soft == 0),
            no_new_privileges: get_no_new_privs() == Ok(true),
            locked_secrets: counted.locked,
            unlocked_secrets: counted.heap,
            not_locked_because: (counted.heap > 0).then(|| why_not_locked(counted.refusal)),
            landlock: landlock.as_ref().ok().copied(),
            no_landlock_because: landlock.err(),
        }
    }
}

fn why_not_locked(refusal: Option<i32>) -> String {
    let Some(errno) = refusal.map(Errno::from_raw) else {
        return "there are more than the agent locks at most".to_owned();
    };
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((0, _)) => "RLIMIT_MEMLOCK is 0".to_owned(),
        Ok((bytes, _)) if matches!(errno, Errno::ENOMEM | Errno::EAGAIN | Errno::EPERM) => {
            format!("RLIMIT_MEMLOCK is {bytes} bytes")
        }
        _ => format!("the kernel refuses it: {}", errno.desc()),
    }
}

/// What holds, then what does not and why: `not dumpable, no core files, 9 secrets locked in RAM; no Landlock: ...`.
impl fmt::Display for Hardening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut holds, mut lacks) = (Vec::new(), Vec::new());
        for (does, yes, no) in [
            (self.not_dumpable, "not dumpable", "dumpable"),
            (self.no_core_files, "no core files", "core files are possible"),
            (self.no_new_privileges, "no new privileges", "programs may gain privileges"),
        ] {
            if does { holds.push(yes.to_owned()) } else { lacks.push(no.to_owned()) }
        }
        match self.locked_secrets {
            0 => {}
            1 => holds.push("1 secret locked in RAM".to_owned()),
            count => holds.push(format!("{count} secrets locked in RAM")),
        }
        if let Some(why) = &self.not_locked_because {
            lacks.push(format!("{} not locked: {why}", self.unlocked_secrets));
        }
        if let Some(abi) = self.landlock {
            holds.push(format!("Landlock {abi}"));
        }
        if let Some(why) = &self.no_landlock_because {
            lacks.push(format!("no Landlock: {why}"));
        }
        f.write_str(&holds.join(", "))?;
        for lack in lacks {
            write!(f, "; {lack}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words_it_says_what_holds_and_what_does_not_and_why() {
        let all = Hardening {
            not_dumpable: true,
            no_core_files: true,
            no_new_privileges: true,
            locked_secrets: 9,
            landlock: Some(7),
            ..Hardening::default()
        };
        assert_eq!(
            all.to_string(),
            "not dumpable, no core files, no new privileges, 9 secrets locked in RAM, Landlock 7"
        );
        let some = Hardening {
            no_new_privileges: false,
            locked_secrets: 1,
            unlocked_secrets: 2,
            not_locked_because: Some("RLIMIT_MEMLOCK is 0".to_owned()),
            landlock: None,
            no_landlock_because: Some("this kernel has none".to_owned()),
            ..all
        };
        assert_eq!(
            some.to_string(),
            "not dumpable, no core files, 1 secret locked in RAM; programs may gain privileges; 2 not locked: \
             RLIMIT_MEMLOCK is 0; no Landlock: this kernel has none"
        );
    }
}
