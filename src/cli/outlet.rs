//! Standard output and standard error for whoever must not wait: a reader that stalls would stop the wipe with us.
//!
//! What is pushed is written by a thread of its own. While nobody reads, a bounded queue takes it, and then drops it.

use super::report::{self, Frame};
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that wait for the reader, besides those that the kernel takes. A life's timeline is a few kilobytes.
const ROOM: usize = 256 * 1024;
/// How long the end waits for a reader that has stalled; one that reads needs a moment.
const PATIENCE: Duration = Duration::from_secs(1);

static STDOUT: Outlet = Outlet::new(|text| io::stdout().lock().write_all(text), Some(Frame::Out));
static STDERR: Outlet = Outlet::new(|text| io::stderr().lock().write_all(text), Some(Frame::Err));

/// A queue in front of a stream.
pub(super) struct Outlet {
    write: fn(&[u8]) -> io::Result<()>,
    /// Where a detached agent's words go, whose stream leads nowhere.
    report: Option<fn(Vec<u8>) -> Frame>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: VecDeque<Vec<u8>>,
    /// Bytes in the queue.
    length: usize,
    /// What did not fit since the last text that did.
    lost: usize,
    /// The thread holds a text that it has not written yet.
    writing: bool,
    /// The thread is there.
    started: bool,
}

/// Standard output.
pub(super) fn stdout() -> &'static Outlet {
    &STDOUT
}

/// Standard error.
pub(super) fn stderr() -> &'static Outlet {
    &STDERR
}

/// Starts the threads. What was pushed before has waited for that; without a thread it is written by [`flush`].
pub(super) fn start() -> io::Result<()> {
    STDOUT.start("stdout").and(STDERR.start("stderr"))
}

/// Waits until both are written, or their readers have stalled. For the end, when nothing is left to wipe.
pub(super) fn flush() {
    STDOUT.flush(PATIENCE);
    STDERR.flush(PATIENCE);
}

impl Outlet {
    const fn new(write: fn(&[u8]) -> io::Result<()>, report: Option<fn(Vec<u8>) -> Frame>) -> Self {
        let state = State { queue: VecDeque::new(), length: 0, lost: 0, writing: false, started: false };
        Self { write, report, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn start(&'static self, name: &str) -> io::Result<()> {
        thread::Builder::new().name(name.to_owned()).spawn(|| self.pump())?;
        self.state().started = true;
        Ok(())
    }

    /// Puts whole lines into the queue, or drops them when it is full. Never waits for the reader.
    pub(super) fn push(&self, text: &[u8]) {
        if let Some(frame) = self.report {
            report::add(|| frame(text.to_vec()));
        }
        let mut state = self.state();
        if state.length + text.len() > ROOM {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let note = format!("apim-agent: {} messages are missing here: nobody read\n", state.lost);
            state.lost = 0;
            state.put(note.into_bytes());
        }
        state.put(text.to_vec());
        drop(state);
        self.changed.notify_all();
    }

    /// Writes what comes, for ever.
    fn pump(&self) {
        let mut state = self.state();
        loop {
            if let Some(text) = state.take() {
                state.writing = true;
                drop(state);
                // Nobody reading any more is no reason to stop: the credentials are what counts.
                let _ = (self.write)(&text);
                state = self.state();
                state.writing = false;
                self.changed.notify_all();
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn flush(&self, patience: Duration) {
        let mut state = self.state();
        if state.started {
            let busy = |state: &mut State| state.writing || !state.queue.is_empty();
            // Whether it was enough makes no difference: this is the end.
            drop(self.changed.wait_timeout_while(state, patience, busy));
            return;
        }
        while let Some(text) = state.take() {
            // As above.
            let _ = (self.write)(&text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, text: Vec<u8>) {
        self.length += text.len();
        self.queue.push_back(text);
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let text = self.queue.pop_front()?;
        self.length -= text.len();
        Some(text)
    }
}

/// For the log, which writes one event at a time.
impl Write for &Outlet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.push(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    #[test]
    fn what_does_not_fit_is_dropped_and_told_of() {
        static OUTLET: Outlet = Outlet::new(
            |text| {
                WRITTEN.lock().unwrap().extend_from_slice(text);
                Ok(())
            },
            None,
        );
        OUTLET.push(&vec![b'x'; ROOM]);
        OUTLET.push(b"lost\n");
        OUTLET.push(b"lost\n");
        OUTLET.flush(PATIENCE);
        OUTLET.start("test").unwrap();
        OUTLET.push(b"next\n");
        OUTLET.flush(Duration::from_mins(1));
        let written = WRITTEN.lock().unwrap();
        let told = String::from_utf8_lossy(&written[ROOM..]);
        assert_eq!(told, "apim-agent: 2 messages are missing here: nobody read\nnext\n");
    }

    #[test]
    fn a_reader_that_stalls_stops_nobody() {
        static STALLED: Mutex<()> = Mutex::new(());
        static OUTLET: Outlet = Outlet::new(
            |_| {
                drop(STALLED.lock());
                Ok(())
            },
            None,
        );
        let stalled = STALLED.lock().unwrap();
        OUTLET.start("test").unwrap();
        OUTLET.push(&vec![b'x'; ROOM]);
        OUTLET.push(&vec![b'x'; ROOM]);
        OUTLET.push(&vec![b'x'; ROOM]);
        OUTLET.flush(Duration::from_millis(1));
        drop(stalled);
        OUTLET.flush(Duration::from_mins(1));
        assert_eq!(OUTLET.state().length, 0);
    }
}
