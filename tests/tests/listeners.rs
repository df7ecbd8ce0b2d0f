//! What the system had accepted is handed out before a listener closes.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
};

use graceful_tests::{Program, TERM};

/// D01 D21 D22 D23 D24: twenty connections wait in the backlog at the signal; all are served, none is reset.
#[test]
fn the_backlog_is_served_and_then_the_port_is_closed() {
    let mut program = Program::new("backlog").start();
    let line = program.wait_for("port ");
    let port: u16 = line.trim_start_matches("port ").parse().expect("a port");
    let connect = || TcpStream::connect(("127.0.0.1", port));
    let first = connect().expect("it listens");
    program.wait_for("holding");
    let mut clients: Vec<_> = (0..20).map(|_| connect().expect("the backlog takes it")).collect();
    let program = program.signal(TERM);
    clients.push(first);
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("no reset");
        assert_eq!(answer, "served");
    }
    program.line("closed").exits(0).never_printed("panicked");
    assert_eq!(connect().expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
}
