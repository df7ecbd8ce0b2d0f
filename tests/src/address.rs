//! Where a program listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The address in the last `port N` that a text has: the programs under test say so once they listen on 127.0.0.1.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn told_in(text: &str) -> SocketAddr {
    let (_, number) = text.rsplit_once("port ").expect("a line with the port");
    (Ipv4Addr::LOCALHOST, number.trim().parse().expect("a port")).into()
}

/// An address that is free, for a program that has to be told where to listen.
///
/// No connection goes out from 127.0.0.11, so none takes the port before the program does.
///
/// # Panics
///
/// If the system has no port left.
#[must_use]
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 11), 0)).expect("a port");
    listener.local_addr().expect("an address")
}
