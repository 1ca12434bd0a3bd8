//! The control socket, with the driver's side played by the test.

use apim_agent::{
    clock,
    config::Kind,
    error::Class,
    lifecycle::{
        control::{Client, bind, serve},
        driver::{Command, Report, Reported, Values},
        machine::{Event, Machine, Spec},
        schedule::Term,
        status::{About, AboutCredential, Confinement, Stage, State},
    },
    sink::{env_file::Format, runtime_dir::RuntimeDir},
};
use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
    task::JoinHandle,
};

struct Agent {
    dir: RuntimeDir,
    client: Client,
    commands: mpsc::Receiver<Command>,
    server: JoinHandle<()>,
    base: tempfile::TempDir,
}

fn about() -> About {
    About {
        workspace: "w".to_owned(),
        pid: std::process::id(),
        env_file: "/run/w/env".to_owned(),
        started_at: clock::from_unix(1_795_478_000),
        private: false,
        confinement: Confinement::default(),
    }
}

fn report(machine: Machine) -> Report {
    let about = AboutCredential {
        name: "partner".to_owned(),
        kind: Kind::SubscriptionKey,
        scope: "/products/p".to_owned(),
        env: "PARTNER_KEY".to_owned(),
        required: true,
        call: None,
    };
    Report {
        machine,
        gateway: "https://contoso.azure-api.net".to_owned(),
        credentials: vec![Reported { index: 0, about, variables: Vec::new(), identity: None, error: None }],
        sink_error: None,
        config_error: None,
    }
}

fn agent(base: &str) -> Agent {
    let ram = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
    let base = ram.path().join(base);
    let dir = RuntimeDir::open(Some(&base), None, "w").expect("opens");
    assert!(Client::find(Some(&base), None, "w").expect("looked").is_none(), "nobody listens yet");
    let listener = bind(&dir).expect("binds");
    let (sender, commands) = mpsc::channel(8);
    let server = tokio::spawn(serve(listener, sender, about()));
    let client = Client::find(Some(&base), None, "w").expect("looked").expect("found");
    Agent { dir, client, commands, server, base: ram }
}

async fn raw(dir: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(dir.join("control")).await.expect("connects");
    stream.write_all(request).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    reply
}

fn values() -> Values {
    Values {
        gateway: "https://contoso.azure-api.net".to_owned(),
        generation: 7,
        expires_at: Some(clock::from_unix(1_795_482_000)),
        values: vec![
            ("PARTNER_KEY".to_owned(), "0123abc".parse().expect("secret")),
            ("TOKEN".to_owned(), "eyJ.-_=".parse().expect("secret")),
        ],
    }
}

#[tokio::test]
async fn status_values_refresh_and_stop() {
    let mut agent = agent("base");
    assert_eq!(agent.client.peer_pid(), i32::try_from(std::process::id()).expect("pid"));
    let mode =
        std::fs::symlink_metadata(agent.dir.path().join("control")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let played = async {
        let Some(Command::Status(reply)) = agent.commands.recv().await else { panic!("status") };
        let mut machine = Machine::new(
            [Spec { grace: Duration::from_secs(5), retires: true, required: true }],
            Duration::from_secs(8),
            1,
        );
        let now = clock::from_unix(1_795_478_400);
        let term = Term { issued_at: now, expires_at: now + Duration::from_hours(1), refresh_at: None };
        for event in [Event::Timer, Event::Issued(0, term), Event::Probed(0), Event::Published] {
            machine.step(event, now);
        }
        assert!(reply.send(report(machine)).is_ok());
        let Some(Command::Values { wait: false, reply }) = agent.commands.recv().await else {
            panic!("values")
        };
        assert!(reply.send(Ok(values())).is_ok());
        assert!(matches!(agent.commands.recv().await, Some(Command::Refresh)));
        assert!(matches!(agent.commands.recv().await, Some(Command::Stop)));
    };
    let asked = async {
        let status = agent.client.status().await.expect("status");
        assert!(status.ready && status.phase == Stage::Published && status.generation == 1);
        assert_eq!(status.credentials[0].state, State::Published);
        assert!(status.next.expect("planned").what.contains("partner"));
        let published = agent.client.values(false).await.expect("values");
        assert_eq!(published.values.generation, 7);
        let text = published.render(Format::Dotenv).expect("renders");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "APIM_GATEWAY_URL=https://contoso.azure-api.net\nAPIM_AGENT_GENERATION=7\n\
             APIM_AGENT_EXPIRES_AT=2026-11-24T01:00:00Z\nPARTNER_KEY=0123abc\nTOKEN=eyJ.-_=\n"
        );
        agent.client.refresh().await.expect("accepted");
        agent.client.stop().await.expect("accepted");
    };
    tokio::join!(played, asked);

    drop(agent.commands);
    assert_eq!(agent.client.status().await.expect_err("ending").class, Class::Unavailable);
    agent.server.abort();
    let _ = agent.server.await;
    assert_eq!(agent.client.status().await.expect_err("gone").class, Class::Unavailable);
    assert!(Client::find(Some(&agent.base.path().join("base")), None, "w").expect("looked").is_none());
    agent.dir.remove().expect("removed");
    assert!(agent.base.path().read_dir().expect("read_dir").next().is_none());
}

