//! The parameters of a request to a token endpoint.

use bytes::Bytes;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// Parameters in the order in which they were added; a name may come more than once (`resource`, RFC 8693, 2.1).
#[derive(Clone, Default)]
pub(in crate::exchange) struct Form<'a>(Vec<(&'static str, &'a str, Content)>);

/// So many bytes of a secret are enough to tell it by; servers may cut what they repeat.
const TELLING: usize = 24;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Plain,
    Secret,
}

impl<'a> Form<'a> {
    /// Begins with the grant type.
    pub(in crate::exchange) fn grant(grant_type: &'a str) -> Self {
        Self::default().with("grant_type", grant_type)
    }

    /// One more.
    pub(in crate::exchange) fn with(mut self, name: &'static str, value: &'a str) -> Self {
        self.0.push((name, value, Content::Plain));
        self
    }

    /// One more, where there is a value.
    pub(in crate::exchange) fn maybe(self, name: &'static str, value: Option<&'a str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// One more for each of `values`.
    pub(in crate::exchange) fn each(self, name: &'static str, values: &'a [String]) -> Self {
        values.iter().fold(self, |form, value| form.with(name, value))
    }

    /// One more that must never be shown.
    pub(in crate::exchange) fn secret(mut self, name: &'static str, value: &'a str) -> Self {
        self.0.push((name, value, Content::Secret));
        self
    }

    /// Whether `text` repeats a secret of this form, or its beginning, as some servers' errors do.
    pub(in crate::exchange) fn is_repeated_in(&self, text: &str) -> bool {
        let secrets =
            self.0.iter().filter(|(_, value, content)| *content == Content::Secret && !value.is_empty());
        let mut beginnings = secrets.map(|(_, value, _)| value.get(..TELLING).unwrap_or(value));
        beginnings.any(|beginning| text.contains(beginning))
    }

    /// `application/x-www-form-urlencoded`, in a buffer that never grows and is wiped with its last owner.
    pub(super) fn encode(&self) -> Bytes {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).map(str::len).sum::<usize>();
        let length = self.0.iter().map(|(name, value, _)| encoded(name) + encoded(value) + 2).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(length));
        for (place, (name, value, _)) in self.0.iter().enumerate() {
            if place > 0 {
                text.push(b'&');
            }
            byte_serialize(name.as_bytes()).for_each(|part| text.extend_from_slice(part.as_bytes()));
            text.push(b'=');
            byte_serialize(value.as_bytes()).for_each(|part| text.extend_from_slice(part.as_bytes()));
        }
        Bytes::from_owner(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::form_urlencoded::parse;

    #[test]
    fn names_repeat_in_their_order() {
        let resources = ["https://a.example/x".to_owned(), "https://b.example/?q=1&r=2".to_owned()];
        let form = Form::grant("g")
            .each("resource", &resources)
            .maybe("scope", None)
            .maybe("audience", Some("a b+c"));
        assert_eq!(
            form.encode(),
            "grant_type=g&resource=https%3A%2F%2Fa.example%2Fx&resource=https%3A%2F%2Fb.example%2F%3Fq%3D1%26r%3D2\
             &audience=a+b%2Bc"
        );
    }

    #[test]
    fn a_repeated_secret_is_noticed() {
        let form = Form::grant("g").secret("subject_token", "opaque-1").secret("actor_token", "");
        assert!(form.is_repeated_in("bad token opaque-1!") && !form.is_repeated_in("grant type g: no"));
        let long = "PHNhbWxwOkFzc2VydGlvbiB4bWxuczpzYW1scD0i";
        assert!(
            Form::default()
                .secret("assertion", long)
                .is_repeated_in(&format!("cannot read {}…", &long[..30]))
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_goes_in_comes_out(values in proptest::collection::vec("\\PC{0,40}|[\\x00-\\xff]{0,20}", 0..6)) {
            let form = values.iter().fold(Form::default(), |form, value| form.secret("v", value));
            let body = form.encode();
            let read: Vec<_> = parse(&body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
            let sent: Vec<_> = values.into_iter().map(|value| ("v".to_owned(), value)).collect();
            proptest::prop_assert_eq!(read, sent);
        }
    }
}
