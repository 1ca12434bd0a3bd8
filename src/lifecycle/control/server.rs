//! The agent's side of the socket.

use super::{LONGEST_REQUEST, PATIENCE, Reply, Request};
use crate::{
    clock,
    error::{Class, Error, Result},
    lifecycle::{
        driver::{Command, Values},
        status::{About, Status},
    },
    secret::assemble,
    sink::{
        env_file::{check_name, check_value},
        runtime_dir::{CONTROL, RuntimeDir},
    },
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};
use zeroize::Zeroizing;

/// Connections at once; more wait to be accepted. Each ends by a deadline of its own, except those that wait for values.
const MOST: usize = 64;
/// So many may wait for values (an `exec` before the first credentials are there), which leaves room for the others.
const MOST_WAITING: usize = 48;
/// The pause after a failed `accept`, which is a lack of descriptors or memory.
const REST: Duration = Duration::from_millis(200);

/// Creates the socket in the runtime directory. Needs a tokio runtime around it.
///
/// Errors: [`Class::Internal`] when the directory is full or has been removed.
pub fn bind(dir: &RuntimeDir) -> Result<UnixListener> {
    let failed = |why: String| {
        Error::new(
            Class::Internal,
            format!("the control socket in {} could not be created", dir.path().display()),
        )
        .why(why)
    };
    let listener = UnixListener::bind(dir.control_address()).map_err(|error| failed(error.to_string()))?;
    // Until here the folder's mode alone protects it, which is enough; but a reviewer should not have to know that.
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    fchmodat(dir, CONTROL, mode, FchmodatFlags::FollowSymlink)
        .map_err(|errno| failed(errno.desc().to_owned()))?;
    let found = fstatat(dir, CONTROL, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW);
    match found.map(|stat| stat.st_mode & 0o777) {
        Ok(0o600) => Ok(listener),
        Ok(other) => Err(failed(format!("it has mode {other:04o} instead of 0600"))),
        Err(errno) => Err(failed(errno.desc().to_owned())),
    }
}

/// Answers requests until it is dropped. Connections end with it.
pub async fn serve(listener: UnixListener, commands: mpsc::Sender<Command>, about: About) {
    let uid = nix::unistd::geteuid().as_raw();
    serve_those(listener, commands, about, move |peer| admits(peer, uid)).await;
}

/// Our own user, and root, whom nobody can keep out.
fn admits(peer: u32, uid: u32) -> bool {
    peer == uid || peer == 0
}

struct Shared {
    commands: mpsc::Sender<Command>,
    about: About,
    waiting: Semaphore,
}

async fn serve_those(
    listener: UnixListener,
    commands: mpsc::Sender<Command>,
    about: About,
    admits: impl Fn(u32) -> bool,
) {
    let shared = Arc::new(Shared { commands, about, waiting: Semaphore::new(MOST_WAITING) });
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("the control socket could not accept a connection: {error}");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        match stream.peer_cred() {
            Ok(peer) if admits(peer.uid()) => {}
            Ok(peer) => {
                tracing::warn!("refused a connection to the control socket by uid {}", peer.uid());
                continue;
            }
            Err(error) => {
                tracing::warn!("refused a connection to the control socket by nobody knows whom: {error}");
                continue;
            }
        }
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A peer that hangs up half-way is its own business.
            if let Err(error) = converse(stream, &shared).await {
                tracing::debug!("a control connection ended: {error}");
            }
        });
    }
}

/// One request, one reply.
async fn converse(mut stream: UnixStream, shared: &Shared) -> std::io::Result<()> {
    let Shared { commands, about, waiting } = shared;
    let request = match tokio::time::timeout(PATIENCE, read_request(&mut stream)).await {
        Ok(request) => request?,
        Err(_) => Err(Error::new(Class::Usage, "no request came in time")),
    };
    let reply = match request {
        Err(error) => refusal(error),
        Ok(Request::Values { .. } | Request::Refresh {}) if about.private => refusal(private(about)),
        Ok(Request::Values { wait: true }) => match waiting.try_acquire() {
            Err(_) => {
                let what = format!("{MOST_WAITING} others are waiting for credentials already");
                refusal(
                    Error::new(Class::TryAgain, what).fix("see `apim-agent status` for what they wait for"),
                )
            }
            Ok(_place) => {
                let mut nothing = [0; 1];
                tokio::select! {
                    reply = values(true, commands) => reply,
                    // Nothing more is to come, so this is the end of whoever waited.
                    _ = stream.read(&mut nothing) => return Ok(()),
                }
            }
        },
        Ok(request) => match tokio::time::timeout(PATIENCE, answer(request, commands, about)).await {
            Ok(reply) => reply,
            Err(_) => refusal(Error::new(Class::Unavailable, "the agent is busy and did not answer in time")),
        },
    };
    match tokio::time::timeout(PATIENCE, stream.write_all(&reply)).await {
        Ok(written) => written,
        Err(late) => Err(late.into()),
    }
}

async fn read_request(stream: &mut UnixStream) -> std::io::Result<Result<Request>> {
    let mut line = Vec::new();
    let end = loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            break end;
        }
        if line.len() >= LONGEST_REQUEST {
            let what = format!("a request is one line of at most {LONGEST_REQUEST} bytes");
            return Ok(Err(Error::new(Class::Usage, what)));
        }
        if stream.read_buf(&mut line).await? == 0 {
            break line.len();
        }
    };
    Ok(serde_json::from_slice(&line[..end]).map_err(|error| {
        Error::new(Class::Usage, "the agent does not understand this request")
            .why(error.to_string())
            .fix("is that apim-agent of the same version as the one that runs?")
    }))
}

