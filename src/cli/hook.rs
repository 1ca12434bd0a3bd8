//! `hook`: code for a shell's rc file. The code itself lies in `hook/`; here it learns which program to ask, and how.

use super::{ambient::Ambient, args, running};
use crate::{
    error::{Class, Error, Result},
    lifecycle::status::Status,
    sink::candidates::{folder_name, hideouts},
};
use std::{io::Write as _, path::PathBuf, process::ExitCode};

pub(super) fn hook(command: args::Hook, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let text = match command.shell {
        args::Shell::Where => places(global, ambient)?,
        args::Shell::Fish => code(include_str!("hook/hook.fish"), global, ambient, quote_fish)?,
        args::Shell::Direnv => code(include_str!("hook/direnv.sh"), global, ambient, quote)?,
        args::Shell::Bash => {
            let common = include_str!("hook/common.sh").to_owned();
            code(&(common + include_str!("hook/hook.bash")), global, ambient, quote)?
        }
        args::Shell::Zsh => {
            let common = include_str!("hook/common.sh").to_owned();
            code(&(common + include_str!("hook/hook.zsh")), global, ambient, quote)?
        }
    };
    // Nobody reading is a shell that has gone.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// The env file of the agent that runs, in a folder that was proved to be ours; an empty line without one. Then each
/// path where one may appear: whoever sees a file there asks again, and does not read it unproved.
fn places(global: &args::Global, ambient: &Ambient) -> Result<String> {
    let found = match running(global, ambient)? {
        // Its own word for the path counts only while it publishes there.
        Some(agent) => {
            super::block_on(agent.status()).ok().filter(is_published).map(|status| status.env_file)
        }
        None => None,
    };
    let place = ambient.place(global)?;
    let xdg = ambient.xdg_runtime_dir();
    let uid = nix::unistd::Uid::effective().as_raw();
    let folder = folder_name(&place.workspace);
    let mut text = found.unwrap_or_default() + "\n";
    for candidate in hideouts(place.runtime_dir.as_deref(), xdg.as_deref(), uid) {
        text += &candidate.base.join(&folder).join("env").display().to_string();
        text.push('\n');
    }
    Ok(text)
}

fn is_published(status: &Status) -> bool {
    status.phase == crate::lifecycle::status::Stage::Published
}

/// `template` with the words of the command that it asks in place of `@ASK@`.
fn code(
    template: &str,
    global: &args::Global,
    ambient: &Ambient,
    quote: fn(&str) -> String,
) -> Result<String> {
    let program = std::env::current_exe().map_err(|error| {
        Error::new(Class::Internal, "cannot tell where apim-agent itself is").why(error.to_string())
    })?;
    // The shell asks from wherever it stands, so a relative path would mean another place there.
    let absolute = |path: PathBuf| ambient.folder().join(path).display().to_string();
    let mut words = vec![absolute(program)];
    let given = [
        ("--config", global.config.clone().map(absolute)),
        ("--workspace", global.workspace.clone()),
        ("--runtime-dir", global.runtime_dir.clone().map(|path| absolute(path.into()))),
    ];
    for (flag, value) in given {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    words.extend(["--log", "off", "hook", "where"].map(str::to_owned));
    let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
    Ok(template.replace("@ASK@", &words.join(" ")))
}

/// A word for bash, zsh and direnv.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A word for fish, where a backslash between single quotes escapes.
fn quote_fish(word: &str) -> String {
    format!("'{}'", word.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted() {
        assert_eq!(quote("a'b $c"), r"'a'\''b $c'");
        assert_eq!(quote_fish(r"a'b\c"), r"'a\'b\\c'");
    }
}
