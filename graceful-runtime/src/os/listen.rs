//! Binds listeners, whose errors name the listener and its address.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path};

use tokio::net::{TcpListener, ToSocketAddrs, UnixListener, lookup_host};

use crate::model::sanitize;

/// Binds a TCP listener.
///
/// # Errors
///
/// Returns the error of the system, with the name and the addresses.
pub(crate) async fn tcp(name: &str, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let addresses = lookup_host(address).await;
    let addresses: Vec<_> = addresses.map_err(|error| named(name, "", &error))?.collect();
    let place = || addresses.iter().map(|address| format!(" on {address}")).collect::<String>();
    TcpListener::bind(&addresses[..]).await.map_err(|error| named(name, &place(), &error))
}

/// Binds a Unix listener. Replaces the socket file of a program that is gone.
///
/// # Errors
///
/// Returns the error of the system, with the name and the path.
pub(crate) fn unix(name: &str, path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path).and_then(|()| UnixListener::bind(path))
        }
        result => result,
    }
    .map_err(|error| named(name, &format!(" on {}", path.display()), &error))
}

/// Whether `path` is a socket file on which no process listens.
fn is_stale(path: &Path) -> bool {
    // Any other file, or a link to a socket, refuses the connection as well, and must not be removed.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A datagram socket cannot connect to a stream socket, so this fails at once in either case, and no listener sees a connection.
    let probe = std::os::unix::net::UnixDatagram::unbound();
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && probe.and_then(|probe| probe.connect(path)).is_err_and(refused)
}

fn named(name: &str, place: &str, error: &io::Error) -> io::Error {
    let text = format!("cannot listen for {name}{place}: {error}");
    io::Error::new(error.kind(), sanitize::message(text).to_string())
}
