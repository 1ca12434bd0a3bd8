//! Source `command`: what goes right, and all that a command can do wrong.

use super::{
    Platform,
    support::{scene::poll, token::AUDIENCE},
};
use nix::{sys::signal::kill, unistd::Pid};
use serde_json::json;

/// Settings for a command of these words.
fn command(words: &[&str]) -> String {
    json!(words).to_string()
}

fn source(command: &str) -> [(&'static str, &str); 2] {
    [("identity.source", "command"), ("identity.command", command)]
}

#[test]
fn its_output_is_the_token_and_no_shell_is_between() {
    let platform = Platform::new();
    platform.scene.secret("the id token", &platform.id_token());
    // A stand-in that wants each argument as it was written.
    let file = platform.scene.emulator.get("assertion_file");
    let script = format!(
        "[ \"$1\" = 'for=[{AUDIENCE}]' ] && [ \"$2\" = '$(touch pwned); a  b' ] && [ $# = 2 ] && cat '{file}'"
    );
    let tool = platform.tool("my-issuer", &script);
    let arguments = ["for=[{audience}]", "$(touch pwned); a  b"];
    for program in ["my-issuer", tool.to_str().unwrap()] {
        let command = command(&[&[program], &arguments[..]].concat());
        let (code, text) = platform.exec(&source(&command), &[]);
        assert_eq!(code, 0, "{text}");
    }
    // The same in the file, as TOML's own list, and as a variable; `auto` takes it before everything else.
    let words = command(&["my-issuer", arguments[0], arguments[1]]);
    let variables =
        [("APIM_AGENT_IDENTITY_COMMAND", words.as_str()), ("APIM_AGENT_ID_TOKEN", "not looked at")];
    let (code, text) = platform.exec(&[("identity.source", "auto")], &variables);
    assert!(code == 0 && text.contains("identity source auto took command"), "{text}");
    platform
        .scene
        .workspace
        .edit(|text| text.replace("source = \"ona\"", &format!("source = \"command\"\ncommand = {words}")));
    let (code, text) = platform.exec(&[], &[]);
    assert_eq!(code, 0, "{text}");
    platform.scene.assert_clean();
}

#[test]
fn what_waiting_cannot_mend_ends_the_agent() {
    let platform = Platform::new();
    let secret = "an opaque secret that is no JWT at all";
    platform.scene.secret("the output", secret);
    platform.tool("opaque", &format!("echo '{secret}'"));
    platform.tool("huge", "head -c 3000000 /dev/zero | tr '\\0' x");
    platform.tool("endless", "exec 2> /dev/null; yes; true");
    platform.tool("stubborn", "head -c 70000 /dev/zero; exec sleep 1000");
    platform.tool("binary", "printf '\\377\\376'");
    platform.tool("silent", "true");
    platform.tool("usage", "echo 'unknown flag' >&2; exit 64");
    platform.tool("policy", "echo 'not for this project' >&2; exit 77");
    for (name, code, words) in [
        ("no-such-tool", 78, &["no-such-tool cannot be started", "install it"][..]),
        ("opaque", 78, &["the output of opaque is not an id token", "there is no dot in it"]),
        ("huge", 78, &["longer than 64 KiB"]),
        ("endless", 78, &["longer than 64 KiB"]),
        ("stubborn", 78, &["longer than 64 KiB"]),
        ("binary", 78, &["it is not text"]),
        ("silent", 78, &["the output of silent is empty"]),
        ("usage", 78, &["it exited with 64", "unknown flag"]),
        ("policy", 77, &["it exited with 77", "not for this project"]),
    ] {
        platform.refused(&source(&command(&[name])), &[], code, words);
    }
    assert_eq!(
        platform.scene.emulator.count("Entra_Token"),
        platform.scene.emulator.count("Subscription_List")
    );
}

#[test]
fn what_may_pass_is_tried_again() {
    let platform = Platform::new();
    let token = platform.id_token();
    platform.scene.secret("the id token", &token);
    platform.tool(
        "failing",
        "echo one >&2; cat \"$1\" >&2; printf '\\033]0;title\\007 no network\\n' >&2; exit 3",
    );
    platform.tool("hanging", "echo waiting for a person >&2; sleep 1000");
    let file = platform.scene.emulator.get("assertion_file");
    for (name, words) in [
        ("failing", ["it exited with 3", "no network"]),
        ("hanging", ["gave no id token within 300ms", "waiting for"]),
    ] {
        let command = command(&[name, file]);
        let settings = [&source(&command)[..], &[("request_timeout", "300ms")]].concat();
        let agent = platform.start(&settings, &[], &["run"]);
        agent.wait_for("; again in");
        let status = platform.scene.status();
        let error = &status["credentials"][0]["error"];
        assert!(error["what"].as_str().unwrap().contains(words[0]), "{status}");
        let (code, text) = platform.scene.end(agent);
        assert_eq!(code, 69, "what was wanted never came: {text}");
        assert!(words.iter().all(|words| text.contains(words)) && !text.contains('\u{1b}'), "{text}");
        platform.scene.assert_clean();
    }
}

#[test]
fn it_does_not_outlive_the_agent() {
    let platform = Platform::new();
    let ids = platform.path("ids");
    platform.tool("stuck", &format!("trap '' TERM; sleep 1000 & echo $$ $! > '{}'; wait", ids.display()));
    let command = command(&["stuck"]);
    let settings =
        [&source(&command)[..], &[("request_timeout", "5m"), ("revoke_timeout", "100ms")]].concat();
    let agent = platform.start(&settings, &[], &["run"]);
    let ids = poll("the ids", || std::fs::read_to_string(&ids).ok().filter(|text| text.ends_with('\n')));
    let (code, text) = platform.scene.end(agent);
    // What was under way was called off, and had not failed.
    assert_eq!(code, 0, "{text}");
    for id in ids.split_whitespace() {
        let id = Pid::from_raw(id.parse().unwrap());
        poll("its end", || (kill(id, None).is_err() || is_zombie(id)).then_some(()));
    }
    platform.scene.assert_clean();
}

/// Where nobody collects orphans, as in a bare container, the dead stay listed.
fn is_zombie(id: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
