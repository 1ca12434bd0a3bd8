use super::*;
use crate::identity::testing::jwt;
use nix::sys::signal::kill;
use serde_json::json;

const LONG: Duration = Duration::from_mins(1);

/// A command line of the shell, which a user could write and the agent never does.
fn sh(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

async fn error(script: &str) -> Error {
    id_token(&sh(script), LONG).await.err().expect("no token")
}

#[tokio::test]
async fn what_it_prints_is_the_token() {
    let token = jwt(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1}));
    let found = id_token(&["printf".to_owned(), "%s\n".to_owned(), token.clone()], LONG).await;
    assert_eq!(found.map_err(|error| error.to_string()).unwrap().token.expose(), token);
    let found = id_token(&sh(&format!("echo noise >&2; printf ' {token}\\n\\n'")), LONG).await;
    assert_eq!(found.map_err(|error| error.to_string()).unwrap().token.expose(), token);
}

#[tokio::test]
async fn no_shell_reads_the_arguments() {
    let hostile = "$(touch /tmp/x); `id` | cat > /tmp/y";
    let error =
        id_token(&["printf".to_owned(), "%s".to_owned(), hostile.to_owned()], LONG).await.err().unwrap();
    assert_eq!(error.what, "the output of printf is not an id token");
    assert_eq!(error.why.as_deref(), Some("it is not a JWT: there is no dot in it"));
}

#[tokio::test]
async fn how_it_ended_and_what_it_said_last() {
    let cases = [
        (
            "echo one >&2; echo; echo two >&2; echo three >&2; echo four >&2; exit 1",
            Class::Unavailable,
            "it exited with 1",
        ),
        ("exit 77", Class::Denied, "it exited with 77"),
        ("exit 78", Class::Config, "it exited with 78"),
        ("no-such-program-here", Class::Config, "it exited with 127"),
        ("kill -9 $$", Class::Unavailable, "it was ended by SIGKILL"),
    ];
    for (script, class, words) in cases {
        let error = error(script).await;
        assert_eq!(error.class, class, "{error}");
        assert_eq!(error.what, format!("/bin/sh gave no id token: {words}"));
    }
    assert_eq!(error(cases[0].0).await.why.as_deref(), Some("two\nthree\nfour"));
    assert_eq!(error("exit 1").await.why.as_deref(), Some("it printed no error"));
}

#[tokio::test]
async fn what_it_said_is_made_harmless() {
    let secret = format!("eyJ{}", "a".repeat(60));
    let why = error(&format!(r"printf 'got {secret}\033[31m\001\377 \n' >&2; exit 1")).await.why.unwrap();
    assert_eq!(why, "got [token] [31m \u{fffd}");
    let why =
        error("i=0; while [ $i -lt 3000 ]; do printf 'xxxxxxxxx ' >&2; i=$((i+1)); done; exit 1").await.why;
    assert!(why.as_ref().is_some_and(|why| why.chars().count() <= LINE + 1), "{why:?}");
}

#[tokio::test]
async fn what_is_no_token() {
    for (script, why) in [
        ("head -c 70000 /dev/zero | tr '\\0' x", "it is longer than 64 KiB, which no id token is"),
        ("head -c 70000 /dev/zero; sleep 1000", "it is longer than 64 KiB, which no id token is"),
        ("yes; exit 1", "it is longer than 64 KiB, which no id token is"),
        ("printf '\\377\\376'", "it is not text"),
        ("echo a.b", "it has 2 segments rather than three"),
    ] {
        let error = error(script).await;
        assert_eq!((error.class, error.why.as_deref()), (Class::Config, Some(why)));
        assert!(error.fix.is_some() && error.what.starts_with("the output of /bin/sh"), "{error}");
    }
    assert_eq!(error("true").await.what, "the output of /bin/sh is empty");
}

#[tokio::test]
async fn what_cannot_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    for (program, words) in [("/no/such/cli", "install it"), (plain.to_str().unwrap(), "make it executable")]
    {
        let error = id_token(&[program.to_owned()], LONG).await.err().unwrap();
        assert_eq!(error.class, Class::Config);
        assert!(error.what.ends_with("cannot be started") && error.fix.unwrap().contains(words));
    }
}

/// The processes of a script that never ends by itself: the shell, and one that it started. Both write their ids first.
const STUCK: &str = r#"trap '' TERM; sleep 1000 & echo $$ $! > "$0"; echo still waiting >&2; wait"#;

fn stuck(folder: &tempfile::TempDir) -> (Vec<String>, std::path::PathBuf) {
    let path = folder.path().join("ids");
    (["/bin/sh", "-c", STUCK, path.to_str().unwrap()].map(str::to_owned).to_vec(), path)
}

/// None of the processes goes on running: what was killed may still wait for its parent to collect it.
fn all_end(path: &std::path::Path) {
    let ids = std::fs::read_to_string(path).unwrap();
    for id in ids.split_whitespace() {
        let ended = || match std::fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) => stat.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X']),
            Err(_) => kill(Pid::from_raw(id.parse().unwrap()), None).is_err(),
        };
        // The pause only spares the machine.
        let pause = |_: &i32| std::thread::sleep(Duration::from_millis(1));
        assert!((0..30_000).inspect(pause).any(|_| ended()), "process {id} runs on");
    }
}

/// Until the ids are written. It never lets the runtime idle, so that a paused clock stands still meanwhile.
async fn written(path: &std::path::Path) {
    while !std::fs::read_to_string(path).is_ok_and(|ids| ids.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_all_of_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (argv, path) = stuck(&folder);
    let deadline = async {
        written(&path).await;
        tokio::time::advance(LONG).await;
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        found = id_token(&argv, LONG) => found.err().unwrap(),
        () = deadline => unreachable!("it is pending"),
    };
    assert_eq!(error.class, Class::Unavailable);
    assert_eq!(error.what, "/bin/sh gave no id token within 60s and was killed");
    all_end(&path);
}

#[tokio::test]
async fn when_nobody_waits_any_more_all_of_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (argv, path) = stuck(&folder);
    tokio::select! {
        _ = id_token(&argv, LONG) => panic!("it never ends"),
        () = written(&path) => {}
    }
    all_end(&path);
}
