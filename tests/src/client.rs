//! HTTP/1.1 as bare as it is on the wire, so that a test sees what really comes.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

/// HTTP/1.1 on one connection at a time, kept alive while the server does.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
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
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
        );
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
pub fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
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
