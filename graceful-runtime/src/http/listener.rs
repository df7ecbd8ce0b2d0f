//! Where connections come from.

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

/// Where connections come from: TCP and Unix sockets, and whatever is built on them, such as TLS.
///
/// Taking a connection has two steps, so that a peer that does not get on holds nobody but itself: [`accept`](Self::accept), one after the
/// other, and the [`Handshake`](Self::Handshake), for each connection in a task of its own, which has the
/// [`header_timeout`](super::Serve::header_timeout) and never holds the drain.
///
/// What is built on TCP asks the listener of TCP, so that its connections are set up as those are.
/// With `tokio-rustls` the handshake is its `Accept` future, and the stream its `TlsStream`; `examples/04_tls.rs` in the repository has it in full. Here
/// a connection begins with a line that says who is really asking:
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

    /// Who is at its other end, as it is named among the stragglers.
    type Address: fmt::Debug + Clone + Send + Sync + 'static;

    /// What is left to do before a connection can be used.
    type Handshake: Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// What the system says. If that means that the socket is none to accept from (`EBADF`, `EFAULT`, `EINVAL`, `ENOTSOCK`, `EOPNOTSUPP`),
    /// [`serve`](super::serve) ends with it. If one connection failed, it goes on at once; after any other error (no descriptors, no memory) after a pause.
    ///
    /// # Cancel safety
    ///
    /// It has to be cancel safe.
    fn accept(
        &mut self,
    ) -> impl Future<Output = io::Result<(Self::Handshake, Self::Address)>> + Send;

    /// The socket that is listened on. With it the drain sees whether the program holds another descriptor of the same socket, so that
    /// connections would go on to come, and refuses those. `None`, the default, leaves them to whoever has that descriptor.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// How much the system takes of an answer beyond what is on its way. It would take megabytes, and then not ask for more before a third of that was taken by a peer: a slow one would
/// look as if it took nothing.
pub(super) const UNSENT: u32 = 64 * 1024;

/// Connections send small packets at once (`TCP_NODELAY`), and the system takes little of what they cannot send yet (`TCP_NOTSENT_LOWAT`), so that a
/// slow peer is told from one that takes nothing.
impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = std::net::SocketAddr;
    type Handshake = Ready<io::Result<TcpStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Self::Address)> {
        let (stream, address) = Self::accept(self).await?;
        // It fails where the peer is gone already, which is seen soon enough.
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
