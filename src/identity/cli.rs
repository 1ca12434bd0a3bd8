//! The platforms' own command-line tools as sources: found on the `PATH`, then run as any other command.

use super::{IdToken, Miss, process, select::Lookup};
use crate::error::{Class, Error};
use std::{os::unix::fs::PermissionsExt as _, time::Duration};

/// What all sources that run a command are made of.
#[derive(Clone)]
pub struct Runner {
    /// Variables: what tells the platform, and the `PATH`.
    pub lookup: Lookup,
    /// How long a command may take.
    pub deadline: Duration,
}

impl Runner {
    /// The variable `name`; an empty one counts as not set, as everywhere.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Whether the platform says of itself that it is here: `name` is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| value == "true")
    }

    /// The whole path of the first of `programs` that is on the `PATH`.
    pub(super) fn on_path(&self, programs: &[&str]) -> Option<String> {
        let path = self.variable("PATH")?;
        // Relative entries would find another program in each folder.
        let folders = || path.split(':').filter(|folder| folder.starts_with('/'));
        let is_program = |path: &String| {
            std::fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        programs
            .iter()
            .find_map(|program| folders().map(|folder| format!("{folder}/{program}")).find(is_program))
    }

    /// The id token that `program` prints when it is called with `arguments`.
    pub(super) async fn id_token(&self, program: &str, arguments: &[&str]) -> Result<IdToken, Miss> {
        let argv: Vec<String> =
            std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect();
        process::id_token(&argv, self.deadline).await.map_err(Miss::Broken)
    }
}

/// The platform is here, and the tool that belongs to it is not.
pub(super) fn no_tool(platform: &str, detected_by: &str, tool: &str, fix: &str) -> Miss {
    Miss::Broken(
        Error::new(Class::Config, format!("{platform} gives no id token: {tool} is not on the PATH"))
            .why(format!("{detected_by} says that this is {platform}, whose tokens come from {tool}"))
            .fix(fix),
    )
}

#[cfg(test)]
mod tests {
    use crate::identity::testing::{runner, stand_in};

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(one.path().join("tool"), "not executable").unwrap();
        std::fs::create_dir(one.path().join("folder")).unwrap();
        stand_in(two.path(), "tool", "true");
        let find = |path: &str, programs: &[&str]| runner(&[("PATH", path)]).on_path(programs);
        let [one, two] = [&one, &two].map(|folder| folder.path().to_str().unwrap().to_owned());
        assert_eq!(find(&format!("{one}:{two}"), &["none", "tool"]), Some(format!("{two}/tool")));
        assert_eq!(find(&one, &["tool", "folder"]), None);
        assert_eq!(find("", &["sh"]), None);
        assert_eq!(find(".:src", &["sh"]), None);
    }
}
