//! Base URLs: checked, and in one form, so that joining a path to them has one outcome.

use super::forms::{Complaint, Read};
use url::{Host, Url};

/// Which URLs a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `https://host[:port]`, with a base path if need be.
    Https,
    /// The same without a path: what follows the host is not ours to choose.
    HttpsHost,
    /// As `Https`, and plain http to this machine: a workspace's own issuer may be local.
    HttpsOrLoopback,
    /// `http://host[:port]` of the instance metadata service: its link-local address, which never leaves the host, or
    /// one of this machine.
    Imds,
}

/// Reads a base URL. Its path ends in a slash, whichever way it was written: [`under`] and `Url::join` then agree.
///
/// No complaint shows a user name, a password, a query or a fragment: these are where secrets hide in URLs.
pub fn read(rule: Rule) -> impl Fn(&str) -> Read<Url> {
    move |text| {
        if rule == Rule::Imds {
            return imds(text);
        }
        let host_only = if rule == Rule::HttpsHost { ", with nothing after the host" } else { "" };
        let allowed = format!("allowed is an https URL{host_only}");
        let Ok(mut url) = Url::parse(text) else {
            let complaint = Complaint::new(allowed);
            let is_bare_host =
                !text.contains("://") && Url::parse(&format!("https://{text}")).is_ok_and(|u| is_plain(&u));
            return Err(if is_bare_host {
                complaint.example(format!("https://{text}"))
            } else {
                complaint.what("is not a URL")
            });
        };
        if !matches!(url.scheme(), "https" | "http") {
            // `localhost:8080` parses as a URL of the scheme `localhost`.
            return Err(Complaint::new(allowed).what("is not an https URL"));
        }
        if !is_plain(&url) {
            let parts = "allowed is an https URL without user, password, query and fragment";
            return Err(Complaint::new(parts)
                .what("holds more than a place")
                .example(format!("https://{}", url.host_str().unwrap_or("contoso.azure-api.net"))));
        }
        let is_fine = url.scheme() == "https" || rule == Rule::HttpsOrLoopback && is_private(&url);
        if !is_fine {
            let but = if rule == Rule::HttpsOrLoopback { " (http only to this machine)" } else { "" };
            return Err(
                Complaint::new(format!("{allowed}{but}")).example(text.replacen("http:", "https:", 1))
            );
        }
        if rule == Rule::HttpsHost && url.path() != "/" {
            return Err(Complaint::new(allowed)
                .example(format!("https://{}", &url[url::Position::BeforeHost..url::Position::AfterPort])));
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

fn imds(text: &str) -> Read<Url> {
    let local = |url: &Url| match url.host() {
        Some(Host::Ipv4(address)) => address.octets() == [169, 254, 169, 254] || address.is_loopback(),
        _ => is_loopback(url),
    };
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && is_plain(&url) && url.path() == "/" && local(&url) => Ok(url),
        _ => Err(Complaint::new("allowed is http to 169.254.169.254 or to this machine")),
    }
}

/// `path` below `base`: the base's own path stays, and there is one slash between the two.
pub fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url
}

/// Whether what is sent there stays between it and us: https, or plain http to this machine.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && is_loopback(url)
}

fn is_plain(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(rule: Rule, text: &str) -> String {
        read(rule)(text).expect(text).to_string()
    }

    #[test]
    fn one_form_whichever_way_it_was_written() {
        for text in [
            "https://contoso.azure-api.net",
            "https://contoso.azure-api.net/",
            "HTTPS://Contoso.Azure-API.net:443//",
        ] {
            assert_eq!(ok(Rule::Https, text), "https://contoso.azure-api.net/");
        }
        assert_eq!(ok(Rule::Https, "https://host/base"), "https://host/base/");
    }

    #[test]
    fn paths_join_below_the_base() {
        for base in ["https://host/base", "https://host/base/"] {
            let base = read(Rule::Https)(base).expect("valid");
            assert_eq!(under(&base, "/echo").as_str(), "https://host/base/echo");
            assert_eq!(under(&base, "echo").as_str(), "https://host/base/echo");
            assert_eq!(base.join("echo").expect("valid").as_str(), "https://host/base/echo");
        }
        let root = read(Rule::Https)("https://host").expect("valid");
        assert_eq!(under(&root, "/echo").as_str(), "https://host/echo");
        assert_eq!(under(&root, "//evil.example/echo").host_str(), Some("host"));
    }

    #[test]
    fn plain_http_reaches_this_machine_only() {
        for loopback in ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"] {
            ok(Rule::HttpsOrLoopback, loopback);
            assert!(read(Rule::Https)(loopback).is_err(), "{loopback}");
        }
        for far in ["http://app.gitpod.io", "http://localhost.evil.example", "http://10.0.0.1"] {
            assert!(read(Rule::HttpsOrLoopback)(far).is_err(), "{far}");
        }
    }

    #[test]
    fn refuses_what_is_more_than_a_place_and_shows_none_of_it() {
        for text in [
            "https://user:hidden@host",
            "https://host/?k=hidden",
            "https://host/#hidden",
            "https://hidden@host",
        ] {
            let complaint = read(Rule::Https)(text).expect_err(text);
            assert!(complaint.what.is_some(), "{text}: the value would be shown");
            assert!(!format!("{complaint:?}").contains("hidden"), "{complaint:?}");
        }
    }

    #[test]
    fn an_authority_is_a_host_alone() {
        assert_eq!(
            ok(Rule::HttpsHost, "https://login.microsoftonline.com/"),
            "https://login.microsoftonline.com/"
        );
        let complaint = read(Rule::HttpsHost)("https://127.0.0.1:8443/contoso").expect_err("has a path");
        assert_eq!(complaint.example.as_deref(), Some("https://127.0.0.1:8443"));
    }

    #[test]
    fn the_example_adds_what_is_missing() {
        let complaint = read(Rule::Https)("contoso.azure-api.net").expect_err("no scheme");
        assert_eq!(complaint.example.as_deref(), Some("https://contoso.azure-api.net"));
    }
}
