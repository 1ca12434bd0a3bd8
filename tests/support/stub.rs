//! A server that gives every request the same answer: for what the emulator's own services never say.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Answers on loopback, over plain HTTP, until the test's process ends.
pub(crate) struct Stub {
    /// Its base URL, without a trailing slash.
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl Stub {
    /// Starts one. `head` is the status line's end and the headers, such as `302 Found\r\nLocation: /x\r\n`.
    pub(crate) fn start(head: &str, body: &str) -> Self {
        Self::start_with(head, |_| body.to_owned())
    }

    /// Starts one whose body knows its base URL.
    pub(crate) fn start_with(head: &str, body: impl FnOnce(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let body = body(&url);
        let answer =
            format!("HTTP/1.1 {head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                // Whole, since closing a socket with unread bytes in it would reset the connection.
                reader.read_exact(&mut vec![0; length]).unwrap();
                seen.fetch_add(1, Ordering::SeqCst);
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, requests }
    }

    /// How many requests it has answered.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}
