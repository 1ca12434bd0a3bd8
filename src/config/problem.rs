//! What is wrong with a setting, and how all that is wrong becomes one error.

use super::{FILE_NAME, keys};
use crate::error::{Class, Error};
use std::{fmt, sync::Arc};

/// Where a value comes from. Shown as `apim-agent.toml:14`, `variable AZURE_TENANT_ID`, `flag --set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line: the flag's name.
    Flag(&'static str),
    /// The environment: the variable's name.
    Variable(String),
    /// The file, with the line, counted from 1.
    File {
        /// The file's name as messages show it.
        name: Arc<str>,
        /// The line of the value.
        line: usize,
    },
    /// Nobody set it: what it was derived from.
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(name) => write!(f, "variable {}", readable(name)),
            Self::File { name, line } => write!(f, "{}:{line}", readable(name)),
            Self::Default(source) => f.write_str(source),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting it is about: further complaints about the same one would be noise.
    pub key: String,
    /// Where; `None` where something is missing everywhere.
    pub origin: Option<Origin>,
    /// What is wrong, in one line.
    pub what: String,
    /// What is allowed.
    pub allowed: String,
    /// What to write instead.
    pub fix: String,
}

impl Problem {
    fn why(&self) -> String {
        match &self.origin {
            Some(origin) => format!("{origin}: {}", self.allowed),
            None => self.allowed.clone(),
        }
    }
}

/// All problems as one error: a single one in its three parts, several as a list in the order of the file.
///
/// Whatever of a setting has found its way into a text, be it as an example of how to write it, steers no terminal.
pub fn report(mut problems: Vec<Problem>) -> Error {
    problems.sort_by_key(|problem| match problem.origin {
        Some(Origin::File { line, .. }) => line,
        Some(_) => 0,
        None => usize::MAX,
    });
    if let [problem] = problems.as_slice() {
        let [what, why, fix] = [&problem.what, &problem.why(), &problem.fix].map(|text| readable(text));
        return Error::new(Class::Config, what).why(why).fix(fix);
    }
    let list: Vec<String> = problems
        .iter()
        .map(|Problem { origin, what, allowed, fix, .. }| match origin {
            Some(origin) => format!("{origin}: {what}; {allowed}; {fix}"),
            None => format!("{what}; {allowed}; {fix}"),
        })
        .map(|line| format!("\n  {}", readable(&line)))
        .collect();
    Error::new(Class::Config, format!("the configuration has {} problems", problems.len()))
        .why(list.concat())
        .fix("correct them all")
}

/// An example of setting `path` to `value`, in the way in which it was set.
pub fn example(origin: Option<&Origin>, path: &str, value: &str) -> String {
    let (table, leaf) = path.rsplit_once('.').unwrap_or(("", path));
    let key = keys::find(path);
    // A list is TOML as it stands, and wants quotes in a shell.
    let (in_file, in_shell) = match key {
        Some(key) if key.is_list() => (value.to_owned(), "'"),
        Some(key) if key.is_flag() => (value.to_owned(), ""),
        _ => (format!("\"{value}\""), ""),
    };
    match origin {
        Some(Origin::File { .. }) => format!("for example: {leaf} = {in_file}"),
        Some(Origin::Variable(name)) => format!("for example: {name}={in_shell}{value}{in_shell}"),
        Some(Origin::Flag("--set" | "--emulator")) => {
            format!("for example: --set {in_shell}{path}={value}{in_shell}")
        }
        Some(Origin::Flag(flag)) => format!("for example: {flag} {value}"),
        Some(Origin::Default(_)) | None => {
            let under = if table.is_empty() { String::new() } else { format!(" under [{table}]") };
            let alias = keys::find(path).and_then(|key| key.aliases.first());
            let variable = alias.map_or_else(|| keys::variable(path), |&name| name.to_owned());
            format!("for example: {leaf} = {in_file}{under} in {FILE_NAME}, or the variable {variable}")
        }
    }
}

/// A name from outside, safe to print: what a terminal would act on, or not show, is escaped.
pub fn readable(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            // Visible as they are.
            '\'' | '"' | '\\' => text.push(c),
            _ => text.extend(c.escape_debug()),
        }
    }
    text
}

/// `value` for a message: quoted, escaped, cut, and not at all when it looks like key material or a token.
///
/// Nobody should put a secret into a setting; who does must not find it in a log besides.
pub fn shown(value: &str) -> String {
    const LONGEST: usize = 200;
    let is_run = |c: char| c.is_ascii_alphanumeric() || "+_=~.".contains(c);
    let is_secret = value.split(|c| !is_run(c)).any(|run| {
        run.len() >= 24 && run.chars().filter(char::is_ascii_digit).count() >= 2 || run.starts_with("eyJ")
    });
    let length = value.chars().count();
    if is_secret || length > LONGEST {
        return format!("a text of {length} characters (not shown)");
    }
    format!("\"{}\"", value.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_what_is_harmless_and_nothing_that_may_be_secret() {
        for harmless in ["accesstoken", "https://login.partner.microsoftonline.cn", "a\"b"] {
            assert_eq!(shown(harmless), format!("{harmless:?}"));
        }
        let guid = "3f2b8e6a-91c4-4d7e-8a35-6b0f4c9d1e22";
        assert!(shown(guid).contains(guid));
        for secret in [
            "0123456789abcdef0123456789abcdef",
            "eyJhbGciOiJSUzI1NiJ9",
            "Abc8Q~9xYz.7aBcDeFgHiJkLmNoPqRsTuV1",
        ] {
            assert!(!shown(secret).contains(&secret[..6]), "{}", shown(secret));
        }
    }

    #[test]
    fn a_name_steers_no_terminal() {
        let name: Arc<str> = Arc::from("it's/\u{1b}]0;x\u{7}/\u{202e}");
        assert_eq!(Origin::File { name, line: 3 }.to_string(), "it's/\\u{1b}]0;x\\u{7}/\\u{202e}:3");
        let origin = Origin::Variable("APIM_AGENT_\u{b}".to_owned());
        assert_eq!(origin.to_string(), "variable APIM_AGENT_\\u{b}");
        let text = |words: &str| format!("{words}\u{1}");
        let [what, allowed, fix] = ["what", "allowed", "fix"].map(text);
        let problem = Problem { key: String::new(), origin: Some(origin), what, allowed, fix };
        for problems in [vec![problem.clone()], vec![problem.clone(), problem]] {
            let error = report(problems).to_string();
            assert!(error.contains("fix\\u{1}"), "{error}");
            assert!(!error.contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
        }
    }

    proptest! {
        /// No key that we or APIM draw can come back out.
        #[test]
        fn keys_are_never_shown(key in "[0-9a-f]{32,64}") {
            prop_assume!(key.chars().filter(char::is_ascii_digit).count() >= 2);
            let url = format!("https://host/?subscription-key={key}");
            prop_assert!(!shown(&key).contains(&key));
            prop_assert!(!shown(&url).contains(&key));
        }
    }
}
