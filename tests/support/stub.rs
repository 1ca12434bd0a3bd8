//! A server for what the emulator's own services never say: the same answer to every request, or one made for each.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

/// Answers on loopback, over plain HTTP, until the test's process ends.
pub(crate) struct Stub {
    /// Its base URL, without a trailing slash.
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Starts one. `head` is the status line's end and the headers, such as `302 Found\r\nLocation: /x\r\n`.
    pub(crate) fn start(head: &str, body: &str) -> Self {
        Self::start_with(head, |_| body.to_owned())
    }

    /// Starts one whose body knows its base URL.
    pub(crate) fn start_with(head: &str, body: impl FnOnce(&str) -> String) -> Self {
        let head = head.to_owned();
        Self::serve(|url| {
            let body = body(url);
            move |_| (head.clone(), body.clone())
        })
    }

    /// Starts one that answers each request, of which it is given request line and headers, with a head and a body.
    pub(crate) fn serve<B: AsRef<[u8]>, A: Fn(&str) -> (String, B) + Send + 'static>(
        answer: impl FnOnce(&str) -> A,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer(&url);
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut request, mut length) = (String::new(), 0);
                let mut begin = 0;
                while reader.read_line(&mut request).is_ok_and(|read| read > 2) {
                    if let Some(value) = request[begin..].to_ascii_lowercase().strip_prefix("content-length:")
                    {
                        length = value.trim().parse().unwrap();
                    }
                    begin = request.len();
                }
                // Whole, since closing a socket with unread bytes in it would reset the connection.
                reader.read_exact(&mut vec![0; length]).unwrap();
                let (head, body) = answer(&request);
                seen.lock().unwrap().push(request);
                let body = body.as_ref();
                let head =
                    format!("HTTP/1.1 {head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // At once, so that a client that gives up at the length has read the head.
                reader.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
            }
        });
        Self { url, heads }
    }

    /// How many requests it has answered.
    pub(crate) fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// Request line and headers of all that it has answered, in order.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}
