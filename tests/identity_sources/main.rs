//! The sources that are not Ona's API, end to end: the real binary, stand-ins for the platforms' tools and services.

#![allow(clippy::unwrap_used)] // a test's helpers may panic as the tests themselves do

#[path = "../support/mod.rs"]
mod support;

mod auto;
mod command;
mod platforms;
mod prebuild;
mod sessions;
mod sign_in;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};
use support::{
    TOKEN,
    process::Process,
    scene::{Scene, Settings},
};
use tempfile::TempDir;

/// A scene, and a folder with stand-ins that comes first on the search path.
struct Platform {
    scene: Scene,
    folder: TempDir,
}

impl Platform {
    fn new() -> Self {
        Self::with(TOKEN)
    }

    fn with(credentials: &str) -> Self {
        // In RAM: a stand-in may write down what it was asked.
        Self { scene: Scene::new(&[], credentials), folder: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    /// Puts a shell script called `name` in the place of a platform's tool.
    fn tool(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A tool that gives the emulator's id token when it is called with exactly these arguments.
    fn token_tool(&self, name: &str, arguments: &str) {
        let file = self.scene.emulator.get("assertion_file");
        self.tool(
            name,
            &format!(
                "echo asked >> '{}'; [ \"$*\" = '{arguments}' ] && cat '{file}'",
                self.calls().display()
            ),
        );
    }

    /// The emulator's id token, as a platform would issue it.
    fn id_token(&self) -> String {
        fs::read_to_string(self.scene.emulator.get("assertion_file")).unwrap().trim().to_owned()
    }

    /// An access token for the echo API, as a session would have it.
    fn access_token(&self) -> String {
        let emulator = &self.scene.emulator;
        let form = format!(
            "grant_type=client_credentials&client_id={}&scope=api%3A%2F%2Fecho%2F.default\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={}",
            emulator.get("client_id"),
            self.id_token()
        );
        let url = format!("{}/{}/oauth2/v2.0/token", emulator.get("authority"), emulator.get("tenant_id"));
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = emulator.call("POST", &url, &headers, &form).json();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// How often a [`Self::token_tool`] was called.
    fn asked(&self) -> usize {
        fs::read_to_string(self.calls()).map_or(0, |text| text.lines().count())
    }

    fn calls(&self) -> PathBuf {
        self.path("calls")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the agent in an environment of `variables`, without a bearer for Ona's API.
    fn start(&self, settings: Settings<'_>, variables: &[(&str, &str)], arguments: &[&str]) -> Process {
        let none = self.path("no-bearer");
        let settings = [&[("identity.bearer_file", none.to_str().unwrap())], settings].concat();
        let mut command = self.scene.command(&settings, arguments);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.folder.path().display()));
        command.envs(variables.iter().copied());
        Process::start(&mut command)
    }

    /// One whole life with the credential; its exit code, and all that was printed.
    fn exec(&self, settings: Settings<'_>, variables: &[(&str, &str)]) -> (i32, String) {
        let check = ["exec", "--", "sh", "-c", "test -n \"$APIM_ACCESS_TOKEN\""];
        self.scene.finish(self.start(settings, variables, &check))
    }

    /// The agent must end by itself with `code`, and say all of `words` and how to mend it.
    fn refused(
        &self,
        settings: Settings<'_>,
        variables: &[(&str, &str)],
        code: i32,
        words: &[&str],
    ) -> String {
        let (found, text) = self.scene.finish(self.start(settings, variables, &["run"]));
        assert_eq!(found, code, "{text}");
        for words in ["\napim-agent: ", "\n  fix: "].iter().chain(words) {
            assert!(format!("\n{text}").contains(words), "no {words:?} in\n{text}");
        }
        self.scene.assert_clean();
        text
    }
}
