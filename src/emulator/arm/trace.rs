//! The headers that every answer of ARM carries.

use crate::{
    clock,
    emulator::wire::{Request, Response},
};
use std::{fmt::Write as _, time::SystemTime};

/// The id of the `count`th request: a GUID of version 7 (RFC 9562), from the time and the count, so that ids are
/// unique and stand in the order of the requests.
fn request_id(now: SystemTime, count: u64) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_millis() & 0xffff_ffff_ffff;
    let bits = millis << 80 | 0x7 << 76 | 0x2 << 62 | u128::from(count & (u64::MAX >> 2));
    let text = hex(&bits.to_be_bytes());
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Two lower-case hexadecimal digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Adds the request ids and the cache and transport headers to the answer to the `count`th request.
///
/// The caller's correlation id is kept, and its request id is repeated if it asks for that, as ARM does.
pub(super) fn stamp(answer: Response, request: &Request, now: SystemTime, count: u64) -> Response {
    let id = request_id(now, count);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_guids_in_order() {
        let now = clock::from_unix(1_795_530_309);
        assert_eq!(request_id(now, 1), "01a20df2-3d88-7000-8000-000000000001");
        assert!(request_id(now, 1) < request_id(now, 2));
        assert!(request_id(now, u64::MAX) < request_id(now + std::time::Duration::from_millis(1), 0));
    }
}
