//! Sockets that the program listens on, by name.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path};

use tokio::net::{TcpListener, ToSocketAddrs, UnixListener, lookup_host};

use crate::model::sanitize;

/// Binds a TCP listener; an error says which, and where.
pub(crate) async fn tcp(name: &str, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let addresses = lookup_host(address).await;
    let addresses: Vec<_> = addresses.map_err(|error| named(name, "", &error))?.collect();
    let place = || addresses.iter().map(|address| format!(" on {address}")).collect::<String>();
    TcpListener::bind(&addresses[..]).await.map_err(|error| named(name, &place(), &error))
}

/// Binds a Unix listener, in the place of a socket that nobody listens on any more.
pub(crate) fn unix(name: &str, path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path).and_then(|()| UnixListener::bind(path))
        }
        result => result,
    }
    .map_err(|error| named(name, &format!(" on {}", path.display()), &error))
}

/// Whether `path` is a socket that a program left behind which is gone.
fn is_stale(path: &Path) -> bool {
    // A file that is no socket, or a link to one, refuses the connection as well; it is not ours to remove.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A datagram socket cannot connect to a stream: the answer is an error either way, at once, and nobody sees a connection.
    let probe = std::os::unix::net::UnixDatagram::unbound();
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && probe.and_then(|probe| probe.connect(path)).is_err_and(refused)
}

fn named(name: &str, place: &str, error: &io::Error) -> io::Error {
    let text = format!("cannot listen for {name}{place}: {error}");
    io::Error::new(error.kind(), sanitize::message(text).to_string())
}
