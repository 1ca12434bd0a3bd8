//! The side of the commands that ask a running agent.

use super::{LONGEST_REPLY, PATIENCE, Reply, Request, WireValues};
use crate::{
    clock,
    error::{Class, Error, Result},
    lifecycle::{driver::Values, status::Status},
    secret::Secret,
    sink::{
        env_file::{self, Content, Format},
        runtime_dir::RuntimeDir,
    },
};
use std::path::Path;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use zeroize::Zeroizing;

/// A way to a running agent. Every call opens a connection of its own.
pub struct Client {
    dir: RuntimeDir,
    pid: i32,
}

/// What an agent has published.
pub struct Published {
    /// The values, with the gateway that they are for.
    pub values: Values,
}

impl Published {
    /// As text for that reader.
    pub fn render(&self, format: Format) -> Result<Zeroizing<Vec<u8>>> {
        let values: Vec<_> =
            self.values.values.iter().map(|(name, secret)| (name.as_str(), secret)).collect();
        env_file::render(
            format,
            &Content {
                gateway_url: &self.values.gateway,
                generation: self.values.generation,
                expires_at: self.values.expires_at,
                values: &values,
                missing: &[],
            },
        )
    }
}

impl Client {
    /// The agent for `workspace`, where one listens; arguments as for [`RuntimeDir::find`].
    pub fn find(
        wanted: Option<&Path>,
        xdg_runtime_dir: Option<&Path>,
        workspace: &str,
    ) -> Result<Option<Self>> {
        Ok(RuntimeDir::find(wanted, xdg_runtime_dir, workspace)?.and_then(Self::new))
    }

    /// The agent that listens in `dir`; `None` when there is none, as after a kill.
    pub fn new(dir: RuntimeDir) -> Option<Self> {
        let pid = dir.holder()?;
        Some(Self { dir, pid })
    }

    /// The agent's process.
    pub fn peer_pid(&self) -> i32 {
        self.pid
    }

    /// Its state.
    pub async fn status(&self) -> Result<Status> {
        match read(&in_time(self.call(&Request::Status {})).await?)? {
            Reply::Status(status) => Ok(*status),
            _ => Err(misunderstood("another kind of reply")),
        }
    }

    /// What it has published; with `wait` as soon as every required credential is there, however long that takes, unless
    /// one is refused for a reason that waiting does not mend: that is the error then.
    pub async fn values(&self, wait: bool) -> Result<Published> {
        let request = Request::Values { wait };
        let call = self.call(&request);
        let reply = if wait { call.await? } else { in_time(call).await? };
        match read(&reply)? {
            Reply::Values(values) => published(&values),
            _ => Err(misunderstood("another kind of reply")),
        }
    }

    /// Has it renew everything now; returns when it has taken that in.
    pub async fn refresh(&self) -> Result<()> {
        self.order(&Request::Refresh {}).await
    }

    /// Has it wipe, revoke and end; returns when it has taken that in.
    pub async fn stop(&self) -> Result<()> {
        self.order(&Request::Stop {}).await
    }

    async fn order(&self, request: &Request) -> Result<()> {
        match read(&in_time(self.call(request)).await?)? {
            Reply::Accepted(true) => Ok(()),
            _ => Err(misunderstood("another kind of reply")),
        }
    }

    async fn call(&self, request: &Request) -> Result<Zeroizing<Vec<u8>>> {
        let gone = |error: std::io::Error| {
            Error::new(Class::Unavailable, format!("the agent (process {}) does not answer", self.pid))
                .why(error.to_string())
                .fix("it may have ended just now: try again, or start it")
        };
        let mut stream = UnixStream::connect(self.dir.control_address()).await.map_err(gone)?;
        let mut line = serde_json::to_vec(request).map_err(|error| misunderstood(&error.to_string()))?;
        line.push(b'\n');
        stream.write_all(&line).await.map_err(gone)?;
        let reply = receive(&mut stream).await.map_err(gone)?;
        // It ended while it was asked: nothing is not a reply that could be misunderstood.
        if reply.is_empty() { Err(gone(std::io::ErrorKind::UnexpectedEof.into())) } else { Ok(reply) }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| {
        let what = format!("the agent did not answer within {} s", PATIENCE.as_secs());
        Err(Error::new(Class::Unavailable, what).fix("if it stays so, stop it and start it again"))
    })
}

/// Reads to the end. Every buffer is wiped, also those that became too small.
async fn receive(stream: &mut UnixStream) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0; 16 * 1024]);
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= LONGEST_REPLY {
                return Err(std::io::Error::other("the reply is too long"));
            }
            let mut larger = Zeroizing::new(vec![0; length * 4]);
            larger[..length].copy_from_slice(&buffer);
            buffer = larger;
        }
        match stream.read(&mut buffer[length..]).await? {
            0 => break,
            count => length += count,
        }
    }
    buffer.truncate(length);
    Ok(buffer)
}

/// What the agent said; its own failures become ours.
fn read(reply: &[u8]) -> Result<Reply<'_>> {
    // The parser's message may quote what it read, so only the place is passed on.
    let parsed = serde_json::from_slice(reply)
        .map_err(|error| misunderstood(&format!("column {} of {} bytes", error.column(), reply.len())))?;
    match parsed {
        Reply::Error(error) => Err(error.into()),
        reply => Ok(reply),
    }
}

fn published(wire: &WireValues<'_>) -> Result<Published> {
    let time =
        |text| clock::parse_rfc3339(text).ok_or_else(|| misunderstood("expires_at is no RFC 3339 time"));
    let expires_at = wire.expires_at.map(time).transpose()?;
    let secret = |value: &str| value.parse::<Secret>().unwrap_or_else(|never| match never {});
    let values = wire.values.iter().map(|entry| (entry.name.to_owned(), secret(entry.value))).collect();
    let gateway = wire.gateway.to_owned();
    Ok(Published { values: Values { gateway, generation: wire.generation, expires_at, values } })
}

fn misunderstood(why: &str) -> Error {
    Error::new(Class::Internal, "the agent's reply is not understood")
        .why(why)
        .fix("is that apim-agent of the same version as the one that runs? Stop it and start it again")
}
