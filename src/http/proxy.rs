//! Which places are reached through a proxy, and the CONNECT exchange (RFC 9110, 9.3.6).

use super::{Options, origin::Origin};
use crate::error::{Class, Error, Result};
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::{io, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

/// A proxy's answer to CONNECT is a status line and a few headers.
const MAX_ANSWER: usize = 8 * 1024;

/// The proxy setting.
#[derive(Clone)]
pub(super) struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let Some(proxy) = options.proxy.as_deref().map(str::trim).filter(|proxy| !proxy.is_empty()) else {
            return Ok(Self(None));
        };
        // curl takes a bare host:port too. The URL may hold a password, so no message repeats it.
        let text = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
        let usable = Url::parse(&text).is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if !usable {
            return Err(Error::new(Class::Config, "HTTPS_PROXY is not a proxy that can be used")
                .why("only http:// proxies are supported (the traffic through them is TLS from end to end)")
                .fix("for example: HTTPS_PROXY=http://proxy.example:3128"));
        }
        let no_proxy = options.no_proxy.clone().unwrap_or_default();
        Ok(Self(Some(Arc::new(Matcher::builder().https(text).no(no_proxy).build()))))
    }

    /// The proxy to `origin`, if there is one. Loopback is never proxied: it would be another machine's.
    pub(super) fn on_the_way_to(&self, origin: &Origin) -> Result<Option<Intercept>> {
        match &self.0 {
            Some(matcher) if origin.tls && !origin.is_loopback() => Ok(matcher.intercept(&origin.uri()?)),
            _ => Ok(None),
        }
    }
}

impl Origin {
    /// Where a proxy listens: the one place besides loopback that is spoken to without TLS.
    pub(super) fn of_proxy(uri: &Uri) -> Self {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        Self { tls: false, host, port: uri.port_u16().unwrap_or(80) }
    }
}

/// Why there is no tunnel.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The proxy's status.
    Status(u16),
    /// What it sent is no answer to CONNECT.
    Nonsense,
    /// The connection to the proxy broke.
    Broken(io::Error),
}

/// Asks the proxy at the other end of `stream` for a tunnel to `origin`.
pub(super) async fn tunnel<S>(
    stream: &mut S,
    origin: &Origin,
    auth: Option<&HeaderValue>,
) -> Result<(), Refusal>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut request = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n").into_bytes();
    if let Some(auth) = auth {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(auth.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(Refusal::Broken)?;

    let mut answer = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut answer).await.map_err(Refusal::Broken)? == 0 {
            return Err(Refusal::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        match answer.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => return verdict(&answer, end + 4),
            None if answer.len() > MAX_ANSWER => return Err(Refusal::Nonsense),
            None => {}
        }
    }
}

/// Reads the status line. Behind the head of a 2xx there must be nothing: TLS begins with us.
fn verdict(answer: &[u8], head: usize) -> Result<(), Refusal> {
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    let status =
        status.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    match status {
        Some(200..=299) if answer.len() == head => Ok(()),
        Some(200..=299) | None => Err(Refusal::Nonsense),
        Some(status) => Err(Refusal::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(proxy: &str, no_proxy: &str) -> Result<Proxies> {
        Proxies::new(&Options {
            proxy: Some(proxy.to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
            ..Options::default()
        })
    }

    fn goes_through(proxies: &Proxies, uri: &str) -> bool {
        proxies.on_the_way_to(&Origin::of(&uri.parse().unwrap()).unwrap()).unwrap().is_some()
    }

    #[test]
    fn exceptions() {
        let proxies = proxies("http://user:pass@proxy.example:3128", "internal.example,10.0.0.0/8").unwrap();
        assert!(goes_through(&proxies, "https://management.azure.com/"));
        for direct in [
            "https://internal.example/",
            "https://a.internal.example/",
            "https://10.1.2.3/",
            "https://127.0.0.1/",
        ] {
            assert!(!goes_through(&proxies, direct), "{direct}");
        }
    }

    #[test]
    fn unusable_proxies_are_refused_without_showing_their_password() {
        for proxy in
            ["https://u:hunter2@proxy.example", "socks5://u:hunter2@proxy.example", "http://u:hunter2@"]
        {
            let error = proxies(proxy, "").err().unwrap();
            assert_eq!(error.class, Class::Config);
            assert!(!error.to_string().contains("hunter2"));
        }
        assert!(proxies("proxy.example:3128", "").is_ok());
    }

    #[test]
    fn verdicts() {
        let read = |answer: &str| verdict(answer.as_bytes(), answer.find("\r\n\r\n").unwrap() + 4);
        assert!(read("HTTP/1.1 200 Connection established\r\n\r\n").is_ok());
        assert!(matches!(read("HTTP/1.0 403 No\r\nA: b\r\n\r\nbody"), Err(Refusal::Status(403))));
        assert!(matches!(read("HTTP/1.1 200 OK\r\n\r\nearly"), Err(Refusal::Nonsense)));
        assert!(matches!(read("SSH-2.0\r\n\r\n"), Err(Refusal::Nonsense)));
    }
}
