//! As much of HTTP as the measurements need.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub(crate) struct Connection(TcpStream);

/// What asks for a body.
const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A server that says nothing for so long does not answer any more.
const DEAF: Duration = Duration::from_secs(10);

impl Connection {
    pub(crate) fn new(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(DEAF)).expect("a socket");
        Self(socket)
    }

    pub(crate) fn get(&mut self, path: &str) -> String {
        self.ask(path);
        self.answer().expect("an answer")
    }

    pub(crate) fn ask(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }

    /// The begin of a request, as of a client that sends it slowly.
    pub(crate) fn ask_by_half(&mut self) {
        self.send("GET / HTTP/1.1\r\nHost: loc");
    }

    /// From here on the request is in flight, for as long as the client likes: its handler has asked for the body.
    pub(crate) fn ask_but_for_the_last_byte(&mut self, path: &str) {
        let body = "Content-Length: 1\r\nContent-Type: text/plain\r\nExpect: 100-continue";
        self.send(&format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{body}\r\n\r\n"));
        let mut answer = [0; CONTINUE.len()];
        self.0.read_exact(&mut answer).expect("it asks for the body");
        assert_eq!(&answer, CONTINUE);
    }

    pub(crate) fn send_the_last_byte(&mut self) {
        self.send(".");
    }

    /// The body of the answer, as soon as its last byte is there; `None` if the other end closes before.
    pub(crate) fn answer(&mut self) -> Option<String> {
        let (mut seen, mut more) = (String::new(), [0; 1024]);
        loop {
            let count = self.0.read(&mut more).ok().filter(|&count| count > 0)?;
            seen.push_str(&String::from_utf8_lossy(&more[..count]));
            if let Some(body) = whole_body(&seen) {
                return Some(body.to_owned());
            }
        }
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the other end reads");
    }
}

fn whole_body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    (body.len() == length.parse::<usize>().expect("a number")).then_some(body)
}
