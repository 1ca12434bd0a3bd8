//! Looks for secrets where they must not be: raw, in base64 (any alignment, both alphabets), percent-encoded.

use base64::Engine as _;
use std::path::Path;

/// The secrets of one test and the forms that they could leak in.
#[derive(Default)]
pub(crate) struct Leaks {
    needles: Vec<(String, String)>,
}

impl Leaks {
    /// Adds a secret, named for the message of a failed test.
    pub(crate) fn secret(&mut self, name: &str, value: &str) {
        assert!(value.len() >= 16, "{name} is too short to be told from chance");
        for (form, needle) in forms(value) {
            self.needles.push((format!("{name} ({form})"), needle));
        }
    }

    /// Fails when `text` holds one of them.
    pub(crate) fn check(&self, place: &str, text: &[u8]) {
        assert!(!self.needles.is_empty(), "a leak check without secrets cannot fail");
        // std's search is optimised in debug builds too; the forms are all ASCII, so what is no text may be bent.
        let text = String::from_utf8_lossy(text);
        for (name, needle) in &self.needles {
            let found = text.find(needle);
            assert!(found.is_none(), "{name} leaked into {place} at byte {}", found.unwrap_or_default());
        }
    }

    /// Fails when `text` holds what has the form of a secret, whoever made it: a JWT, or a key as the agent draws it.
    pub(crate) fn check_shapes(place: &str, text: &str) {
        if let Some(at) = shaped_as_a_secret(text) {
            panic!("something of the form of a secret leaked into {place} at byte {at}");
        }
    }

    /// Fails when a file below `folder` holds one of them, by content or by name.
    pub(crate) fn check_folder(&self, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            self.check("a file name", path.as_os_str().as_encoded_bytes());
            if path.is_dir() && !path.is_symlink() {
                self.check_folder(&path);
            } else if path.is_file() {
                self.check(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }

    /// Fails when the command line or the environment of a running process holds one of them.
    pub(crate) fn check_process(&self, pid: i32) {
        for file in ["cmdline", "environ"] {
            let place = format!("/proc/{pid}/{file}");
            if let Ok(content) = std::fs::read(&place) {
                self.check(&place, &content);
            }
        }
    }
}

/// Where a JWT (two segments that each open a JSON object) or 64 hexadecimal digits stand.
fn shaped_as_a_secret(text: &str) -> Option<usize> {
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let jwt = text.match_indices("eyJ").find(|(at, _)| {
        let length = text[*at..].bytes().take_while(|byte| base64url(*byte)).count();
        text[at + length..].starts_with(".eyJ")
    });
    let mut digits = 0;
    let key = text.bytes().position(|byte| {
        digits = if byte.is_ascii_hexdigit() { digits + 1 } else { 0 };
        digits == 64
    });
    jwt.map(|(at, _)| at).or(key)
}

fn forms(value: &str) -> Vec<(&'static str, String)> {
    let mut forms = vec![("raw", value.to_owned())];
    let percent: String =
        value
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
    if percent != value {
        forms.push(("percent-encoded", percent));
    }
    for lead in 0..3 {
        // Inside a longer text the secret may start at any of three alignments; the edges mix with what is around it.
        let shifted = [vec![b'.'; lead], value.as_bytes().to_vec()].concat();
        let core = |text: String| text[4..text.len() - 4].to_owned();
        forms.push(("base64", core(base64::engine::general_purpose::STANDARD.encode(&shifted))));
        forms.push(("base64url", core(base64::engine::general_purpose::URL_SAFE.encode(&shifted))));
    }
    forms
}

#[test]
fn every_form_is_found() {
    let secret = "s3cret/with+odd=characters and more";
    let mut leaks = Leaks::default();
    leaks.secret("it", secret);
    let found = |text: String| std::panic::catch_unwind(|| leaks.check("here", text.as_bytes())).is_err();
    assert!(found(format!("x{secret}y")));
    for lead in ["", "a", "ab", "abc"] {
        let inside = format!("{lead}{secret} and the rest");
        assert!(found(base64::engine::general_purpose::STANDARD.encode(&inside)));
        assert!(found(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&inside)));
    }
    assert!(found("s3cret%2Fwith%2Bodd%3Dcharacters%20and%20more".to_owned()));
    assert!(!found("nothing of the sort".to_owned()));
}

#[test]
fn secrets_are_known_by_their_form() {
    let found = |text: &str| shaped_as_a_secret(text).is_some();
    assert!(found("token=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0.c2ln"));
    assert!(found(&format!("key '{}'", "0123456789abcdef".repeat(4))));
    assert!(!found("ws-0123456789abcdef0123456789abcdef eyJ eyJhbGciOiJSUzI1NiJ9. done"));
}
