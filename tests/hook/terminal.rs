//! A shell on a terminal of its own.

use crate::support::{process::HANG, scene::poll};
use pty_process::blocking::{Command, Pty, open};
use std::{
    cell::Cell,
    collections::HashMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex},
    time::Duration,
};

/// How a shell is started and told of the hook.
pub(crate) struct Shell {
    pub(crate) name: &'static str,
    arguments: &'static [&'static str],
    rc: &'static str,
    hook: &'static str,
    own: &'static str,
}

pub(crate) const BASH: Shell = Shell {
    name: "bash",
    arguments: &["--noprofile", "-i"],
    rc: ".bashrc",
    hook: "eval \"$(PROGRAM hook bash)\"",
    own: "HISTFILE=$HOME/.history; export OWN=stays; PS1='$ '",
};
pub(crate) const ZSH: Shell = Shell {
    name: "zsh",
    arguments: &["-o", "noglobalrcs", "-i"],
    rc: ".zshrc",
    hook: "eval \"$(PROGRAM hook zsh)\"",
    own: "HISTFILE=$HOME/.history SAVEHIST=1000; export OWN=stays; PS1='$ '; unsetopt zle",
};
pub(crate) const FISH: Shell = Shell {
    name: "fish",
    arguments: &["-i"],
    rc: ".config/fish/config.fish",
    hook: "PROGRAM hook fish | source",
    own: "set -gx OWN stays; function fish_prompt; printf '$ '; end",
};

/// The shell, with all that its terminal has shown.
pub(crate) struct Terminal<'a> {
    pty: Arc<Pty>,
    child: Child,
    shown: Arc<Mutex<String>>,
    folder: &'a Path,
    count: Cell<usize>,
}

impl<'a> Terminal<'a> {
    /// Starts it with `rc` in its file, in which `HOOK` stands for the line of the hook; only that line where it is empty.
    /// `HOOK-AS PROGRAM` has another program in the place of ours. `folder` is in RAM.
    pub(crate) fn open(shell: &Shell, home: &Path, folder: &'a Path, binary: &str, rc: &str) -> Self {
        let hook = |program: &str| shell.hook.replace("PROGRAM", program);
        let lines = match rc.strip_prefix("HOOK-AS ") {
            // Its own path is in what it prints.
            Some(other) if shell.name == "fish" => {
                format!("{binary} hook fish | string replace {binary} {other} | source")
            }
            Some(other) => {
                format!("eval \"$({binary} hook {} | sed 's|{binary}|{other}|')\"", shell.name)
            }
            None if rc.is_empty() => hook(binary),
            None => rc.replace("HOOK", &hook(binary)),
        };
        let file = home.join(shell.rc);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{}\n{lines}\n", shell.own)).unwrap();
        let (pty, pts) = open().unwrap();
        pty.resize(pty_process::Size::new(40, 200)).unwrap();
        let command = Command::new(shell.name).args(shell.arguments).env_clear().env("HOME", home);
        let command = command.env("PATH", std::env::var_os("PATH").unwrap()).env("TERM", "dumb");
        let child = command.env("LC_ALL", "C.UTF-8").current_dir(home).spawn(pts).unwrap();
        let (pty, shown) = (Arc::new(pty), Arc::new(Mutex::new(String::new())));
        let (reader, text) = (Arc::clone(&pty), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux says EIO when the last process has left the terminal.
            while let Ok(length @ 1..) = (&*reader).read(&mut buffer) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        let terminal = Self { pty, child, shown, folder, count: Cell::new(0) };
        terminal.run(":");
        terminal
    }

    /// Types a line and waits for nothing.
    pub(crate) fn type_in(&self, line: &str) {
        (&*self.pty).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Runs a line, and waits until it has shown `words`, which the line itself must not contain.
    pub(crate) fn say(&self, line: &str, words: &str) {
        assert!(!line.contains(words));
        let before = self.shown.lock().unwrap().len();
        self.type_in(line);
        poll(&format!("{words:?} in {:?}", self.shown.lock().unwrap()), || {
            self.shown.lock().unwrap()[before..].contains(words).then_some(())
        });
    }

    /// Runs a line, and waits for its end and for another prompt's.
    pub(crate) fn run(&self, line: &str) {
        self.type_in(line);
        let number = self.count.replace(self.count.get() + 1);
        self.say(&format!("printf 'end of %s.\\n' {number}"), &format!("end of {number}."));
    }

    /// What a command gets to see at the next prompt.
    pub(crate) fn environment(&self) -> HashMap<String, String> {
        let file: PathBuf = self.folder.join("seen");
        // The prompt that stands there may be older than what happened since.
        self.run(":");
        self.run(&format!("command env > {}", file.display()));
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Ends it; all that was shown.
    pub(crate) fn close(mut self) -> String {
        self.type_in("exit");
        let mut waited = Duration::ZERO;
        while self.child.try_wait().unwrap().is_none() {
            assert!(waited < HANG, "it does not end: {}", self.shown.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
            waited += Duration::from_millis(20);
        }
        self.shown.lock().unwrap().clone()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
