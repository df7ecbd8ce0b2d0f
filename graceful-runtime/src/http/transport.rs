//! What is under a connection: it tells the connection what comes and goes, and fails once an upgraded connection is cut by a force. It
//! answers the last PING of HTTP/2 in the place of a peer that does not.

use std::{
    cell::RefCell,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    connection::Connection,
    frames::{ANSWER, Reading},
    keep_alive::KeepAlive,
};

/// As much as hyper reads at first: what has come goes to it in one piece.
const FIRST: usize = 8192;

/// What is written as one buffer, though it is in several: most answers of an API.
const SMALL: usize = 4096;

thread_local! {
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

type ForceWait = Option<Pin<Box<WaitForCancellationFutureOwned>>>;

/// A stream of a connection. The connection ends with it.
#[derive(Debug)]
pub(super) struct Transport<S> {
    stream: S,
    connection: Arc<Connection>,
    reading: Reading,
    /// What was read to know what the peer speaks, and is to be read again.
    first: Bytes,
    /// What is left to give of the answer that the peer owes; `None` before any of it is.
    answer: Option<&'static [u8]>,
    /// Whether the system took nothing more when it was last asked.
    is_blocked: bool,
    /// All that is to be written is.
    is_shut: bool,
    /// How each of the two directions, which may be in two tasks after an upgrade, hears of a force.
    read_cut: ForceWait,
    write_cut: ForceWait,
}

impl<S> Transport<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            connection,
            reading: Reading::new(),
            first: Bytes::new(),
            answer: None,
            is_blocked: false,
            is_shut: false,
            read_cut: None,
            write_cut: None,
        }
    }
}

impl<S: AsyncRead + Unpin> Transport<S> {
    /// Waits until it is known what the peer speaks, and says whether that is HTTP/2. Where nothing more comes, HTTP/1.1 finds that out by itself.
    pub(super) fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while !self.reading.is_known() {
            let mut bytes = [const { MaybeUninit::uninit() }; FIRST];
            let mut buf = ReadBuf::uninit(&mut bytes);
            ready!(self.read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break;
            }
            self.first = [&*self.first, buf.filled()].concat().into();
        }
        Poll::Ready(Ok(self.reading.is_http2()))
    }

    /// Reads from the stream, and tells the connection what came.
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, connection, reading, .. } = self;
        let before = buf.filled().len();
        let poll = Pin::new(stream).poll_read(cx, buf);
        match (&poll, &buf.filled()[before..]) {
            (Poll::Pending, _) => {}
            (Poll::Ready(Err(_)), _) | (_, []) => connection.leave(),
            (_, bytes) => {
                let was_http2 = reading.is_http2();
                reading.read(bytes);
                let is_greeting = reading.is_http2() && !was_http2;
                connection.keep(if is_greeting { KeepAlive::greeted } else { KeepAlive::read });
            }
        }
        poll
    }
}

impl<S> Drop for Transport<S> {
    fn drop(&mut self) {
        self.connection.end();
    }
}

/// Fails once a force has cut an upgraded connection. Before the upgrade the connection's own task sees to that.
fn check(connection: &Connection, cut: &mut ForceWait, cx: &mut Context<'_>) -> io::Result<()> {
    let Some(token) = connection.upgraded() else { return Ok(()) };
    let cut = cut.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
    match cut.as_mut().poll(cx) {
        Poll::Pending => Ok(()),
        Poll::Ready(()) => {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the drain was ended by force"))
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        check(&this.connection, &mut this.read_cut, cx)?;
        if !this.first.is_empty() {
            buf.put_slice(&this.first.split_to(this.first.len().min(buf.remaining())));
            return Poll::Ready(Ok(()));
        }
        if this.answer.is_none_or(<[u8]>::is_empty) {
            let poll = this.read(cx, buf);
            // All that has come is read first, and a frame to its end.
            let is_due =
                this.answer.is_none() && poll.is_pending() && this.reading.is_between_frames();
            if !is_due || !this.connection.keep(|keep| keep.is_concluded()) {
                return poll;
            }
        }
        let rest = this.answer.get_or_insert(&ANSWER);
        let (given, later) = rest.split_at(rest.len().min(buf.remaining()));
        buf.put_slice(given);
        *rest = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Transport<S> {
    fn write<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Self { stream, connection, is_blocked, write_cut, .. } = self.get_mut();
        check(connection, write_cut, cx)?;
        let poll = write(Pin::new(stream), cx);
        if let Poll::Ready(Err(_)) = poll {
            connection.leave();
        }
        if poll.is_pending() != *is_blocked {
            *is_blocked = poll.is_pending();
            connection.keep(|keep| keep.blocked(*is_blocked));
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| {
            // To write several buffers costs the system more than to write one, also if that takes a copy (0.2 µs, of the 11 that a small answer takes in all).
            let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
            match bufs {
                [buf] => stream.poll_write(cx, buf),
                _ if length <= SMALL => {
                    // Taken, not borrowed: the stream may be a tunnel through another of these.
                    let mut joined = JOINED.take();
                    joined.clear();
                    bufs.iter().for_each(|buf| joined.extend_from_slice(buf));
                    let poll = stream.poll_write(cx, &joined);
                    JOINED.set(joined);
                    poll
                }
                _ => stream.poll_write_vectored(cx, bufs),
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.closes();
        if !self.is_shut {
            ready!(self.as_mut().write(cx, AsyncWrite::poll_shutdown))?;
            self.is_shut = true;
        }
        // A system that gets something for a socket that is closed answers with a reset, and drops what is still on its way to the
        // peer. A peer of HTTP/2 says something as it takes an answer. One that has not answered before does not now.
        if self.reading.is_http2() && self.answer.is_none() {
            self.connection.keep(KeepAlive::shuts);
            ready!(read_out(&mut self.stream, cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads up to the end that the peer makes, or that it comes to.
fn read_out(stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
    let mut scratch = [0; 1024];
    loop {
        let mut buf = ReadBuf::new(&mut scratch);
        let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf));
        if read.is_err() || buf.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}