async fn answer(request: Request, commands: &mpsc::Sender<Command>, about: &About) -> Zeroizing<Vec<u8>> {
    match request {
        Request::Values { wait } => values(wait, commands).await,
        Request::Refresh {} => accepted(commands.send(Command::Refresh).await.is_ok()),
        Request::Stop {} => accepted(commands.send(Command::Stop).await.is_ok()),
        Request::Ping {} => match ask(commands, Command::Ping).await {
            Some(ready) => line(&Reply::Ready(ready)),
            None => refusal(ending()),
        },
        Request::Status {} => match ask(commands, Command::Status).await {
            Some(report) => line(&Reply::Status(Box::new(Status::new(about, &report)))),
            None => refusal(ending()),
        },
    }
}

/// `None` when the driver is gone.
async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.ok()?;
    answer.await.ok()
}

fn ending() -> Error {
    Error::new(Class::Unavailable, "the agent is ending").fix("start it again")
}

/// Its values are revoked with the end of its command, whoever else uses them; and a renewal would revoke those that
/// the command was started with.
fn private(about: &About) -> Error {
    let what = format!("an exec (process {}) runs in this workspace, with credentials of its own", about.pid);
    Error::new(Class::TryAgain, what)
        .why("they are revoked as soon as its command ends")
        .fix("wait for its end; to share credentials, start one agent beforehand: apim-agent run")
}

fn accepted(accepted: bool) -> Zeroizing<Vec<u8>> {
    if accepted { line(&Reply::Accepted(true)) } else { refusal(ending()) }
}

async fn values(wait: bool, commands: &mpsc::Sender<Command>) -> Zeroizing<Vec<u8>> {
    match ask(commands, |reply| Command::Values { wait, reply }).await {
        None => refusal(ending()),
        Some(Ok(values)) => written(&values).unwrap_or_else(refusal),
        Some(Err(error)) => refusal(mendable(error)),
    }
}

/// The agent that runs goes on trying: what to do when the cause is out of the way.
fn mendable(error: Error) -> Error {
    let then = "apim-agent refresh tries again at once, and by itself the agent does so once a minute";
    let fix = error.fix.as_ref().map_or_else(|| then.to_owned(), |fix| format!("{fix}\nthen: {then}"));
    error.fix(fix)
}

/// By hand into one exact buffer: a serialiser would leave copies of the secrets behind.
fn written(values: &Values) -> Result<Zeroizing<Vec<u8>>> {
    let gateway = values.gateway.as_str();
    check_value("the gateway's URL", gateway)?;
    for (name, secret) in &values.values {
        check_name(name)?;
        check_value(name, secret.expose())?;
    }
    let generation = values.generation.to_string();
    let expires_at =
        values.expires_at.map_or_else(|| "null".to_owned(), |at| format!("\"{}\"", clock::rfc3339(at)));
    Ok(assemble(|put| {
        let head =
            ["{\"values\":{\"gateway\":\"", gateway, "\",\"generation\":", &generation, ",\"expires_at\":"];
        head.into_iter().chain([&*expires_at, ",\"values\":["]).for_each(&mut *put);
        for (index, (name, secret)) in values.values.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let entry = [comma, "{\"name\":\"", name, "\",\"value\":\"", secret.expose(), "\"}"];
            entry.into_iter().for_each(&mut *put);
        }
        put("]}}\n");
    }))
}

fn refusal(error: Error) -> Zeroizing<Vec<u8>> {
    line(&Reply::Error(error.into()))
}

fn line(reply: &Reply<'_>) -> Zeroizing<Vec<u8>> {
    // Plain structs of texts and numbers always have a JSON form; were it not so, the peer would see an empty reply.
    let mut text = serde_json::to_vec(reply).unwrap_or_default();
    text.push(b'\n');
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_user_and_root_are_admitted() {
        assert!(admits(1000, 1000) && admits(0, 1000) && admits(0, 0));
        assert!(!admits(1001, 1000) && !admits(1000, 0));
    }

    fn about() -> About {
        About {
            workspace: "w".to_owned(),
            pid: 1,
            env_file: "/e".to_owned(),
            started_at: clock::from_unix(0),
            private: false,
            confinement: crate::lifecycle::status::Confinement::default(),
        }
    }

    #[tokio::test]
    async fn a_refused_peer_gets_nothing_and_reaches_nobody() {
        let ram = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
        let dir = RuntimeDir::open(Some(ram.path()), None, "w").expect("opens");
        let (commands, mut received) = mpsc::channel(1);
        let server = tokio::spawn(serve_those(bind(&dir).expect("binds"), commands, about(), |_| false));
        let mut stream = UnixStream::connect(dir.control_address()).await.expect("connects");
        // The peer may have hung up before or after this arrives.
        let _ = stream.write_all(b"{\"request\":\"stop\"}\n").await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        assert!(reply.is_empty());
        server.abort();
        let _ = server.await;
        assert!(received.recv().await.is_none(), "no command came through");
    }

    #[test]
    fn a_value_that_needs_an_escape_is_refused_by_name() {
        let values = Values {
            gateway: "https://g".to_owned(),
            generation: 1,
            expires_at: None,
            values: vec![("PARTNER".to_owned(), "a\"b".parse().unwrap_or_else(|never| match never {}))],
        };
        let error = written(&values).map(drop).expect_err("refused");
        assert!(error.to_string().contains("PARTNER") && !error.to_string().contains("a\"b"), "{error}");
    }
}
