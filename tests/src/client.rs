//! HTTP/1.1 from outside, in a few lines: a client that sees each connection, and how it ends.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

/// One request after the other, on one connection at a time, kept alive while the server does.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client that connects when it has something to ask for.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Gives the status and the body.
    ///
    /// # Errors
    ///
    /// If nobody listens, or nobody answers.
    ///
    /// # Panics
    ///
    /// If the answer is none of HTTP/1.1.
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
        let (status, body, keep_alive) = answer(&mut connection)?;
        self.connection = keep_alive.then_some(connection);
        Ok((status, body))
    }
}

/// Connects, unless it would be with itself.
///
/// # Errors
///
/// If nobody listens.
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

/// Reads an answer: the status, the body, and whether the connection stays open.
///
/// # Errors
///
/// If the connection ends before.
///
/// # Panics
///
/// If it is none of HTTP/1.1.
pub fn answer(connection: &mut impl BufRead) -> io::Result<(u16, String, bool)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let field = |name| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let status = field("http/1.1").and_then(|line| line.get(..3)?.parse().ok()).expect("a status");
    let length = field("content-length:").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    let body = String::from_utf8(body).expect("a text");
    Ok((status, body, field("connection:") != Some("close")))
}
