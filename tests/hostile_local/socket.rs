//! Clients of the control socket that mean no good.

use super::{KEY, support::scene::Scene};
use std::{
    fs::{Permissions, set_permissions},
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    path::PathBuf,
    process::Command,
};

const SOCKET: &str = "APIM_AGENT_TEST_SOCKET";
const STRANGER: u32 = 12_345;

#[test]
fn silence_floods_and_half_lines_disturb_nobody() {
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let socket = scene.workspace.env_file().with_file_name("control");
    for _ in 0..1000 {
        drop(UnixStream::connect(&socket).unwrap());
    }
    let mut half = UnixStream::connect(&socket).unwrap();
    half.write_all(b"{\"request\":\"val").unwrap();
    let mut flood = UnixStream::connect(&socket).unwrap();
    // It is refused long before its end, and the agent hangs up.
    let sent = flood.write_all(&vec![b'x'; 10 << 20]);
    assert!(sent.is_err(), "10 MB were taken in");
    assert_eq!(scene.status()["ready"], true);
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    half.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("{\"error\":"), "{reply}");
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

#[test]
fn another_user_is_refused_by_who_it_is_where_the_modes_let_it_in() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("NOT CHECKED: only root can act as another user");
        return;
    }
    let scene = Scene::new(&[], KEY);
    let agent = scene.published(&[]);
    let socket = scene.workspace.env_file().with_file_name("control");
    assert!(stranger(&socket).contains("Permission denied"), "the folder's mode keeps it out");

    let folder = socket.parent().unwrap();
    for place in [scene.workspace.runtime_dir.path(), folder] {
        set_permissions(place, Permissions::from_mode(0o755)).unwrap();
    }
    set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let said = stranger(&socket);
    assert!(said.contains("connected") && said.contains("reply: 0 bytes"), "{said}");
    agent.wait_for(&format!("refused a connection to the control socket by uid {STRANGER}"));
    for place in [folder, scene.workspace.runtime_dir.path()] {
        set_permissions(place, Permissions::from_mode(0o700)).unwrap();
    }
    let (code, text) = scene.end(agent);
    assert_eq!(code, 0, "{text}");
    scene.assert_clean();
}

/// What another user's client of the socket says.
fn stranger(socket: &std::path::Path) -> String {
    // A copy where that user may run it: the build's folder need not be open to all.
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("client");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "socket::inside_the_strangers_process", "--ignored", "--nocapture"]);
    let output = command.env(SOCKET, socket).current_dir("/").uid(STRANGER).gid(STRANGER).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "the other user's side of the test above"]
fn inside_the_strangers_process() {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
    match UnixStream::connect(socket) {
        Err(error) => println!("{error}"),
        Ok(mut stream) => {
            println!("connected");
            // The agent may hang up before or after this arrives.
            let _ = stream.write_all(b"{\"request\":\"values\"}\n");
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            println!("reply: {} bytes", reply.len());
        }
    }
}
