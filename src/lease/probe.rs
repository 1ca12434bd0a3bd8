//! A call through the gateway that shows that a value is accepted, before anybody relies on it.
//!
//! The path must be one that wants the credential and answers GET without harm. The gateway's own status path would
//! prove nothing, since it answers everybody.

use super::verdict;
pub use super::verdict::Presented;
use crate::{
    clock,
    error::{Class, Error, Result},
    http::{self, answer},
    secret::Secret,
};
use ::http::{HeaderName, HeaderValue, Request, header};
use bytes::Bytes;
use url::Url;
use zeroize::Zeroizing;

const KEY_HEADER: HeaderName = HeaderName::from_static("ocp-apim-subscription-key");

/// One path of one gateway.
pub struct Probe {
    url: Url,
    http: http::Client,
}

impl Probe {
    /// For `path`, which may have a query, below `gateway`. Connects nowhere yet.
    pub fn new(gateway: &Url, path: &str, http: http::Client) -> Self {
        Self { url: below(gateway, path), http }
    }

    /// Lets the connection be opened while others still work on the value that will need it.
    pub async fn warm(&self) {
        self.http.warm(&self.url).await;
    }

    /// Presents `secret`. Errors: as [`verdict::judge`] decides, and those of the connection.
    pub async fn check(&self, presented: Presented, secret: &Secret) -> Result<()> {
        let (name, value) = header(presented, secret)?;
        let request =
            Request::get(self.url.as_str()).header(name, value).body(Bytes::new()).map_err(|error| {
                Error::new(Class::Config, format!("{} cannot be asked for", self.url)).why(error.to_string())
            })?;
        let response = self.http.send(request).await?;
        let status = response.status().as_u16();
        let retry_after = answer::retry_after(response.headers(), clock::now());
        let message = verdict::message(status, response.body());
        // Nobody should send it back; if somebody does, it goes no further.
        let message = message.filter(|message| !message.contains(secret.expose()));
        let answer = verdict::Answer { status, retry_after, message: message.as_deref() };
        // Without the query, which is nobody's business in a log.
        let shown = &self.url[..url::Position::AfterPath];
        verdict::judge(presented, shown, &answer)
    }
}

/// `path` below the base URL, whose own path, if any, is kept.
fn below(gateway: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = gateway.clone();
    url.set_path(&format!("{}/{}", gateway.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url.set_query(query);
    url
}

fn header(presented: Presented, secret: &Secret) -> Result<(HeaderName, HeaderValue)> {
    let (name, text) = match presented {
        Presented::Key => (KEY_HEADER, Zeroizing::new(secret.expose().to_owned())),
        Presented::Token => (header::AUTHORIZATION, Zeroizing::new(format!("Bearer {}", secret.expose()))),
    };
    // The reason would quote nothing, and there is only one: a byte that no header may hold.
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::new(Class::Unavailable, "the issued value cannot be sent as an HTTP header"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(gateway: &str, path: &str) -> String {
        below(&gateway.parse().expect("a URL"), path).to_string()
    }

    #[test]
    fn the_path_stands_below_the_gateway() {
        assert_eq!(url("https://gw.example", "/echo/x"), "https://gw.example/echo/x");
        assert_eq!(url("https://gw.example/base/", "echo"), "https://gw.example/base/echo");
        assert_eq!(url("https://gw.example", "/echo?a=1&b=%20"), "https://gw.example/echo?a=1&b=%20");
    }

    #[test]
    fn values_travel_in_headers_that_are_not_logged() {
        let secret = Secret::new("0a1b".to_owned());
        let (name, value) = header(Presented::Key, &secret).expect("a header");
        assert_eq!((name.as_str(), value.to_str().expect("ascii")), ("ocp-apim-subscription-key", "0a1b"));
        assert!(value.is_sensitive());
        let (name, value) = header(Presented::Token, &secret).expect("a header");
        assert_eq!((name.as_str(), value.to_str().expect("ascii")), ("authorization", "Bearer 0a1b"));
        assert!(value.is_sensitive());
    }

    #[test]
    fn a_value_that_is_no_header_is_not_shown() {
        let error =
            header(Presented::Token, &Secret::new("top\nsecret".to_owned())).expect_err("a line break");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
