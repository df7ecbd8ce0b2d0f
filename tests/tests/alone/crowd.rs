//! A server that is full when its drain begins, and to which connections come without end.
//!
//! Alone in its process, because the crowd takes all descriptors that a process may have.

use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use graceful_tests::{
    Program, TERM,
    http::{FORCE, ask, head},
};

#[test]
fn connections_that_come_without_end_do_not_hold_it() {
    let (program, address) = Program::new("http").arg("cap=4").serve();
    let slow: Vec<_> = (0..4).map(|_| ask(address, "/slow/1000")).collect();
    let program = slow.iter().fold(program, |program, _| program.line("begin"));
    let crowd: Vec<_> =
        (0..4).map(|_| thread::spawn(move || come_until_refused(address))).collect();
    let program = program.after(Duration::from_millis(100)).signal(TERM);
    program.exits(0).within(FORCE);
    let came: usize = crowd.into_iter().map(|client| client.join().expect("a client")).sum();
    assert!(came > 100, "{came} connections are no crowd");
}

/// Opens connections, each with a request, and never waits for an answer. A full backlog lets them wait for a second or more.
fn come_until_refused(address: SocketAddr) -> usize {
    let (request, mut came) = (head("GET /", &[]), Vec::new());
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(20)) {
            Ok(mut stream) => {
                drop(stream.write_all(request.as_bytes()));
                came.push(stream);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return came.len(),
            Err(_) => {}
        }
    }
}
