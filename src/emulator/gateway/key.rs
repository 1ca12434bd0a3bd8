//! Subscription keys: where a call carries one, and what its subscription opens.

use super::API_ID;
use crate::{
    emulator::{
        store::{Holder, State},
        wire::Request,
    },
    gateway::mark,
};
use std::time::SystemTime;

/// The header that carries a key; the default name, since the API does not rename it.
pub(super) const HEADER: &str = "Ocp-Apim-Subscription-Key";

/// The query parameter that carries one where the header is absent.
pub(super) const QUERY: &str = "subscription-key";

/// What stands for a header that is not text, or there twice: a key that nobody has.
const UNREADABLE: &str = "\u{fffd}";

/// The key that a call presents. The query counts only where the header is absent; an empty one is none.
pub(super) fn presented(request: &Request) -> Option<&str> {
    let key = match request.headers.get(HEADER) {
        Some(_) if request.repeats(HEADER) => UNREADABLE,
        Some(value) => value.to_str().unwrap_or(UNREADABLE),
        None => request.query(QUERY)?,
    };
    (!key.is_empty()).then_some(key)
}

/// Whether a subscription opens the API: it is active, and its scope is the API, all APIs, or the product that
/// contains the API. The answer to the caller is the same in all other cases.
pub(super) fn opens(holder: &Holder, product: &str) -> bool {
    let in_scope = match holder.scope.as_str() {
        "/apis" => true,
        scope => api_of(scope) == Some(API_ID) || product_of(scope) == Some(product),
    };
    holder.state == State::Active && in_scope
}

/// Whether it is one of the agent's past its end: what `gitpod/policies/expire-workspace-keys.xml` refuses.
pub(super) fn is_past_its_end(holder: &Holder, now: SystemTime) -> bool {
    let Holder { sid, display_name, .. } = holder;
    let end = mark::end(holder.expiration_date, display_name, Some(holder.created_at));
    mark::is_ours(sid, display_name) && end.is_some_and(|end| end <= now)
}

/// The product that a scope names.
pub(super) fn product_of(scope: &str) -> Option<&str> {
    scope.strip_prefix("/products/")
}

fn api_of(scope: &str) -> Option<&str> {
    scope.strip_prefix("/apis/")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::get, *};

    fn holder(scope: &str, state: State) -> Holder {
        Holder {
            sid: "s".to_owned(),
            scope: scope.to_owned(),
            state,
            display_name: "one".to_owned(),
            created_at: SystemTime::UNIX_EPOCH,
            expiration_date: None,
        }
    }

    #[test]
    fn the_header_beats_the_query_and_an_empty_key_is_none() {
        for (header, query, expected) in [
            (None, None, None),
            (Some("h"), None, Some("h")),
            (None, Some("q"), Some("q")),
            (Some("h"), Some("q"), Some("h")),
            (Some(""), Some("q"), None),
            (None, Some(""), None),
        ] {
            let mut request = get("/echo");
            if let Some(key) = header {
                request.headers.insert(HEADER, key.parse().unwrap());
            }
            if let Some(key) = query {
                request.query.push((QUERY.to_owned(), key.to_owned()));
            }
            assert_eq!(presented(&request), expected, "header {header:?}, query {query:?}");
        }
    }

    #[test]
    fn a_header_that_is_not_text_is_a_wrong_key_not_a_missing_one() {
        let mut request = get("/echo");
        request.headers.insert(HEADER, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(presented(&request), Some(UNREADABLE));
    }

    #[test]
    fn scopes_open_what_they_contain() {
        for (scope, expected) in [
            ("/products/starter", true),
            ("/apis", true),
            ("/apis/echo", true),
            ("/products/unlimited", false),
            ("/products/starter/", false),
            ("/products/star", false),
            ("/products/", false),
            ("/apis/other", false),
            ("/apis/echo2", false),
            ("/apis/", false),
            ("/", false),
            ("", false),
        ] {
            let holder = holder(scope, State::Active);
            assert_eq!(opens(&holder, "starter"), expected, "{scope}");
        }
    }

    #[test]
    fn only_an_active_subscription_opens() {
        use State::{Active, Cancelled, Expired, Rejected, Submitted, Suspended};
        for state in [Active, Cancelled, Expired, Rejected, Submitted, Suspended] {
            let holder = holder("/apis", state);
            assert_eq!(opens(&holder, "starter"), state == Active, "{state:?}");
        }
    }
}
