//! What the two `GetIDToken` calls share: Connect's unary protocol with both of its codecs, and its error bodies.
//!
//! Ona's request: 1 `audience` (repeated string), 2 `version` (enum). Classic's: 1 `workspace_id` (string), 2 `audience`
//! (repeated string). Both answer with 1 `token` (string).
//! <https://protobuf.dev/programming-guides/encoding/>, <https://connectrpc.com/docs/protocol/>

use super::wire::{Request, Response};
use http::Method;
use serde_json::{Value, json};

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// `application/json`.
    Json,
    /// `application/proto`.
    Proto,
}

/// The codec of a unary call, or what a Connect server says to a request that is none.
pub(super) fn codec(request: &Request) -> Result<Codec, Response> {
    if request.method != Method::POST {
        return Err(Response::new(405, "").header("Allow", "POST"));
    }
    let media =
        request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let codec = match media.to_ascii_lowercase().as_str() {
        "application/json" => Codec::Json,
        "application/proto" => Codec::Proto,
        _ => return Err(Response::new(415, "").header("Accept-Post", "application/json, application/proto")),
    };
    if request.header("connect-protocol-version").is_some_and(|version| version != "1") {
        return Err(error("invalid_argument", "connect-protocol-version must be \"1\""));
    }
    // `identity` is a name for no encoding (RFC 9110, 8.4.1).
    let encoding = request.headers.get("content-encoding");
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(error("unimplemented", "compressed messages are not supported; send identity"));
    }
    Ok(codec)
}

/// The answer with a token in it.
pub(super) fn token(codec: Codec, token: &str) -> Response {
    match codec {
        Codec::Json => {
            Response::new(200, json!({"token": token}).to_string()).header("Content-Type", "application/json")
        }
        Codec::Proto => Response::new(200, encode(token)).header("Content-Type", "application/proto"),
    }
}

/// `gitpod.v1.GetIDTokenRequest`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GetIdToken {
    /// Who the token is for.
    pub(super) audience: Vec<String>,
    /// `IDTokenVersion`; 0 where left out.
    pub(super) version: u64,
}

/// `gitpod.experimental.v1.GetIDTokenRequest`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClassicGetIdToken {
    /// Which workspace asks.
    pub(super) workspace_id: String,
    /// Who the token is for.
    pub(super) audience: Vec<String>,
}

/// Reads Ona's request. `None`: not such a message.
pub(super) fn decode(bytes: &[u8]) -> Option<GetIdToken> {
    let mut message = GetIdToken::default();
    fields(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => message.audience.push(text(bytes)?),
            (2, Field::Varint(version)) => message.version = version,
            _ => {}
        }
        Some(())
    })?;
    Some(message)
}

/// Reads Classic's request. `None`: not such a message.
pub(super) fn decode_classic(bytes: &[u8]) -> Option<ClassicGetIdToken> {
    let mut message = ClassicGetIdToken::default();
    fields(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => message.workspace_id = text(bytes)?,
            (2, Field::Bytes(bytes)) => message.audience.push(text(bytes)?),
            _ => {}
        }
        Some(())
    })?;
    Some(message)
}

/// A list of texts in protobuf's JSON form, where null is as good as nothing. `None`: it is something else.
pub(super) fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(list) => list.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
    }
}

/// A field's value, as far as our messages have such.
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Hands over each field; those that nobody wants are skipped, as protobuf demands.
fn fields<'a>(mut bytes: &'a [u8], mut each: impl FnMut(u64, Field<'a>) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match (tag >> 3, tag & 7) {
            (0, _) => return None,
            (_, 0) => Field::Varint(varint(&mut bytes)?),
            (_, 1) => take(&mut bytes, 8).map(|_| Field::Fixed)?,
            (_, 2) => Field::Bytes(delimited(&mut bytes)?),
            (_, 5) => take(&mut bytes, 4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        each(tag >> 3, field)?;
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
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
        "not_found" => 404,
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
    fn reads_classics_request_too() {
        let expected = ClassicGetIdToken {
            workspace_id: "ws".to_owned(),
            audience: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(decode_classic(b"\x0a\x02ws\x12\x01a\x12\x01b\x18\x07"), Some(expected));
        assert_eq!(decode_classic(b"\x12\x01\xff"), None);
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
