//! The published set as text for a reader. Pure; buffers that hold secrets are as long as needed from the start, and
//! are overwritten when dropped.
//!
//! The file is plain `NAME=value` lines, unquoted, since that is what all of sh, bash, dash, zsh, busybox, Docker,
//! Compose, systemd, python-dotenv and node's `--env-file` read alike. There is no quoting that they agree on, so a value
//! outside the alphabet that needs none is refused rather than bent. `export` would lose Docker and systemd: whoever
//! wants the variables in child processes writes `set -a; . FILE; set +a` or uses `apim-agent env`.

use crate::{
    clock,
    error::{Class, Error, Result},
    secret::{Secret, assemble},
    sink::Missing,
};
use std::{fmt, time::SystemTime};
use zeroize::Zeroizing;

/// Always in the file: the gateway's base URL.
pub const GATEWAY_URL: &str = "APIM_GATEWAY_URL";
/// The variable with the URL of `[gateways.NAME]`: `APIM_GATEWAY_URL_NAME`, in capitals.
pub fn gateway_variable(name: &str) -> String {
    format!("{GATEWAY_URL}_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Always in the file: the number of the set.
pub const GENERATION: &str = "APIM_AGENT_GENERATION";
/// Always in the file: when the first value in it expires, RFC 3339 in UTC. Empty while it holds no credential: a time
/// in the past would be read as "expired values", of which there are none.
pub const EXPIRES_AT: &str = "APIM_AGENT_EXPIRES_AT";

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The published file: a comment, then `NAME=value`.
    File,
    /// `NAME=value`, for dotenv readers.
    Dotenv,
    /// The same, for `docker run --env-file`: pkg/kvfile of docker/cli takes all after the first `=` as it stands.
    Docker,
    /// The same, for `EnvironmentFile=` of systemd.exec(5): no quotes, backslashes or comments to be misread.
    Systemd,
    /// The same, to append to `$GITHUB_ENV`: no value spans lines, so that none needs a delimiter.
    GitHub,
    /// `export NAME=value`, for `eval "$(apim-agent env)"`.
    Sh,
    /// `set -gx NAME value`, for `apim-agent env --format fish | source`.
    Fish,
    /// `$env:NAME = 'value'`, for `apim-agent env --format powershell | Out-String | Invoke-Expression`.
    PowerShell,
    /// One object of strings.
    Json,
}

/// What is published.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// The gateway's base URL.
    pub gateway_url: &'a str,
    /// The number of the set.
    pub generation: u64,
    /// When the first value expires; `None` when there is none.
    pub expires_at: Option<SystemTime>,
    /// Variables and values, in the configuration's order.
    pub values: &'a [(&'a str, &'a Secret)],
    /// The credentials that have no valid value.
    pub missing: &'a [Missing<'a>],
}

/// Not `Debug` by derive: the values are secrets.
impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.values.iter().map(|(name, _)| name).collect();
        write!(f, "Content(generation {}, {names:?})", self.generation)
    }
}

