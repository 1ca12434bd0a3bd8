//! Values that somebody could do harm with, for every place that a value can come from.

use std::path::Path;

/// One of them.
pub(crate) struct Hostile {
    /// For messages.
    pub(crate) name: &'static str,
    /// The value.
    pub(crate) bytes: Vec<u8>,
}

impl Hostile {
    /// The value where it is one that JSON can carry.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

/// All of them. Whatever executes one makes the file `canary`; a leak check knows each by `mark`, which they all hold, at
/// least 16 characters of the alphabet of tokens.
pub(crate) fn values(canary: &Path, mark: &str) -> Vec<Hostile> {
    let touch = format!("touch {}", canary.display());
    let texts = [
        ("newline", format!("{mark}\n{touch}")),
        ("newline and assignment", format!("{mark}\nBASH_ENV={}\nPATH=/nowhere", canary.display())),
        ("carriage return", format!("{mark}\r\n{touch}\r\n")),
        ("command substitution", format!("{mark}$({touch})")),
        ("backticks", format!("{mark}`{touch}`")),
        ("fish's substitution", format!("{mark}({touch})")),
        ("parameter expansion", format!("{mark}${{x:-$({touch})}}")),
        ("apostrophe", format!("{mark}'; {touch}; '")),
        ("quotation mark", format!("{mark}\"; {touch}; \"")),
        ("backslash", format!("{mark}\\'; {touch}; \\")),
        ("semicolon", format!("{mark}; {touch};")),
        ("background", format!("{mark} & {touch} &")),
        ("pipe", format!("{mark} | {touch}")),
        ("redirection", format!("{mark} >{}", canary.display())),
        ("history", format!("{mark}!!:s/x/y/ {touch}")),
        ("comment", format!("{mark} # {touch}")),
        ("escape sequence", format!("{mark}\u{1b}]0;{touch}\u{7}")),
        ("byte order mark", format!("\u{feff}{mark}")),
        ("line separator", format!("{mark}\u{2028}{touch}")),
        ("right to left", format!("{mark}\u{202e}{touch}")),
        ("NUL", format!("{mark}\0{touch}")),
        ("white space only around it", format!(" {mark} ")),
        ("100 KiB", mark.repeat(100 * 1024 / mark.len())),
        ("1 MiB", mark.repeat((1 << 20) / mark.len())),
    ];
    let texts = texts.map(|(name, text)| Hostile { name, bytes: text.into_bytes() });
    let bytes = [
        ("invalid UTF-8", [mark.as_bytes(), b"\xff\xfe"].concat()),
        ("half a character", [mark.as_bytes(), b"\xe2\x82"].concat()),
    ];
    let bytes = bytes.map(|(name, bytes)| Hostile { name, bytes });
    texts.into_iter().chain(bytes).collect()
}
