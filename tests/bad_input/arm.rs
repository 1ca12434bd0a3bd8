//! What ARM and the gateway refuse for good.

use super::{
    KEY, refused,
    support::{
        process::Process,
        scene::{Scene, Settings},
    },
};
use nix::sys::signal::Signal;

const READ: &str = "Microsoft.ApiManagement/service/subscriptions/read";
const WRITE: &str = "Microsoft.ApiManagement/service/subscriptions/write";
const DELETE: &str = "Microsoft.ApiManagement/service/subscriptions/delete";
const SECRETS: &str = "Microsoft.ApiManagement/service/subscriptions/listSecrets/action";

#[test]
fn a_role_without_the_right_to_create() {
    let scene = Scene::new(&["--role-action", READ, "--role-action", DELETE], KEY);
    let words = [
        "ARM did not create the subscription ws-",
        "AuthorizationFailed",
        "write is missing: give",
        "docs/azure.md",
    ];
    refused(&scene, "write", &[], 77, &words);
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1, "asked once and not again");
}

#[test]
fn a_role_without_the_right_to_delete_leaves_something_and_says_what() {
    let scene = Scene::new(&["--role-action", READ, "--role-action", WRITE, "--role-action", SECRETS], KEY);
    let settings: Settings<'_> = &[("revoke_timeout", "1500ms")];
    let agent = scene.published(settings);
    let sid = scene.emulator.subscriptions().remove(0);
    agent.signal(Signal::SIGTERM);
    let (code, text) = scene.finish(agent);
    assert_eq!(code, 75, "{text}");
    for words in
        ["not everything could be revoked", &sid, "delete is missing: give", "delete the subscription"]
    {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    scene.workspace.assert_only_the_journal_left();
    scene.assert_silent();
}

#[test]
fn names_that_arm_does_not_know() {
    let scene = Scene::new(&[], KEY);
    let elsewhere = scene.emulator.service_id() + "x";
    let cases: [(&str, Settings<'_>, &[&str]); 2] = [
        (
            "product",
            &[("credentials.key.scope", "/products/nonesuch")],
            &[
                "with scope /products/nonesuch",
                "ResourceNotFound",
                "check gateway.service and the credential's scope",
            ],
        ),
        ("service", &[("gateway.service", &elsewhere)], &["ResourceNotFound", "check gateway.service"]),
    ];
    for (name, settings, words) in cases {
        refused(&scene, name, settings, 78, words);
    }
}

/// The key exists already when the probe finds that it can never be proved: it must go again.
#[test]
fn a_probe_that_proves_nothing_releases_what_was_minted() {
    let scene = Scene::new(&[], KEY);
    let cases: [(Settings<'_>, &[&str]); 1] = [(
        &[("gateway.probe", "/nonesuch")],
        &["the gateway has no such API or operation", "status 404", "set the probe to the path"],
    )];
    for (settings, words) in cases {
        let text = refused(&scene, "probe", settings, 78, words);
        assert!(text.contains("\nrevoked "), "{text}");
    }
    assert_eq!(scene.emulator.count("Subscription_CreateOrUpdate"), 1);
    assert_eq!(scene.emulator.count("Subscription_Delete"), 1);
}

/// `exec` ends with the same code, and its command never runs.
#[test]
fn exec_does_not_start_its_command_without_credentials() {
    let scene = Scene::new(&["--role-action", READ], KEY);
    let witness = scene.workspace.home.path().join("it-ran");
    let mut command = scene.command(&[], &["exec", "--", "touch"]);
    command.arg(&witness);
    let (code, text) = scene.finish(Process::start(&mut command));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("write is missing: give") && !witness.exists(), "{text}");
    scene.assert_clean();
}