/// The variables that are there besides the credentials.
pub fn fixed(
    gateway_url: &str,
    generation: u64,
    expires_at: Option<SystemTime>,
) -> [(&'static str, String); 3] {
    [
        (GATEWAY_URL, gateway_url.to_owned()),
        (GENERATION, generation.to_string()),
        (EXPIRES_AT, expires_at.map(clock::rfc3339).unwrap_or_default()),
    ]
}

/// The text for that reader.
///
/// Errors: [`Class::Config`] for a name or a value that some reader would not take as it stands; it names the variable
/// and never the value.
pub fn render(format: Format, content: &Content<'_>) -> Result<Zeroizing<Vec<u8>>> {
    let fixed = fixed(content.gateway_url, content.generation, content.expires_at);
    let values = content.values.iter().map(|(name, secret)| (*name, secret.expose()));
    let lines: Vec<(&str, &str)> =
        fixed.iter().map(|(name, value)| (*name, value.as_str())).chain(values).collect();
    for (name, value) in &lines {
        check_name(name)?;
        check_value(name, value)?;
    }
    let reasons: Vec<_> = content.missing.iter().map(|missing| missing.why.map(comment)).collect();
    Ok(assemble(|put| {
        if format == Format::File {
            put(
                "# Written by apim-agent and replaced as a whole at each change: read it again for newer values.\n",
            );
            for (missing, why) in content.missing.iter().zip(&reasons) {
                put("# ");
                put(missing.env);
                put(" has no valid value at the moment");
                if let Some(why) = why {
                    put(": ");
                    put(why);
                }
                put("; `apim-agent status` says more.\n");
            }
        }
        let (before, between, after) = match format {
            Format::File | Format::Dotenv | Format::Docker | Format::Systemd | Format::GitHub => {
                ("", "=", "\n")
            }
            Format::Sh => ("export ", "=", "\n"),
            Format::Fish => ("set -gx ", " ", "\n"),
            // Between single quotes nothing but a single quote means anything, and no value holds one.
            Format::PowerShell => ("$env:", " = '", "'\n"),
            Format::Json => ("\"", "\":\"", "\""),
        };
        if format == Format::Json {
            put("{");
        }
        for (index, (name, value)) in lines.iter().enumerate() {
            if format == Format::Json && index > 0 {
                put(",");
            }
            // In fish no word at all would set an empty list.
            let value = if format == Format::Fish && value.is_empty() { "''" } else { value };
            [before, name, between, value, after].into_iter().for_each(&mut *put);
        }
        if format == Format::Json {
            put("}\n");
        }
    }))
}

/// `text` as part of one comment that no reader takes for anything else: short, on one line, and of an alphabet in which
/// nothing is quoted, escaped, expanded or assigned. It may hold a service's words.
fn comment(text: &str) -> String {
    const LONGEST: usize = 160;
    let plain = |byte: char| byte.is_ascii_alphanumeric() || " ._/+:%@,-()".contains(byte);
    let mut safe: String =
        text.chars().take(LONGEST).map(|letter| if plain(letter) { letter } else { '?' }).collect();
    if text.chars().nth(LONGEST).is_some() {
        safe.push_str("...");
    }
    safe
}

/// Whether `name` is a variable's name everywhere: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn check_name(name: &str) -> Result<()> {
    let good = |(index, byte): (usize, u8)| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'_' => true,
        b'0'..=b'9' => index > 0,
        _ => false,
    };
    if !name.is_empty() && name.bytes().enumerate().all(good) {
        return Ok(());
    }
    Err(Error::new(Class::Config, format!("{name:?} is not a variable's name"))
        .why("a name is a letter or _, then letters, digits and _")
        .fix("for example: env = \"ORDERS_TOKEN\""))
}

/// Whether every reader takes `value` unquoted as it stands: `[A-Za-z0-9._/+=:~%@,!-]`, which tokens, keys, URLs, times
/// and most passwords consist of, up to a line that Docker still reads.
///
/// Some of them mean something in certain places, and are refused there:
/// - `=` at the start or after a colon: zsh replaces `=word` by the path of a command,
/// - `~` at the start or after a colon: shells replace `~word` by a home folder,
/// - `%` at the start: fish replaces `%self` by its process id.
///
/// `tests/env_readers/` runs the readers on thousands of values, and shows for each character that is left out which of
/// them makes something else of it.
pub fn check_value(name: &str, value: &str) -> Result<()> {
    let refused = |why: &str, fix: &str| {
        Err(Error::new(Class::Config, format!("the value for {name} cannot be published")).why(why).fix(fix))
    };
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+=:~%@,!-".contains(&byte);
    let expands = value.starts_with(['=', '~', '%']) || [":=", ":~"].iter().any(|pair| value.contains(pair));
    if !value.bytes().all(safe) || expands {
        return refused(
            "it holds a character that shells and dotenv readers do not agree on",
            "allowed are letters, digits and . _ / + = : ~ % @ , ! - (no = ~ % at the start, no = ~ after a colon)",
        );
    }
    if name.len() + value.len() + "=\n".len() >= LONGEST_LINE {
        return refused(
            "it is longer than the lines that Docker reads",
            "allowed are somewhat less than 64 KiB",
        );
    }
    Ok(())
}

