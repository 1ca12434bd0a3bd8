//! An HTTP CONNECT proxy that leads the public Azure names to the emulator, so that unchanged scripts meet it.
//!
//! The client's TLS goes through it untouched: the emulator's certificate carries the public names.

use super::{
    answer::{self, Body, Broken},
    server::{Shared, accept},
    wire::{Request, Response},
};
use crate::clock;
use bytes::Bytes;
use http::Method;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{net::Ipv4Addr, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// The ports behind the public names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    pub(super) identity: u16,
    pub(super) entra: u16,
    pub(super) arm: u16,
    pub(super) key_vault: u16,
    pub(super) gateway: u16,
    pub(super) control: u16,
}

impl Targets {
    /// The emulator's port for `host:port`, or the status and sentence to refuse it with.
    fn route(&self, authority: &str) -> Result<u16, (u16, String)> {
        let Some((host, port)) = authority.rsplit_once(':') else {
            return Err((400, format!("'{authority}' is not HOST:PORT.")));
        };
        let own = [self.identity, self.entra, self.arm, self.key_vault, self.gateway, self.control];
        match (host.to_ascii_lowercase().as_str(), port.parse::<u16>()) {
            ("login.microsoftonline.com" | "login.windows.net" | "sts.windows.net", Ok(443)) => {
                Ok(self.entra)
            }
            ("management.azure.com", Ok(443)) => Ok(self.arm),
            ("app.gitpod.io" | "api.gitpod.io", Ok(443)) => Ok(self.identity),
            (host, Ok(443)) if is_below(host, "azure-api.net") => Ok(self.gateway),
            (host, Ok(443)) if is_below(host, "vault.azure.net") => Ok(self.key_vault),
            ("127.0.0.1" | "localhost", Ok(port)) if own.contains(&port) => Ok(port),
            _ => Err((403, format!("The emulator's proxy leads to the emulator only, not to {authority}."))),
        }
    }
}

/// Whether `host` is one label below `domain`, as a wildcard certificate has it.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

/// Accepts for ever; ends with the runtime.
pub(super) async fn serve(listener: TcpListener, targets: Targets, shared: Arc<Shared>) {
    loop {
        let (stream, peer) = accept(&listener).await;
        let shared = shared.clone();
        tokio::spawn(async move {
            let number = shared.next_connection();
            let handler = service_fn(move |request| connect(request, peer, targets, shared.clone(), number));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), handler)
                .with_upgrades()
                .await;
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "proxy connection ended early");
            }
        });
    }
}

async fn connect(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    targets: Targets,
    shared: Arc<Shared>,
    connection: u64,
) -> Result<http::Response<Body>, Broken> {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    // What stands before the @ may be a password: it is not routed by, not told back and not journalled.
    let (user, authority) = match authority.rsplit_once('@') {
        Some((_, authority)) => (true, authority.to_owned()),
        None => (false, authority),
    };
    let tunnel = request.method() == Method::CONNECT;
    let row = Request {
        method: request.method().clone(),
        path: authority.clone(),
        query: Vec::new(),
        headers: http::HeaderMap::new(),
        body: Bytes::new(),
        host: authority.clone(),
        peer,
        client_certificate: None,
    };
    let seq =
        shared.journal.arrived(clock::now(), "proxy", tunnel.then_some("Proxy_Connect"), &row, connection);
    let response = if tunnel && user {
        Response::new(400, "CONNECT takes HOST:PORT, without a user.")
            .header("Content-Type", "text/plain; charset=utf-8")
    } else if tunnel {
        match targets.route(&authority) {
            Ok(port) => open(request, port).await,
            Err((status, why)) => {
                Response::new(status, why).header("Content-Type", "text/plain; charset=utf-8")
            }
        }
    } else {
        Response::new(405, "This proxy answers CONNECT only; use https:// addresses with it.")
            .header("Allow", "CONNECT")
            .header("Content-Type", "text/plain; charset=utf-8")
    };
    shared.journal.settle(seq, response.status, None);
    answer::whole(response)
}

/// Connects to the emulator's port; the tunnel starts when hyper has sent the answer.
async fn open(request: http::Request<Incoming>, port: u16) -> Response {
    let mut server = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(server) => server,
        Err(error) => {
            return Response::new(502, format!("The emulator's port {port} does not answer: {error}."));
        }
    };
    tokio::spawn(async move {
        let piped = async {
            server.set_nodelay(true)?;
            let client = upgrade::on(request).await.map_err(std::io::Error::other)?;
            tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut server).await
        };
        if let Err(error) = piped.await {
            tracing::debug!(%error, "tunnel ended early");
        }
    });
    Response::new(200, Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_lead_to_the_emulator_and_nothing_else_leads_anywhere() {
        let targets =
            Targets { identity: 1001, entra: 1002, arm: 1003, key_vault: 1006, gateway: 1004, control: 1005 };
        for (authority, expected) in [
            ("login.microsoftonline.com:443", Ok(1002)),
            ("LOGIN.windows.net:443", Ok(1002)),
            ("management.azure.com:443", Ok(1003)),
            ("contoso.azure-api.net:443", Ok(1004)),
            ("app.gitpod.io:443", Ok(1001)),
            ("api.gitpod.io:443", Ok(1001)),
            ("127.0.0.1:1005", Ok(1005)),
            ("localhost:1003", Ok(1003)),
            ("v.vault.azure.net:443", Ok(1006)),
            ("127.0.0.1:1006", Ok(1006)),
            ("v.vault.azure.net:80", Err(403)),
            ("a.b.vault.azure.net:443", Err(403)),
            ("management.azure.com:80", Err(403)),
            ("management.azure.com.evil.example:443", Err(403)),
            ("a.b.azure-api.net:443", Err(403)),
            ("evilazure-api.net:443", Err(403)),
            (".azure-api.net:443", Err(403)),
            ("127.0.0.1:22", Err(403)),
            ("example.com:443", Err(403)),
            ("management.azure.com", Err(400)),
        ] {
            assert_eq!(targets.route(authority).map_err(|(status, _)| status), expected, "{authority}");
        }
    }
}