#[tokio::test]
async fn a_ping_tells_of_life_and_readiness() {
    let mut agent = agent("base");
    for ready in [false, true] {
        let played = async {
            let Some(Command::Ping(reply)) = agent.commands.recv().await else { panic!("ping") };
            assert_eq!(reply.send(ready), Ok(()));
        };
        let ((), reply) = tokio::join!(played, raw(agent.dir.path(), b"{\"request\":\"ping\"}\n"));
        assert_eq!(reply, format!("{{\"ready\":{ready}}}\n"));
    }
    drop(agent.commands);
    assert!(raw(agent.dir.path(), b"{\"request\":\"ping\"}\n").await.contains("the agent is ending"));
    agent.server.abort();
}

#[tokio::test]
async fn who_waits_gets_the_values_when_they_are_there_and_who_left_is_forgotten() {
    let mut agent = agent("base");
    let waiting = async {
        let published = agent.client.values(true).await.expect("values");
        assert_eq!(published.values.values[0].1.expose(), "0123abc");
    };
    let played = async {
        let Some(Command::Values { wait: true, reply }) = agent.commands.recv().await else {
            panic!("values")
        };
        assert!(reply.send(Ok(values())).is_ok());
    };
    tokio::join!(waiting, played);

    let mut stream = UnixStream::connect(agent.dir.path().join("control")).await.expect("connects");
    stream.write_all(b"{\"request\":\"values\",\"wait\":true}\n").await.expect("sent");
    let Some(Command::Values { mut reply, .. }) = agent.commands.recv().await else { panic!("values") };
    drop(stream);
    reply.closed().await;

    // The driver wipes and ends while somebody waits.
    let waiting = async { agent.client.values(true).await.map(drop).expect_err("ended") };
    let played = async { drop(agent.commands.recv().await) };
    assert_eq!(tokio::join!(waiting, played).0.class, Class::Unavailable);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_address_does_not_matter() {
    let mut agent = agent(&"long".repeat(50));
    assert!(agent.dir.path().as_os_str().len() > 108);
    let played = async { assert!(matches!(agent.commands.recv().await, Some(Command::Refresh))) };
    let asked = async { agent.client.refresh().await.expect("accepted") };
    tokio::join!(played, asked);
}

#[tokio::test]
async fn nonsense_is_answered_and_bounded() {
    let agent = agent("base");
    let dir = agent.dir.path();
    for request in [
        "\n",
        "{}\n",
        "[1]\n",
        "{\"request\":\"dance\"}\n",
        "{\"request\":\"values\",\"wait\":1}\n",
        "\u{0}\n",
    ] {
        let reply = raw(dir, request.as_bytes()).await;
        assert!(
            reply.starts_with("{\"error\":{\"class\":\"usage\"") && reply.ends_with("}\n"),
            "{request:?}: {reply}"
        );
    }
    let endless = vec![b' '; 64 * 1024];
    assert!(raw(dir, &endless).await.contains("at most 65536 bytes"));
}

#[tokio::test]
async fn who_waits_too_many_is_told_so_and_keeps_nobody_else_out() {
    let mut agent = agent("base");
    let mut waiting = Vec::new();
    for _ in 0..48 {
        let mut stream = UnixStream::connect(agent.dir.path().join("control")).await.expect("connects");
        stream.write_all(b"{\"request\":\"values\",\"wait\":true}\n").await.expect("sent");
        let Some(Command::Values { reply, .. }) = agent.commands.recv().await else { panic!("values") };
        waiting.push((stream, reply));
    }
    let error = agent.client.values(true).await.map(drop).expect_err("full");
    assert_eq!(error.class, Class::TryAgain, "{error}");
    let played = async { assert!(matches!(agent.commands.recv().await, Some(Command::Refresh))) };
    let asked = async { agent.client.refresh().await.expect("accepted") };
    tokio::join!(played, asked);
}