/// Docker's `--env-file` is read with Go's `bufio.Scanner`, whose buffer has to hold a line and its end
/// (`MaxScanTokenSize`, <https://github.com/docker/cli/tree/master/pkg/kvfile>). Linux itself takes twice as much in one
/// variable.
const LONGEST_LINE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format, content: &Content<'_>) -> String {
        let bytes = render(format, content).expect("renders");
        assert_eq!(bytes.len(), bytes.capacity(), "never grown, nothing to spare");
        String::from_utf8(bytes.to_vec()).expect("ASCII")
    }

    #[test]
    fn each_format() {
        let (key, token) = (Secret::new("0123abc".to_owned()), Secret::new("eyJ.e-_.=".to_owned()));
        let content = Content {
            gateway_url: "https://contoso.azure-api.net:8443",
            generation: 3,
            expires_at: Some(clock::from_unix(1_795_482_000)),
            values: &[("KEY", &key), ("TOKEN", &token)],
            missing: &[],
        };
        let plain = "APIM_GATEWAY_URL=https://contoso.azure-api.net:8443\nAPIM_AGENT_GENERATION=3\n\
                     APIM_AGENT_EXPIRES_AT=2026-11-24T01:00:00Z\nKEY=0123abc\nTOKEN=eyJ.e-_.=\n";
        assert_eq!(text(Format::Dotenv, &content), plain);
        assert!(text(Format::File, &content).ends_with(plain));
        assert!(text(Format::File, &content).starts_with("# Written by"));
        assert_eq!(
            text(Format::Sh, &content),
            plain.split_inclusive('\n').flat_map(|line| ["export ", line]).collect::<String>()
        );
        let fish = plain.lines().map(|l| format!("set -gx {}\n", l.replacen('=', " ", 1)));
        assert_eq!(text(Format::Fish, &content), fish.collect::<String>());
        for same in [Format::Docker, Format::Systemd, Format::GitHub] {
            assert_eq!(text(same, &content), plain);
        }
        let powershell = plain.lines().map(|line| format!("$env:{}'\n", line.replacen('=', " = '", 1)));
        assert_eq!(text(Format::PowerShell, &content), powershell.collect::<String>());
        let json: serde_json::Value = serde_json::from_str(&text(Format::Json, &content)).expect("JSON");
        assert_eq!(json["TOKEN"], "eyJ.e-_.=");
        assert_eq!(json["APIM_AGENT_GENERATION"], "3");
        assert_eq!(json.as_object().expect("object").len(), 5);
    }

    #[test]
    fn without_any_value_the_expiry_is_empty_and_the_file_says_why() {
        let content = Content {
            gateway_url: "https://g",
            generation: 9,
            expires_at: None,
            values: &[],
            missing: &[Missing { env: "KEY", why: Some("ARM's answer\nKEY=$(id) `x` \\") }],
        };
        let file = text(Format::File, &content);
        assert!(
            file.contains(
                "\n# KEY has no valid value at the moment: ARM?s answer?KEY??(id) ?x? ?; `apim-agent status` says more.\n"
            ),
            "{file}"
        );
        assert_eq!(comment(&"a".repeat(161)), format!("{}...", "a".repeat(160)));
        assert!(text(Format::Dotenv, &content).ends_with("\nAPIM_AGENT_EXPIRES_AT=\n"));
        assert!(text(Format::Fish, &content).ends_with("\nset -gx APIM_AGENT_EXPIRES_AT ''\n"));
    }

    #[test]
    fn what_readers_disagree_on_is_refused_by_name_and_never_shown() {
        let unsafe_values =
            ["a b", "a'b", "a\"b", "$(id)", "`id`", "a\\b", "~/x", "a#b", "a\nb", "é", "a;b", "=ls", "a:=b"];
        for value in unsafe_values {
            let secret = Secret::new(value.to_owned());
            let content = Content {
                gateway_url: "https://g",
                generation: 1,
                expires_at: None,
                values: &[("PARTNER", &secret)],
                missing: &[],
            };
            for format in [Format::File, Format::Dotenv, Format::Sh, Format::Fish, Format::Json] {
                let error = render(format, &content).expect_err("refused");
                assert_eq!(error.class, Class::Config);
                assert!(error.to_string().contains("PARTNER"), "{error}");
                assert!(!error.to_string().contains(value), "{error}");
            }
        }
        for name in ["", "1A", "A-B", "A B", "É", "A=B"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
