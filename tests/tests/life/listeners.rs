//! What the system had accepted is handed out before a listener closes.

use std::{io::Read, net::TcpStream};

use graceful_tests::{Program, TERM, http::refused};

/// D01 D21 D22 D23 D24: twenty connections wait in the backlog at the signal; all are served, none is reset.
#[test]
fn the_backlog_is_served_and_then_the_port_is_closed() {
    let (mut program, address) = Program::life("backlog").serve();
    let connect = || TcpStream::connect(address);
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
    refused(address);
}
