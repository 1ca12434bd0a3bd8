//! What a detached agent says, kept in its memory for `start`, which waits for it, and for `stop`.
//!
//! ```text
//! agent   stdout, stderr ──► the last 64 KiB ──► start   by a socket pair, until it is ready
//!                                           └──► stop    by the socket `report` in the runtime directory, to the end
//! ```
//! A frame is a letter, a length in four bytes (big endian), and so many bytes. The end of the stream without
//! [`Frame::Exit`] is that of an agent that was killed.
//!
//! It is kept in memory rather than in a file, since the files are gone when the last words are said: they tell of that.

use crate::{
    error::{Class, Error, Result},
    sink::runtime_dir::RuntimeDir,
};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::{
    collections::VecDeque,
    io::Write as _,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tokio::io::AsyncReadExt as _;

/// The socket's name in the runtime directory.
const NAME: &str = "report";
/// Bytes that are kept. A life's timeline is a few kilobytes.
const ROOM: usize = 64 * 1024;
/// No frame is longer.
const LONGEST: usize = 256 * 1024;
/// Readers at once; more are sent away.
const MOST: usize = 8;
/// How long the end waits for readers that have stalled.
const PATIENCE: Duration = Duration::from_secs(1);

static REPORT: Report = Report {
    state: Mutex::new(State { kept: false, frames: VecDeque::new(), first: 0, bytes: 0, readers: 0 }),
    changed: Condvar::new(),
};

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// For standard output.
    Out(Vec<u8>),
    /// For standard error.
    Err(Vec<u8>),
    /// Every required credential is published.
    Ready,
    /// It ends with this exit code.
    Exit(u8),
}

struct Report {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Nobody asks for the words of an agent in the foreground.
    kept: bool,
    frames: VecDeque<Frame>,
    /// The number of the first frame that is still there.
    first: usize,
    bytes: usize,
    readers: usize,
}

/// Begins to keep what is said; `starter` hears it until the agent is ready or ends.
pub(super) fn begin(starter: UnixStream) -> Result<()> {
    REPORT.state().kept = true;
    REPORT.follow(starter, true)
}

/// Whether this is a detached agent.
pub(super) fn is_kept() -> bool {
    REPORT.state().kept
}

/// Adds a frame; does not wait for anybody.
pub(super) fn add(frame: impl FnOnce() -> Frame) {
    let mut state = REPORT.state();
    if state.kept {
        state.add(frame());
        drop(state);
        REPORT.changed.notify_all();
    }
}

/// The last frame; waits until the readers have all of it, or have stalled.
pub(super) fn finish(code: u8) {
    add(|| Frame::Exit(code));
    let busy = |state: &mut State| state.readers > 0;
    // Whether it was enough makes no difference: this is the end.
    drop(REPORT.changed.wait_timeout_while(REPORT.state(), PATIENCE, busy));
}

/// Lets whoever runs `stop` listen, for as long as the process lives.
pub(super) fn serve(directory: &RuntimeDir) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(Class::Internal, format!("cannot report from {}", directory.path().display()))
            .why(error.to_string())
    };
    let listener = UnixListener::bind(address(directory)).map_err(failed)?;
    let uid = nix::unistd::geteuid().as_raw();
    let accept = move || {
        for stream in listener.incoming() {
            // A lack of descriptors or memory: whoever asked sees the end of the stream.
            let Ok(stream) = stream else {
                thread::sleep(PATIENCE);
                continue;
            };
            let admitted =
                getsockopt(&stream, PeerCredentials).is_ok_and(|peer| [0, uid].contains(&peer.uid()));
            if admitted && REPORT.state().readers < MOST {
                // Whoever asked sees the end of the stream.
                let _ = REPORT.follow(stream, false);
            }
        }
    };
    thread::Builder::new().name(NAME.to_owned()).spawn(accept).map(drop).map_err(failed)
}

/// Through the folder's descriptor: short, and no other hand can have it lead elsewhere.
fn address(directory: &RuntimeDir) -> PathBuf {
    directory.control_address().with_file_name(NAME)
}

/// Listens to the agent in `directory`. `None`: it runs in the foreground, where it can be seen.
///
/// The first frame, the agent's name, has come when this returns: a connection that was not accepted yet would miss the end.
pub(super) async fn listen(directory: &RuntimeDir) -> Option<tokio::net::UnixStream> {
    let mut stream = tokio::net::UnixStream::connect(address(directory)).await.ok()?;
    let first = tokio::time::timeout(PATIENCE, next(&mut stream)).await.ok()?;
    first.map(|_| stream)
}

