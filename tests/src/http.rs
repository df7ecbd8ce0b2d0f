//! HTTP/1.1 as bare as it is on the wire, so that a test sees what really comes.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::PATIENCE;

/// When the program `http` ends its drain by force: its `timeout` without its `finalize_timeout`.
pub const FORCE: Duration = Duration::from_secs(9);

/// A connection, and what was read of it ahead.
pub type Connection = BufReader<TcpStream>;

/// The head of a request: `what` is its method and its path, `fields` is what else it says beside the host.
#[must_use]
pub fn head(what: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{what} HTTP/1.1\r\nhost: test\r\n{fields}\r\n")
}

/// Sends a text.
///
/// # Panics
///
/// If the connection does not take it.
#[track_caller]
pub fn send(connection: &mut BufReader<impl Write>, text: &str) {
    connection.get_mut().write_all(text.as_bytes()).expect("written");
}

/// Asks for a path, on a connection that there is.
///
/// # Panics
///
/// If the connection does not take it.
#[track_caller]
pub fn ask_on(connection: &mut BufReader<impl Write>, path: &str) {
    send(connection, &head(&format!("GET {path}"), &[]));
}

/// Asks for a path, on a connection of its own, and does not read the answer.
///
/// # Panics
///
/// If nobody listens.
#[must_use]
#[track_caller]
pub fn ask(address: SocketAddr, path: &str) -> Connection {
    let mut connection = connect(address).expect("it listens");
    ask_on(&mut connection, path);
    connection
}

/// Asks for a path, on a connection that there is, and reads the answer.
///
/// # Panics
///
/// If there is none.
#[track_caller]
pub fn get(connection: &mut BufReader<impl Read + Write>, path: &str) -> Answer {
    ask_on(connection, path);
    Answer::read(connection).expect("an answer")
}

/// Checks that the connection ends, and that nothing more comes on it.
///
/// # Panics
///
/// If it does not end, or something comes.
#[track_caller]
pub fn ends(connection: &mut impl Read) {
    let mut rest = Vec::new();
    if let Err(error) = connection.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// Checks that nobody listens.
///
/// # Panics
///
/// If somebody does.
#[track_caller]
pub fn refused(address: SocketAddr) {
    let error = connect(address).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

/// HTTP/1.1 on one connection at a time, kept alive while the server does.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    /// A client that connects when it is asked for something.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Asks for something; gives the status and the body.
    ///
    /// # Errors
    ///
    /// If the connection is refused, or ends before the answer has.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        let length = format!("content-length: {}", body.len());
        let request = head(&format!("{method} {path}"), &[&length]) + body;
        connection.get_mut().write_all(request.as_bytes())?;
        let answer = Answer::read(&mut connection)?;
        self.connection = (!answer.closes()).then_some(connection);
        Ok((answer.status, answer.body))
    }
}

/// Connects; nothing that is read from it waits longer than [`PATIENCE`].
///
/// # Errors
///
/// What the system says.
pub fn connect(address: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(address)?;
    // Where nobody listens on a port of the ephemeral range, a connection can meet itself.
    if stream.local_addr()? == address {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, in lower case.
    pub head: Vec<String>,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// Reads it, also where it comes in chunks.
    ///
    /// # Errors
    ///
    /// If the connection ends before it has.
    ///
    /// # Panics
    ///
    /// If it is not HTTP/1.1.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut head = Vec::new();
        loop {
            let line = line(from)?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let status =
            head.first().and_then(|line| line.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok());
        let mut answer = Self { status: status.expect("a status"), head, body: String::new() };
        let mut body = Vec::new();
        if answer.field("transfer-encoding") == Some("chunked") {
            while read_chunk(from, &mut body)? {}
        } else {
            body.resize(
                answer
                    .field("content-length")
                    .map_or(0, |length| length.parse().expect("a length")),
                0,
            );
            from.read_exact(&mut body)?;
        }
        answer.body = String::from_utf8(body).expect("a text");
        Ok(answer)
    }

    /// A field of the head.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Whether it says that the connection closes.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Appends the next chunk; says whether there is one more.
fn read_chunk(from: &mut impl BufRead, to: &mut Vec<u8>) -> io::Result<bool> {
    let length = usize::from_str_radix(&line(from)?, 16).map_err(io::Error::other)?;
    let begin = to.len();
    to.resize(begin + length, 0);
    from.read_exact(&mut to[begin..])?;
    line(from)?;
    Ok(length > 0)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}
