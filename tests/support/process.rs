//! A child process whose output is read as it comes, so that a test waits for words and never for time.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// Far beyond anything that works: only a hang gets here.
pub(crate) const HANG: Duration = Duration::from_mins(2);

/// How long a process whose test is over may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Output {
    text: Mutex<(String, usize)>,
    grown: Condvar,
}

impl Output {
    fn read(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                output.text.lock().unwrap().0.push_str(&String::from_utf8_lossy(&line));
                output.grown.notify_all();
                line.clear();
            }
            output.text.lock().unwrap().1 += 1;
            output.grown.notify_all();
        });
    }
}

/// A running child.
pub(crate) struct Process {
    child: Child,
    output: Arc<Output>,
}

impl Process {
    /// Starts it with both outputs captured, in one text, in the order of arrival.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = Arc::new(Output::default());
        output.read(child.stdout.take().unwrap());
        output.read(child.stderr.take().unwrap());
        Self { child, output }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What it has printed so far.
    pub(crate) fn text(&self) -> String {
        self.output.text.lock().unwrap().0.clone()
    }

    /// Waits until what it printed satisfies `enough`; fails when it ends or hangs before.
    pub(crate) fn wait_until(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let text = self.output.text.lock().unwrap();
        let waited = self
            .output
            .grown
            .wait_timeout_while(text, HANG, |(text, closed)| !enough(text) && *closed < 2)
            .unwrap();
        let (text, timed_out) = (waited.0.0.clone(), waited.1.timed_out());
        // The readers go on when this one fails.
        drop(waited);
        assert!(enough(&text), "{what} did not come (timed out: {timed_out}):\n{text}");
        text
    }

    /// Waits until it has printed `words`.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.wait_until(words, |text| text.contains(words))
    }

    /// Whether both its outputs are closed, so that it is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.output.text.lock().unwrap().1 == 2
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for its end: status and everything it printed.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let text = self.output.text.lock().unwrap();
        let (text, timeout) =
            self.output.grown.wait_timeout_while(text, HANG, |(_, closed)| *closed < 2).unwrap();
        assert!(!timeout.timed_out(), "it does not end:\n{}", text.0);
        let printed = text.0.clone();
        drop(text);
        (self.child.wait().unwrap(), printed)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left running, nor left behind where it can still clean up.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(nix::sys::signal::Signal::SIGTERM);
            let text = self.output.text.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            drop(self.output.grown.wait_timeout_while(text, PATIENCE, |(_, closed)| *closed < 2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
