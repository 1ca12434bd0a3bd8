//! The two messages of `GetIDToken` in protobuf's wire format, and Connect's error bodies.
//!
//! Request: 1 `audience` (repeated string), 2 `version` (enum). Response: 1 `token` (string).
//! <https://protobuf.dev/programming-guides/encoding/>, <https://connectrpc.com/docs/protocol/>

use super::wire::Response;
use serde_json::json;

/// `gitpod.v1.GetIDTokenRequest`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GetIdToken {
    /// Who the token is for.
    pub(super) audience: Vec<String>,
    /// `IDTokenVersion`; 0 where left out.
    pub(super) version: u64,
}

/// Reads the request; fields that it does not know are skipped, as protobuf wants. `None`: not such a message.
pub(super) fn decode(mut bytes: &[u8]) -> Option<GetIdToken> {
    let mut message = GetIdToken::default();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        match (tag >> 3, tag & 7) {
            (1, 2) => message.audience.push(String::from_utf8(delimited(&mut bytes)?.to_vec()).ok()?),
            (2, 0) => message.version = varint(&mut bytes)?,
            (0, _) => return None,
            (_, 0) => drop(varint(&mut bytes)?),
            (_, 1) => drop(take(&mut bytes, 8)?),
            (_, 2) => drop(delimited(&mut bytes)?),
            (_, 5) => drop(take(&mut bytes, 4)?),
            _ => return None,
        }
    }
    Some(message)
}

/// Writes the response.
pub(super) fn encode(token: &str) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 2];
    let mut length = token.len();
    loop {
        let [low, ..] = length.to_le_bytes();
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            break;
        }
        bytes.push(low | 0x80);
    }
    bytes.extend_from_slice(token.as_bytes());
    bytes
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// A Connect error. It is JSON whatever the codec of the request was.
pub(super) fn error(code: &str, message: &str) -> Response {
    let status = match code {
        "invalid_argument" => 400,
        "unauthenticated" => 401,
        "unimplemented" => 501,
        _ => 500,
    };
    Response::new(status, json!({"code": code, "message": message}).to_string())
        .header("Content-Type", "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_clients_send() {
        let bytes =
            [b"\x0a\x03one\x0a\x02to\x10\x02".as_slice(), b"\x1a\x01x\x25abcd\x29abcdefgh\x30\x7f"].concat();
        let expected = GetIdToken { audience: vec!["one".to_owned(), "to".to_owned()], version: 2 };
        assert_eq!(decode(&bytes), Some(expected));
        assert_eq!(decode(b""), Some(GetIdToken::default()));
    }

    #[test]
    fn refuses_what_is_cut_or_none() {
        for bad in
            [&b"\x0a"[..], b"\x0a\x05one", b"\x0a\x01\xff", b"\x10\x80", b"\x0b", b"\x00\x01", &[0xff; 11]]
        {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn writes_long_tokens() {
        let token = "x".repeat(300);
        assert_eq!(encode(&token), [b"\x0a\xac\x02", token.as_bytes()].concat());
    }
}
