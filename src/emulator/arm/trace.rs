//! The headers that every answer of ARM carries.

use crate::{
    clock,
    emulator::wire::{Request, Response},
    error::{Class, Error, Result},
};
use std::{fmt::Write as _, time::SystemTime};

/// A random version 4 GUID in lower case.
pub(super) fn guid() -> Result<String> {
    let mut bytes: [u8; 16] = random()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}

/// A subscription key as APIM draws it: 32 hexadecimal digits.
pub(super) fn key() -> Result<String> {
    Ok(hex(&random::<16>()?))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|why| Error::new(Class::Internal, "no random bytes from the system").why(why.to_string()))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Adds the request ids and the cache and transport headers.
///
/// The caller's correlation id is kept, and its request id is repeated if it asks for that, as ARM does.
pub(super) fn stamp(answer: Response, request: &Request, now: SystemTime) -> Response {
    // An answer without ids is better than none: without random bytes there is no worse to come.
    let id = guid().unwrap_or_default();
    let correlation = request.header("x-ms-correlation-request-id").filter(|id| is_id(id)).unwrap_or(&id);
    let instant = clock::rfc3339(now).replace(['-', ':'], "");
    let mut answer = answer
        .header("Cache-Control", "no-cache")
        .header("Pragma", "no-cache")
        .header("Expires", "-1")
        .header("x-ms-request-id", id.clone())
        .header("x-ms-correlation-request-id", correlation)
        .header("x-ms-routing-request-id", format!("WESTEUROPE:{instant}:{id}"))
        .header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        .header("X-Content-Type-Options", "nosniff");
    let wanted = request
        .header("x-ms-return-client-request-id")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if let Some(id) = request.header("x-ms-client-request-id").filter(|id| wanted && is_id(id)) {
        answer = answer.header("x-ms-client-request-id", id);
    }
    answer
}

/// Something like a GUID: it goes back into a header.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
