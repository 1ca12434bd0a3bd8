//! Where a request goes, and which places are allowed.

use crate::error::{Class, Error, Result};
use http::{HeaderValue, Uri};
use std::{fmt, net::IpAddr};

/// Scheme, host and port: what a connection is made to, and what it is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    /// Lower case; an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The origin of an absolute URI. `https` goes anywhere, `http` to loopback and to the instance metadata service only:
    /// whatever we send holds a secret.
    pub(super) fn of(uri: &Uri) -> Result<Self> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let refused = |what: String| {
            Err(Error::new(Class::Config, what).fix("use an https URL; http is for loopback addresses only"))
        };
        let (tls, port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return refused(format!("a request to {host:?} has a URL that is neither https nor http")),
        };
        if host.is_empty() {
            return refused("a request has a URL without a host".to_owned());
        }
        let origin = Self { tls, host, port: uri.port_u16().unwrap_or(port) };
        if !tls && !origin.is_loopback() && !origin.is_metadata() {
            return refused(format!(
                "plain http to {origin} is refused: it would show secrets to the network"
            ));
        }
        Ok(origin)
    }

    /// `localhost`, `127.0.0.0/8` or `::1`.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The address of a cloud machine's instance metadata service, which is plain http by its nature: the hypervisor answers,
    /// and no router forwards a link-local address (RFC 3927, 2.7).
    fn is_metadata(&self) -> bool {
        self.host == "169.254.169.254"
    }

    /// `host:port` as a URI of its own, for the connector.
    pub(super) fn uri(&self) -> Result<Uri> {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{self}/").parse().map_err(|error| {
            Error::new(Class::Config, format!("{self} is not a host and a port")).why(format!("{error}"))
        })
    }

    /// The `Host` header: the port only where it is not the scheme's own.
    pub(super) fn host_header(&self) -> HeaderValue {
        let default = if self.tls { 443 } else { 80 };
        let text = self.to_string();
        let text = if self.port == default { text.trim_end_matches(&format!(":{default}")) } else { &text };
        // A URI's host holds no character that a header cannot; an empty `Host` would be answered with 400.
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// `host:port`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers() {
        for (uri, shown, header) in [
            ("https://Login.Example/x?y", "login.example:443", "login.example"),
            ("https://login.example:8443", "login.example:8443", "login.example:8443"),
            ("http://[::1]:80/", "[::1]:80", "[::1]"),
            ("http://127.0.0.2:81/", "127.0.0.2:81", "127.0.0.2:81"),
        ] {
            let origin = Origin::of(&uri.parse().unwrap()).unwrap();
            assert_eq!(origin.to_string(), shown);
            assert_eq!(origin.host_header(), header);
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for uri in [
            "http://login.example/",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "/path",
            "ftp://127.0.0.1/",
        ] {
            let error = Origin::of(&uri.parse().unwrap()).unwrap_err();
            assert_eq!(error.class, Class::Config, "{uri}");
        }
        for uri in ["http://localhost:1/", "http://169.254.169.254/metadata"] {
            assert!(Origin::of(&uri.parse().unwrap()).is_ok(), "{uri}");
        }
    }
}
