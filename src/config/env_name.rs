//! Names of environment variables that credentials may be published as.

use super::{
    forms::{Complaint, Read},
    keys,
};

/// Variables that programs or shells act on by themselves. A credential there would break them, or worse: its value
/// would be taken for a path, a command or an option.
const TAKEN: &[&str] = &[
    "ALL_PROXY",
    "CDPATH",
    "COLUMNS",
    "DISPLAY",
    "EDITOR",
    "EGID",
    "ENV",
    "EUID",
    "GID",
    "HISTFILE",
    "HOME",
    "HOSTNAME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "LANG",
    "LANGUAGE",
    "LINES",
    "LOGNAME",
    "MAIL",
    "MAILPATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NO_PROXY",
    "OLDPWD",
    "OPENSSL_CONF",
    "OPTARG",
    "OPTIND",
    "PAGER",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PPID",
    "PROMPT_COMMAND",
    "PS1",
    "PS2",
    "PS4",
    "PWD",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RANDOM",
    "REQUESTS_CA_BUNDLE",
    "RUBYLIB",
    "RUBYOPT",
    "SECONDS",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TEMP",
    "TERM",
    "TMP",
    "TMPDIR",
    "TZ",
    "UID",
    "USER",
    "VISUAL",
    "_",
];

/// Families of such variables, by their beginning.
const TAKEN_PREFIXES: &[&str] = &["BASH_", "DYLD_", "FISH_", "GIT_", "GITPOD_", "LC_", "LD_", "XDG_"];

/// Variables that shells have of themselves, besides those above: read-only ones stop the reading of an env file, others
/// change on their own, or change how the shell works. `tests/env_readers/` asks each shell for its list.
const OF_SHELLS: &[&str] = &[
    // bash, and those that dash, busybox and others share with it
    "BASH BASHOPTS BASHPID COMP_WORDBREAKS DIRSTACK EPOCHREALTIME EPOCHSECONDS FUNCNAME FUNCNEST GLOBIGNORE GROUPS HISTCMD",
    "HISTCONTROL HISTFILESIZE HISTIGNORE HISTSIZE HISTTIMEFORMAT HOSTTYPE IGNOREEOF INPUTRC LINENO MACHTYPE MAILCHECK",
    "MAPFILE OPTERR OSTYPE PIPESTATUS POSIXLY_CORRECT PS3 READLINE_LINE READLINE_POINT REPLY SRANDOM TIMEFORMAT TMOUT",
    // zsh, whose lists have small names
    "ARGC CPUTYPE ERRNO FIGNORE FPATH HISTCHARS HOST KEYBOARD_HACK KEYTIMEOUT LISTMAX LOGCHECK MANPATH MODULE_PATH NULLCMD",
    "POSTEDIT PROMPT PROMPT2 PROMPT3 PROMPT4 PROMPT_EOL_MARK PSVAR READNULLCMD REPORTMEMORY REPORTTIME RPROMPT RPROMPT2 RPS1",
    "RPS2 SAVEHIST SPROMPT STTY TERMINFO TIMEFMT TMPPREFIX TMPSUFFIX TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT TTY TTYIDLE USERNAME",
    "VENDOR WATCH WATCHFMT WORDCHARS ZBEEP ZDOTDIR ZLE_LINE_ABORTED",
    "aliases argv builtins cdpath commands dirstack fignore fpath funcfiletrace funcsourcetrace funcstack functions",
    "functions_source functrace galiases histchars history historywords jobdirs jobstates jobtexts keymaps mailpath manpath",
    "module_path modules nameddirs options parameters patchars path pipestatus prompt psvar reply reswords saliases signals",
    "status termcap terminfo userdirs usergroups watch widgets",
    // fish
    "CMD_DURATION hostname status_generation umask version",
];

/// Families of them, by their beginning.
const OF_SHELLS_PREFIXES: &[&str] = &["ZSH_", "__fish_", "dis_", "fish_", "zsh_"];

/// A shape that every shell takes: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn shape(text: &str) -> Read<String> {
    let is_fine = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.len() <= 128;
    if is_fine {
        return Ok(text.to_owned());
    }
    Err(Complaint::new("allowed are letters, digits and _, not beginning with a digit"))
}

/// A name that a credential may have: of the right shape, and nobody else's.
pub fn free(text: &str) -> Read<String> {
    let name = shape(text)?;
    // The proxies' variables are read in both cases, so case is no way around.
    let upper = name.to_ascii_uppercase();
    let ours = upper == "APIM_GATEWAY_URL" || upper.starts_with(keys::PREFIX);
    let settings = keys::KEYS.iter().any(|key| key.aliases.contains(&upper.as_str()));
    if ours || settings {
        return Err(Complaint::new(format!(
            "{name} has its own meaning for apim-agent; allowed is any other name"
        )));
    }
    let taken =
        TAKEN.contains(&upper.as_str()) || TAKEN_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    let of_shells = OF_SHELLS.iter().flat_map(|line| line.split(' ')).any(|known| known == name)
        || OF_SHELLS_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if taken || of_shells {
        return Err(Complaint::new(format!(
            "shells and programs act on {name}; allowed is a name that nothing else uses"
        )));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names() {
        for good in [
            "ORDERS_TOKEN",
            "_x9",
            "orders",
            "APIM_ACCESS_TOKEN",
            "APIM_SUBSCRIPTION_KEY",
            "PATHS",
            "AZURE_TOKEN",
            "STATUS",
        ] {
            assert_eq!(free(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn names_with_a_meaning() {
        for bad in [
            "PATH",
            "HOME",
            "LD_PRELOAD",
            "LD_ANYTHING",
            "https_proxy",
            "BASH_ENV",
            "IFS",
            "_",
            "APIM_GATEWAY_URL",
            "APIM_AGENT_GENERATION",
            "apim_agent_x",
            "AZURE_TENANT_ID",
            "GIT_SSH_COMMAND",
            "status",
            "HISTSIZE",
            "ZSH_VERSION",
        ] {
            assert!(free(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shapes() {
        for bad in ["", "9A", "A-B", "A B", "A=B", "Ä", "A\n", "A;B"] {
            assert!(shape(bad).is_err(), "{bad:?}");
        }
    }
}
