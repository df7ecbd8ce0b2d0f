//! Requests one after the other on connections that are kept: what each costs the server, and how many it answers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

use crate::{
    leaving::Leaver,
    rounds::{self, Entrant, Value},
};

const ROUNDS: usize = 15;

/// The same routes on both.
const SERVERS: [&str; 2] = ["graceful::http", "axum"];

const REQUESTS: usize = 40_000;

/// A protocol: how many connections, with how many requests on their way on each.
struct Load {
    name: &'static str,
    connections: usize,
    at_once: usize,
    client: fn(TcpStream) -> Box<dyn Client>,
}

const LOADS: [Load; 2] = [
    Load {
        name: "HTTP/1.1",
        connections: 32,
        at_once: 1,
        client: |socket| Box::new(Http1::new(socket)),
    },
    Load {
        name: "HTTP/2",
        connections: 4,
        at_once: 8,
        client: |socket| Box::new(Http2::new(socket)),
    },
];

pub(super) fn run() {
    for load in &LOADS {
        let entrants = SERVERS
            .map(|server| Entrant::new(server, move || load.measure(&mut Leaver::start(server))));
        rounds::run(ROUNDS, entrants.into()).print("http");
    }
}

impl Load {
    fn measure(&self, server: &mut Leaver) -> Vec<Value> {
        let Self { name, connections, at_once, client } = self;
        let before = processor_time();
        let connect = |_| {
            let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
            socket.set_nodelay(true).expect("a socket");
            client(socket)
        };
        let mut clients: Vec<_> = (0..*connections).map(connect).collect();
        let begin = Instant::now();
        for _ in 0..REQUESTS / connections / at_once {
            clients.iter_mut().for_each(|client| client.ask(*at_once));
            clients.iter_mut().for_each(|client| client.take(*at_once));
        }
        let took = begin.elapsed();
        drop(clients);
        server.tell();
        server.gone_after(Instant::now());
        let spent = processor_time() - before;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / REQUESTS as f64;
        vec![
            Value::new(format!("processor time a request, {name}"), each(spent), "µs"),
            Value::new(format!("time a request, {name}"), each(took), "µs"),
        ]
    }
}

/// What all children that have ended took.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the system tells");
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(micros.try_into().expect("it only grows"))
}

/// One connection. It knows just enough of its protocol to count answers, so that it takes little from the server.
trait Client {
    fn ask(&mut self, requests: usize);

    /// Waits for so many answers.
    fn take(&mut self, answers: usize);
}

struct Http1 {
    socket: TcpStream,
    /// That of each answer.
    length: usize,
    buffer: Vec<u8>,
}

impl Http1 {
    fn new(socket: TcpStream) -> Self {
        let mut client = Self { socket, length: 0, buffer: vec![0; 16 * 1024] };
        client.ask(1);
        while !client.buffer[..client.length].ends_with(b"\r\n\r\nhello") {
            client.length +=
                client.socket.read(&mut client.buffer[client.length..]).expect("an answer");
        }
        client
    }
}

impl Client for Http1 {
    fn ask(&mut self, requests: usize) {
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.socket.write_all(request.repeat(requests).as_bytes()).expect("the other end reads");
    }

    fn take(&mut self, answers: usize) {
        self.socket.read_exact(&mut self.buffer[..answers * self.length]).expect("answers");
    }
}

struct Http2 {
    socket: TcpStream,
    /// The number of the next request's stream.
    stream: u32,
    /// What was read, and how much of it.
    buffer: Vec<u8>,
    filled: usize,
}

impl Http2 {
    const HEADER: usize = 9;

    fn new(mut socket: TcpStream) -> Self {
        let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        socket.write_all(settings).expect("the other end reads");
        // Room for all answers.
        socket.write_all(b"\0\0\x04\x08\0\0\0\0\0\x7f\0\0\0").expect("the other end reads");
        Self { socket, stream: 1, buffer: vec![0; 64 * 1024], filled: 0 }
    }

    /// The type and the flags of the first frame that was read, if it is whole, and its length.
    fn frame(read: &[u8]) -> Option<(u8, u8, usize)> {
        let &[a, b, c, kind, flags, ..] = read else { return None };
        let length = Self::HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
        (read.len() >= length).then_some((kind, flags, length))
    }
}

impl Client for Http2 {
    fn ask(&mut self, requests: usize) {
        // GET, http, /, and the authority as it is.
        let head = b"\x82\x86\x84\x01\x09localhost";
        let mut frames = Vec::new();
        for _ in 0..requests {
            // The head, which ends both itself and the request.
            frames.extend([0, 0, head.len() as u8, 1, 5]);
            frames.extend(self.stream.to_be_bytes());
            frames.extend(head);
            self.stream += 2;
        }
        self.socket.write_all(&frames).expect("the other end reads");
    }

    fn take(&mut self, mut answers: usize) {
        const DATA: u8 = 0;
        const SETTINGS: u8 = 4;
        const IS_LAST: u8 = 1;
        while answers > 0 {
            let count = self.socket.read(&mut self.buffer[self.filled..]).expect("answers");
            assert!(count > 0, "the other end has closed");
            self.filled += count;
            let mut used = 0;
            while let Some((kind, flags, length)) = Self::frame(&self.buffer[used..self.filled]) {
                used += length;
                match kind {
                    DATA if flags & IS_LAST != 0 => answers -= 1,
                    // Theirs, which we take note of.
                    SETTINGS if flags == 0 => {
                        self.socket.write_all(b"\0\0\0\x04\x01\0\0\0\0").expect("it reads");
                    }
                    _ => {}
                }
            }
            self.buffer.copy_within(used..self.filled, 0);
            self.filled -= used;
        }
    }
}
