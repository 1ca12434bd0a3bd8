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
use ::http::{HeaderName, HeaderValue, Request, header, request};
use bytes::Bytes;
use std::time::Duration;
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

    /// Presents `secret` as a key or a token. Errors: as [`verdict::judge`] decides, and those of the connection.
    pub async fn check(&self, presented: Presented, secret: &Secret) -> Result<()> {
        let (name, value) = header(presented, secret)?;
        let request = Request::get(self.url.as_str()).header(name, value);
        let (status, retry_after, message) = ask(&self.http, request).await?;
        // Nobody should send it back; if somebody does, it goes no further.
        let message = message.filter(|message| !message.contains(secret.expose()));
        self.judge(presented, &verdict::Answer { status, retry_after, message: message.as_deref() })
    }

    /// Presents a client certificate: PEM texts of its chain and its private key. On a connection of its own, since a
    /// handshake says who we are for all that follows. Errors: as [`Probe::check`]; and a gateway that ends the
    /// handshake because of the certificate refuses it (`Denied`).
    pub async fn check_certificate(&self, chain: &Secret, key: &Secret) -> Result<()> {
        let http = self.http.with_certificate(chain.expose(), key)?;
        let (status, retry_after, message) =
            ask(&http, Request::get(self.url.as_str())).await.map_err(in_handshake)?;
        let answer = verdict::Answer { status, retry_after, message: message.as_deref() };
        self.judge(Presented::Certificate, &answer)
    }

    fn judge(&self, presented: Presented, answer: &verdict::Answer<'_>) -> Result<()> {
        // Without the query, which is nobody's business in a log.
        verdict::judge(presented, &self.url[..url::Position::AfterPath], answer)
    }
}

/// One GET: the status, the wait that is asked for, and the gateway's own message.
async fn ask(
    http: &http::Client,
    request: request::Builder,
) -> Result<(u16, Option<Duration>, Option<String>)> {
    let request = request.body(Bytes::new()).map_err(|error| {
        Error::new(Class::Config, "the probe's path cannot be asked for").why(error.to_string())
    })?;
    let response = http.send(request).await?;
    let status = response.status().as_u16();
    let retry_after = answer::retry_after(response.headers(), clock::now());
    Ok((status, retry_after, verdict::message(status, response.body())))
}

/// In TLS 1.3 a server looks at the client's certificate after its own part of the handshake, so its refusal looks like a
/// connection that breaks; the alert (RFC 8446, 6.2) tells which it was. Other alerts are the connection's trouble.
fn in_handshake(error: Error) -> Error {
    const OF_THE_CERTIFICATE: [&str; 8] = [
        "BadCertificate",
        "UnsupportedCertificate",
        "CertificateRevoked",
        "CertificateExpired",
        "CertificateUnknown",
        "UnknownCA",
        "AccessDenied",
        "DecryptError",
    ];
    let why = error.why.as_deref().unwrap_or_default();
    let alert = why.split_once("received fatal alert: ").map_or("", |(_, alert)| alert);
    if !OF_THE_CERTIFICATE.iter().any(|name| alert.starts_with(name)) {
        return error;
    }
    Error::new(Class::Denied, "the gateway refuses the client certificate in the TLS handshake")
        .why(why)
        .fix("give the gateway the CA that issued it, or allow its thumbprint there")
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
        Presented::Certificate => {
            return Err(Error::new(Class::Internal, "a certificate is not presented in a header"));
        }
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
