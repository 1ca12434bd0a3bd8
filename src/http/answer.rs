//! Reading a service's answer with suspicion. Pure.

use azure_core::time::parse_rfc7231;
use http::{HeaderMap, Response, header};
use std::time::{Duration, SystemTime};

/// How long the service asks us to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3). A date that has
/// passed is no wait; anything else that cannot be read is none asked for.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    wait(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// The same from the header's text alone, for answers that came through the Azure SDK.
pub fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = SystemTime::from(parse_rfc7231(text).ok()?);
    Some(date.duration_since(now).unwrap_or_default())
}

/// A foreign text made fit for a message: one line, no control characters, at most `max` characters and then "…", and what looks
/// like a token or like one of our keys is left out, since services like to repeat what they were sent.
pub fn printable(text: &str, max: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let words = words.map(|word| match word {
        _ if looks_like_token(word) => "[token]",
        _ if looks_like_key(word) => "[key]",
        _ => word,
    });
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A JWT begins with `{"` or `{ ` in base64, or has at least three long segments.
fn looks_like_token(word: &str) -> bool {
    let begins = ["eyJ", "eyA"].iter().any(|start| word.find(start).is_some_and(|at| word.len() - at > 30));
    begins || word.split('.').filter(|segment| segment.len() >= 16).count() >= 3
}

/// Our keys are 64 hexadecimal digits; ids are shorter.
fn looks_like_key(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_hexdigit()).any(|digits| digits.len() >= 64)
}

/// The same, unless it holds the very secret that was sent: then nothing of it is shown.
pub fn quotable(text: &str, sent: &str, max: usize) -> String {
    if !sent.is_empty() && text.contains(sent) {
        return "an answer that repeats the secret it was sent, so it is not shown".to_owned();
    }
    printable(text, max)
}

/// Whether `text` can be presented as `Authorization: Bearer …` (RFC 6750, 2.1: `b64token`). What cannot is refused where it
/// is issued: later it would be one more header that nobody can send, or one that a gateway reads as two.
pub fn is_bearer_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// What a body that makes no sense looks like from outside: status, type and length, never the body.
pub fn outline(answer: &Response<impl AsRef<[u8]>>) -> String {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let length = match answer.body().as_ref().len() {
        0 => "an empty body".to_owned(),
        1 => "1 byte".to_owned(),
        length => format!("{length} bytes"),
    };
    let kind = kind.map_or_else(|| "no content type".to_owned(), |kind| printable(kind, 60));
    format!("status {}, {kind}, {length}", answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn waits() {
        let now = from_unix(1_445_412_475); // Wed, 21 Oct 2015 07:27:55 GMT
        for (text, wait) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(5)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn what_can_be_a_bearer_token() {
        for token in ["t", "eyJ.e-_.x", "a+b/c~d==", "0"] {
            assert!(is_bearer_token(token), "{token}");
        }
        for token in ["", "==", "a b", "a\nb", "a\0b", "a=b", "tökén", "a\u{7f}", "a,b", "\"a\"", "a:b"] {
            assert!(!is_bearer_token(token), "{token:?}");
        }
    }

    #[test]
    fn foreign_texts() {
        let token = format!("eyJ{}", "a".repeat(40));
        assert_eq!(printable("a\r\n b\u{1b}[31mc", 99), "a b [31mc");
        assert_eq!(printable(&format!("got '{token}', sorry"), 99), "got [token] sorry");
        assert_eq!(printable(&format!("bad value '{}'.", "0a".repeat(32)), 99), "bad value [key]");
        assert_eq!(printable(&"0a".repeat(31), 99), "0a".repeat(31));
        assert_eq!(printable("äöü", 2), "äö…");
        assert_eq!(quotable("no bearer v0:opaque here", "v0:opaque", 99).find("v0:opaque"), None);
        assert_eq!(quotable("no bearer", "v0:opaque", 99), "no bearer");
    }
}
