//! Where the browser brings the authorization code: one request on loopback, and then nobody listens any more.

use crate::{
    error::{Class, Error, Result},
    http::answer::printable,
    secret::Secret,
};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use url::form_urlencoded;

/// A browser on the same machine sends its request at once. Some open connections that they do not use.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many connections are open at a time: more than a browser makes.
const MOST: usize = 16;

/// So many ports are tried until one is free at both addresses.
const TRIES: usize = 16;

/// The listeners.
pub(super) struct Redirect {
    v4: TcpListener,
    /// `localhost` may be this address as well, and browsers try it first: whoever else listened there would be brought the
    /// code. `None` where this machine has no such address.
    v6: Option<TcpListener>,
    port: u16,
}

/// What the browser brought.
pub(super) enum Came {
    /// The authorization code.
    Code(Secret),
    /// A refusal (RFC 6749, 4.1.2.1).
    Refusal { error: String, description: String },
}

impl Redirect {
    /// Listens on a port of the system's choice, at each address that `localhost` may stand for.
    pub(super) async fn listen() -> Result<Self> {
        let mut taken = None;
        for _ in 0..TRIES {
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| failed(&error))?;
            let port = v4.local_addr().map_err(|error| failed(&error))?.port();
            match v6(port).await {
                Ok(v6) => return Ok(Self { v4, v6, port }),
                Err(error) => taken = Some(error),
            }
        }
        Err(failed(&taken.unwrap_or_else(|| io::ErrorKind::AddrInUse.into())))
    }

    /// The redirect URI. Entra takes any port of `localhost`, and only of that name.
    pub(super) fn uri(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Waits for the answer to the request with that `state`. Everything else is refused and changes nothing: whoever on
    /// this machine finds the port does not know the state.
    pub(super) async fn wait(self, state: &Secret) -> Result<Came> {
        let mut connections = FuturesUnordered::new();
        let v6 = async || match &self.v6 {
            Some(v6) => v6.accept().await,
            None => std::future::pending().await,
        };
        loop {
            let accepted = async {
                tokio::select! {
                    accepted = self.v4.accept() => accepted,
                    accepted = v6() => accepted,
                }
            };
            tokio::select! {
                accepted = accepted, if connections.len() < MOST => match accepted {
                    Ok((stream, _)) => connections.push(serve(stream, state)),
                    // The connection was gone before it was taken, or there are no descriptors: that passes.
                    Err(error) => {
                        tracing::debug!("a browser was not let in: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(came) = connections.next() => if let Some(came) = came {
                    return Ok(came);
                },
            }
        }
    }
}

/// The listener at `::1` with that port; none where there is no such address. Error: somebody else has it.
async fn v6(port: u16) -> io::Result<Option<TcpListener>> {
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // Where we may not, no other user may either.
        Err(error) => {
            tracing::debug!("nobody listens at ::1: {error}");
            Ok(None)
        }
    }
}

fn failed(error: &io::Error) -> Error {
    Error::new(Class::Internal, "nobody can sign in: this machine lets us listen on no port of localhost")
        .why(error.to_string())
        .fix("use identity.source = \"device-code\"")
}

/// Answers one request, and only then says what it brought.
async fn serve(stream: TcpStream, state: &Secret) -> Option<Came> {
    let brought = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let (came, answer) = answer(&request, state);
        *brought.lock().unwrap_or_else(PoisonError::into_inner) = came;
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut protocol = http1::Builder::new();
    let serving =
        protocol.keep_alive(false).max_buf_size(64 * 1024).serve_connection(TokioIo::new(stream), service);
    // Whether the page arrived is the browser's business; what it brought counts.
    match timeout(PATIENCE, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("the browser's connection ended: {error}"),
        Err(_) => tracing::debug!("a connection on the redirect's port was not used"),
    }
    brought.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What a request brings, and the page for it.
fn answer<B>(request: &Request<B>, state: &Secret) -> (Option<Came>, Response<Full<Bytes>>) {
    if request.method() != Method::GET || request.uri().path() != "/" {
        return (None, page(StatusCode::NOT_FOUND, "There is nothing here."));
    }
    match read(request.uri().query().unwrap_or_default(), state) {
        None => (None, page(StatusCode::BAD_REQUEST, "This is not the answer that apim-agent waits for.")),
        Some(came @ Came::Code(_)) => {
            (Some(came), page(StatusCode::OK, "You have signed in. You may close this window."))
        }
        Some(came) => (
            Some(came),
            page(StatusCode::OK, "The sign-in did not succeed. apim-agent says why, where it runs."),
        ),
    }
}

/// Reads a query. `None`: it is not the answer to the request with `state`.
fn read(query: &str, state: &Secret) -> Option<Came> {
    let get = |name: &str| {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let value = values.next()?.1.into_owned();
        // Twice is none (RFC 6749, 3.1).
        values.next().is_none().then_some(value)
    };
    if !is_same(&get("state")?, state.expose()) {
        return None;
    }
    if let Some(error) = get("error") {
        let description = printable(&get("error_description").unwrap_or_default(), 400);
        return Some(Came::Refusal { error, description });
    }
    get("code").filter(|code| !code.is_empty()).map(|code| Came::Code(Secret::new(code)))
}

/// Compares without telling by the time it takes where the first difference is.
fn is_same(one: &str, other: &str) -> bool {
    let difference = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

/// A page of ours, with nothing foreign on it, that tells nobody where it came from: its address holds the code.
fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>apim-agent</title>\
         <body style=\"font: 1.1em sans-serif; margin: 4em\"><p>{text}</p></body></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn state() -> Secret {
        Secret::new("the-state".to_owned())
    }

    #[test]
    fn only_the_answer_to_our_request() {
        let code = |query: &str| match read(query, &state()) {
            Some(Came::Code(code)) => code.expose().to_owned(),
            Some(Came::Refusal { error, description }) => format!("{error}: {description}"),
            None => "nothing".to_owned(),
        };
        for (query, outcome) in [
            ("code=c%2Bd&state=the-state&session_state=x", "c+d"),
            ("state=the-state&error=access_denied&error_description=a%0Ab", "access_denied: a b"),
            ("code=c&state=the-statx", "nothing"),
            ("code=c&state=the-stat", "nothing"),
            ("code=c&state=the-state&state=other", "nothing"),
            ("code=c&code=d&state=the-state", "nothing"),
            ("code=&state=the-state", "nothing"),
            ("code=c", "nothing"),
            ("", "nothing"),
        ] {
            assert_eq!(code(query), outcome, "{query}");
        }
    }

    async fn get(port: u16, path: &str) -> String {
        get_at(Ipv4Addr::LOCALHOST.into(), port, path).await
    }

    async fn get_at(address: IpAddr, port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect((address, port)).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// `localhost` is both addresses, and a browser tries `::1` first.
    #[tokio::test]
    async fn whichever_address_the_browser_takes_is_ours() {
        let redirect = Redirect::listen().await.unwrap();
        let port = redirect.port;
        if redirect.v6.is_none() {
            assert!(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_err(), "this machine has ::1");
            return;
        }
        let taken =
            TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.map(drop).map_err(|error| error.kind());
        assert_eq!(taken, Err(io::ErrorKind::AddrInUse), "nobody else can wait for the code there");
        let state = state();
        let browser = get_at(Ipv6Addr::LOCALHOST.into(), port, "/?code=the-code&state=the-state");
        let (came, page) = tokio::join!(redirect.wait(&state), browser);
        assert!(matches!(came, Ok(Came::Code(code)) if code.expose() == "the-code"));
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    }

    #[tokio::test]
    async fn a_port_that_somebody_has_at_the_other_address_is_not_taken() {
        let Ok(theirs) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
        let port = theirs.local_addr().unwrap().port();
        assert_eq!(v6(port).await.map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
    }

    #[tokio::test]
    async fn others_do_not_disturb_and_then_nobody_listens() {
        let redirect = Redirect::listen().await.unwrap();
        let port = redirect.port;
        assert_eq!(redirect.uri(), format!("http://localhost:{port}"));
        let state = state();
        let browser = async {
            // One that is opened in advance and never used.
            let _unused = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            assert!(get(port, "/favicon.ico").await.starts_with("HTTP/1.1 404 "));
            assert!(get(port, "/?code=c&state=guessed").await.starts_with("HTTP/1.1 400 "));
            get(port, "/?code=the-code&state=the-state").await
        };
        let (came, page) = tokio::join!(redirect.wait(&state), browser);
        assert!(matches!(came, Ok(Came::Code(code)) if code.expose() == "the-code"));
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("You have signed in"), "{page}");
        assert!(page.contains("referrer-policy: no-referrer") && !page.contains("the-code"), "{page}");
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}
