//! What the errors of `accept(2)` mean for the listener.

use std::io;

/// Whether only one connection failed: it was gone before it was accepted, and `accept(2)` returned its error.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        Interrupted, NetworkDown, NetworkUnreachable, NotConnected, PermissionDenied, TimedOut,
        UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | PermissionDenied
            | TimedOut
            | UnexpectedEof
    ) || error.raw_os_error() == Some(libc::EPROTO)
}

/// Whether no connection can ever come from this socket. Any other error may pass.
pub(super) fn is_permanent(error: &io::Error) -> bool {
    let codes = [libc::EBADF, libc::EFAULT, libc::EINVAL, libc::ENOTSOCK, libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
