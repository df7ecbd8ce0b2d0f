//! Sources of connections.

use std::{
    fmt,
    future::{Ready, ready},
    io,
    os::fd::{AsFd, BorrowedFd},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use crate::os::sys::limit_unsent;

/// A source of connections: TCP and Unix sockets, and protocols on top of them, such as TLS.
///
/// A connection is accepted in two steps, so that a slow peer delays only itself. [`accept`](Self::accept) runs for one connection after the other. The
/// [`Handshake`](Self::Handshake) runs for each connection in a task of its own, within the [`header_timeout`](super::Serve::header_timeout), and
/// never holds the drain.
///
/// A listener on top of TCP should call the `accept` of this trait for `TcpListener`, which sets the options that the server needs. With `tokio-rustls` the
/// handshake is its `Accept` future and the stream its `TlsStream`; see `examples/04_tls.rs` in the repository. In this example a connection begins with a
/// line that names the original client, as some proxies send it:
///
/// ```
/// use std::{io, net::SocketAddr, os::fd::{AsFd, BorrowedFd}, pin::Pin};
/// use tokio::{io::AsyncReadExt, net::{TcpListener, TcpStream}};
///
/// struct Introduced(TcpListener);
///
/// impl graceful::http::Listener for Introduced {
///     type Stream = TcpStream;
///     type Address = SocketAddr;
///     type Handshake = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;
///
///     async fn accept(&mut self) -> io::Result<(Self::Handshake, SocketAddr)> {
///         let (tcp, address) = graceful::http::Listener::accept(&mut self.0).await?;
///         let handshake = async move {
///             let mut stream = tcp.await?;
///             while stream.read_u8().await? != b'\n' {}
///             Ok(stream)
///         };
///         Ok((Box::pin(handshake), address))
///     }
///
///     fn socket(&self) -> Option<BorrowedFd<'_>> {
///         Some(self.0.as_fd())
///     }
/// }
/// ```
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The address of a peer. Its `Debug` form is in logs and in the list of stragglers.
    type Address: fmt::Debug + Clone + Send + Sync + 'static;

    /// The rest of the set-up of a connection, such as a TLS handshake.
    type Handshake: Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// Returns the system's error. If it means that the socket cannot accept connections (`EBADF`, `EFAULT`, `EINVAL`, `ENOTSOCK`, `EOPNOTSUPP`),
    /// [`serve`](super::serve) returns it. If a single connection failed, `serve` retries at once; after other errors (no descriptors, no memory) it retries
    /// after a pause.
    ///
    /// # Cancel safety
    ///
    /// Implementations must be cancel safe: no connection may be lost if the future is dropped.
    fn accept(
        &mut self,
    ) -> impl Future<Output = io::Result<(Self::Handshake, Self::Address)>> + Send;

    /// The listening socket. Defaults to `None`.
    ///
    /// With the socket the drain can empty the backlog. It can also see whether the program holds another descriptor of the socket, which would keep
    /// it listening, and then closes the connections that still arrive. With `None` they are left to the owner of that descriptor.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// How much unsent data the system accepts for a connection. Without a limit it accepts megabytes, and reports room only when a third of that was sent,
/// so that a slow peer would look like one that takes nothing.
pub(super) const UNSENT: u32 = 64 * 1024;

/// Connections send small packets at once (`TCP_NODELAY`). The system accepts only a little data that it cannot send yet (`TCP_NOTSENT_LOWAT`), so that
/// the server can tell a slow peer from one that takes nothing.
impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = std::net::SocketAddr;
    type Handshake = Ready<io::Result<TcpStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Self::Address)> {
        let (stream, address) = Self::accept(self).await?;
        // Fails if the peer is gone already, which the first read will report.
        let _gone = stream.set_nodelay(true);
        limit_unsent(stream.as_fd(), UNSENT);
        Ok((ready(Ok(stream)), address))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Address = std::os::unix::net::SocketAddr;
    type Handshake = Ready<io::Result<UnixStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Self::Address)> {
        let (stream, address) = Self::accept(self).await?;
        Ok((ready(Ok(stream)), address.into()))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}
