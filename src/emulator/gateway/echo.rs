//! The backend behind the API "echo": says what it saw, which shows what the gateway lets through.

use super::{caller::Caller, key};
use crate::emulator::wire::Request;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde_json::{Map, Value, json};

/// The backend's own name, which it sees as `Host`: the gateway does not hand on the caller's.
const BACKEND_HOST: &str = "echo.internal";

/// Headers that never reach the backend: the credentials, which the policy deletes, and those that belong to one
/// connection (RFC 9110, section 7.6.1). `host` is set anew.
const NOT_FORWARDED: [&str; 11] = [
    "ocp-apim-subscription-key",
    "authorization",
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the backend saw: `{method, path, query, headers, body, body_is_base64, caller}`.
///
/// A query parameter that was given several times has a list as its value; a header that was, has them joined by
/// commas. `body` is text where it is UTF-8 and base64 otherwise.
pub(super) fn report(request: &Request, caller: &Caller) -> Value {
    let (body, is_base64) = match std::str::from_utf8(&request.body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(&request.body), true),
    };
    json!({
        "method": request.method.as_str(),
        "path": request.path,
        "query": query(&request.query),
        "headers": headers(request),
        "body": body,
        "body_is_base64": is_base64,
        "caller": caller.to_json(),
    })
}

fn query(pairs: &[(String, String)]) -> Map<String, Value> {
    let mut seen = Map::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(key::QUERY)) {
        match seen.get_mut(name) {
            None => {
                seen.insert(name.clone(), json!(value));
            }
            Some(Value::Array(list)) => list.push(json!(value)),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    seen
}

fn headers(request: &Request) -> Map<String, Value> {
    let mut seen = Map::new();
    for name in request.headers.keys().filter(|name| !NOT_FORWARDED.contains(&name.as_str())) {
        seen.insert(name.to_string(), json!(joined(&request.headers, name.as_str())));
    }
    let peer = request.peer.ip().to_string();
    let earlier = joined(&request.headers, "x-forwarded-for");
    let forwarded_for = if earlier.is_empty() { peer } else { format!("{earlier}, {peer}") };
    seen.insert("x-forwarded-for".to_owned(), json!(forwarded_for));
    seen.insert("host".to_owned(), json!(BACKEND_HOST));
    seen
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    values.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::get, *};
    use bytes::Bytes;

    fn caller() -> Caller {
        Caller::Subscription { sid: "ws-1".to_owned(), product: Some("starter".to_owned()), whose: None }
    }

    #[test]
    fn credentials_and_hop_by_hop_headers_never_reach_the_backend() {
        let mut request = get("/echo");
        request.query = vec![
            ("subscription-key".to_owned(), "S3CRET".to_owned()),
            ("Subscription-Key".to_owned(), "S3CRET".to_owned()),
            ("a".to_owned(), "1".to_owned()),
        ];
        for (name, value) in [
            ("ocp-apim-subscription-key", "S3CRET"),
            ("authorization", "Bearer S3CRET"),
            ("connection", "keep-alive"),
            ("host", "localhost:8443"),
            ("accept", "*/*"),
        ] {
            request.headers.insert(name, value.parse().unwrap());
        }
        let report = report(&request, &caller());
        assert!(!report.to_string().contains("S3CRET"), "{report}");
        assert_eq!(report["query"], json!({"a": "1"}));
        assert_eq!(
            report["headers"],
            json!({"accept": "*/*", "host": BACKEND_HOST, "x-forwarded-for": "192.0.2.7"})
        );
        assert_eq!(report["caller"], json!({"kind": "subscription", "name": "ws-1", "product": "starter"}));
    }

    #[test]
    fn repeated_names_keep_all_their_values() {
        let mut request = get("/echo/x");
        request.query = [("a", "1"), ("b", "x"), ("a", "2"), ("a", "3")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .to_vec();
        request.headers.append("accept", "a/b".parse().unwrap());
        request.headers.append("accept", "c/d".parse().unwrap());
        request.headers.append("x-forwarded-for", "198.51.100.1".parse().unwrap());
        let report = report(&request, &caller());
        assert_eq!(report["query"], json!({"a": ["1", "2", "3"], "b": "x"}));
        assert_eq!(report["headers"]["accept"], "a/b, c/d");
        assert_eq!(report["headers"]["x-forwarded-for"], "198.51.100.1, 192.0.2.7");
    }

    #[test]
    fn bodies_are_text_or_base64() {
        let mut request = get("/echo");
        for (body, expected, is_base64) in
            [(&b""[..], "", false), ("{\"ü\":1}".as_bytes(), "{\"ü\":1}", false), (b"\xff\x00", "/wA=", true)]
        {
            request.body = Bytes::copy_from_slice(body);
            let report = report(&request, &caller());
            assert_eq!(report["body"], expected);
            assert_eq!(report["body_is_base64"], is_base64);
        }
    }
}