/// The next frame; `None` at the end of the stream.
pub(super) async fn next(stream: &mut tokio::net::UnixStream) -> Option<Frame> {
    let kind = stream.read_u8().await.ok()?;
    let length = usize::try_from(stream.read_u32().await.ok()?).ok().filter(|&length| length <= LONGEST)?;
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.ok()?;
    Frame::read(kind, bytes)
}

impl Report {
    /// A thread for a reader, so that a slow one keeps nobody waiting; it loses what falls out meanwhile.
    fn follow(&'static self, mut stream: UnixStream, until_ready: bool) -> Result<()> {
        self.state().readers += 1;
        let read = move || {
            let mut next = 0;
            loop {
                let state = self.state();
                let nothing = |state: &mut State| state.end() <= next;
                let state = self.changed.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner);
                let from = next.saturating_sub(state.first);
                let frames: Vec<_> = state.frames.iter().skip(from).cloned().collect();
                next = state.end();
                drop(state);
                let last = |frame: &Frame| match frame {
                    Frame::Exit(_) => true,
                    Frame::Ready => until_ready,
                    Frame::Out(_) | Frame::Err(_) => false,
                };
                let over = frames.iter().any(last);
                // One that has gone away is no reason to stop.
                if !frames.iter().all(|frame| stream.write_all(&frame.bytes()).is_ok()) || over {
                    break;
                }
            }
            drop(stream);
            self.state().readers -= 1;
            self.changed.notify_all();
        };
        thread::Builder::new().name(NAME.to_owned()).spawn(read).map(drop).map_err(|error| {
            self.state().readers -= 1;
            Error::new(Class::Internal, "cannot start the thread that reports").why(error.to_string())
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number of the frame to come.
    fn end(&self) -> usize {
        self.first + self.frames.len()
    }

    fn add(&mut self, frame: Frame) {
        self.bytes += frame.text().len();
        self.frames.push_back(frame);
        while self.bytes > ROOM && self.frames.len() > 1 {
            if let Some(oldest) = self.frames.pop_front() {
                self.bytes -= oldest.text().len();
                self.first += 1;
            }
        }
    }
}

impl Frame {
    fn text(&self) -> &[u8] {
        match self {
            Self::Out(text) | Self::Err(text) => text,
            Self::Ready => &[],
            Self::Exit(code) => std::slice::from_ref(code),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let kind = match self {
            Self::Out(_) => b'o',
            Self::Err(_) => b'e',
            Self::Ready => b'r',
            Self::Exit(_) => b'x',
        };
        let text = &self.text()[..self.text().len().min(LONGEST)];
        // It is at most LONGEST.
        let length = u32::try_from(text.len()).unwrap_or_default();
        [&[kind][..], &length.to_be_bytes(), text].concat()
    }

    fn read(kind: u8, bytes: Vec<u8>) -> Option<Self> {
        match (kind, &bytes[..]) {
            (b'o', _) => Some(Self::Out(bytes)),
            (b'e', _) => Some(Self::Err(bytes)),
            (b'r', []) => Some(Self::Ready),
            (b'x', [code]) => Some(Self::Exit(*code)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_what_is_read() {
        let (mut ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let frames = [Frame::Out(b"one\n".to_vec()), Frame::Err(Vec::new()), Frame::Ready, Frame::Exit(75)];
        for frame in &frames {
            tokio::io::AsyncWriteExt::write_all(&mut ours, &frame.bytes()).await.unwrap();
        }
        drop(ours);
        for frame in frames {
            assert_eq!(next(&mut theirs).await, Some(frame));
        }
        assert_eq!(next(&mut theirs).await, None);
    }

    #[test]
    fn the_oldest_words_go_first_and_the_numbers_stay() {
        let mut state = State { kept: true, frames: VecDeque::new(), first: 0, bytes: 0, readers: 0 };
        for letter in b"abc" {
            state.add(Frame::Out(vec![*letter; ROOM / 2]));
        }
        assert_eq!((state.first, state.end(), state.bytes), (1, 3, ROOM));
        assert_eq!(state.frames[0], Frame::Out(vec![b'b'; ROOM / 2]));
    }
}
