//! What went wrong on the way, in words. No message holds a path, a query or anything that was sent.

use super::{MAX_BODY, origin::Origin, proxy::Refusal};
use crate::error::{Class, Error};
use rustls::CertificateError;
use std::{error::Error as StdError, io, time::Duration};

const NETWORK: &str = "check the address, the network and, where there is one, HTTPS_PROXY";

/// No TCP connection.
pub(super) fn connecting(origin: &Origin, error: &(dyn StdError + 'static)) -> Error {
    let what = match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => format!("{origin} refused the connection"),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            format!("no route to {origin}")
        }
        _ if error.to_string() == "dns error" => format!("the name {} cannot be resolved", origin.host),
        _ => format!("cannot connect to {origin}"),
    };
    Error::new(Class::Unavailable, what).why(chain(error)).fix(NETWORK)
}

/// No tunnel through the proxy.
pub(super) fn tunnelling(origin: &Origin, proxy: &Origin, refusal: &Refusal) -> Error {
    let why = match refusal {
        Refusal::Status(407) => "it wants a user and a password (407)".to_owned(),
        Refusal::Status(status) => format!("it answered {status}"),
        Refusal::Nonsense => "its answer is not one to CONNECT".to_owned(),
        Refusal::Broken(error) => error.to_string(),
    };
    Error::new(Class::Unavailable, format!("the proxy {proxy} gives no tunnel to {origin}"))
        .why(why)
        .fix("check HTTPS_PROXY, or name the host in NO_PROXY")
}

/// No TLS.
pub(super) fn securing(origin: &Origin, error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        // Another try meets the same certificate, so this is not `Unavailable`. A bad signature means an issuer of a
        // name that we know with a key that we do not: the CA was made anew, and ca_file is the old one.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => Error::new(Class::Config, format!("the certificate of {origin} is not trusted"))
            .why("it was issued by a CA that neither the system nor ca_file knows")
            .fix("set ca_file to a PEM file with that CA, if it is one that you trust"),
        Some(rustls::Error::InvalidCertificate(reason)) => {
            Error::new(Class::Unavailable, format!("the certificate of {origin} is not valid"))
                .why(reason.to_string())
                .fix("check the address and this machine's clock, or renew the server's certificate")
        }
        _ => Error::new(Class::Unavailable, format!("no TLS connection to {origin}"))
            .why(chain(error))
            .fix(NETWORK),
    }
}

/// The connection broke, or what came is not HTTP/1.1.
pub(super) fn talking(origin: &Origin, error: &(dyn StdError + 'static)) -> Error {
    let hyper = error.downcast_ref::<hyper::Error>();
    let what = if hyper.is_some_and(hyper::Error::is_parse) {
        format!("{origin} answered something that is not HTTP/1.1")
    } else if io_kind(error) == Some(io::ErrorKind::ConnectionReset) {
        format!("{origin} reset the connection")
    } else if hyper.is_some_and(hyper::Error::is_incomplete_message)
        || io_kind(error) == Some(io::ErrorKind::UnexpectedEof)
    {
        format!("{origin} closed the connection before its answer was whole")
    } else {
        format!("the connection to {origin} broke")
    };
    Error::new(Class::Unavailable, what).why(chain(error)).fix(NETWORK)
}

/// The answer is longer than we read.
pub(super) fn too_large(origin: &Origin) -> Error {
    Error::new(Class::Unavailable, format!("{origin} answered more than {} KiB", MAX_BODY / 1024))
        .why("no answer that is expected is nearly as long")
        .fix("check that the address is the service's")
}

/// The time was up.
pub(super) fn timed_out(origin: &Origin, doing: &str, after: Duration) -> Error {
    Error::new(Class::Unavailable, format!("{origin} timed out after {after:?}"))
        .why(doing)
        .fix("check the network, or allow more time with request_timeout")
}

/// The errors behind an error, joined; repetitions left out.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

/// The kind of the first I/O error in the chain.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}
