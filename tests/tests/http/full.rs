//! A server that has as many connections as it may have, when its drain begins: more wait in the backlog.

use std::{io::ErrorKind, time::Duration};

use graceful_tests::{
    Program, TERM,
    http::{Answer, Connection, FORCE, ask, connect},
};

use crate::start;

fn answered(connection: &mut Connection) {
    let answer = Answer::read(connection).expect("no reset");
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
}

/// D21: for as long as there is drain left for them; the port is closed meanwhile.
#[test]
fn the_backlog_waits_for_places() {
    let (program, address) = start(&["cap=4"]);
    let mut slow: Vec<_> = (0..4).map(|_| ask(address, "/slow/1000")).collect();
    let program = slow.iter().fold(program, |program, _| program.line("begin"));
    let mut waiting: Vec<_> = (0..60).map(|_| ask(address, "/slow/50")).collect();
    let program = program.signal(TERM).line("draining");
    // As the listener closes, the system resets who it was about to accept.
    while !connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {}
    let program = program.line("end 1000");
    slow.iter_mut().chain(&mut waiting).for_each(answered);
    program.exits(0).printed("drained 64 in").within(FORCE);
}

/// Who has sent nothing while it waited is not waited for.
#[test]
fn silent_connections_in_the_backlog_do_not_hold_it() {
    let (program, address) = start(&["cap=2"]);
    let mut slow: Vec<_> = (0..2).map(|_| ask(address, "/slow/1000")).collect();
    let program = slow.iter().fold(program, |program, _| program.line("begin"));
    let _silent: Vec<_> = (0..40).map(|_| connect(address).expect("it listens")).collect();
    let mut last: Vec<_> = (0..4).map(|_| ask(address, "/")).collect();
    let program = program.signal(TERM);
    slow.iter_mut().chain(&mut last).for_each(answered);
    // With a linger for each it would take ten seconds.
    program.exits(0).printed("drained 6 in").within(FORCE);
}

/// The same where it is descriptors that are short.
#[test]
fn the_backlog_waits_for_descriptors() {
    let program = Program::new("http").through(&["prlimit", "--nofile=24:24"]);
    let (program, address) = program.serve();
    let mut all: Vec<_> = (0..16).map(|_| ask(address, "/slow/1000")).collect();
    let program = program.line("cannot accept").signal(TERM);
    for connection in &mut all {
        assert_eq!(Answer::read(connection).expect("no reset").status, 200);
    }
    program.exits(0).within(FORCE);
}

/// What is left when the drain is ended by force is said.
#[test]
fn who_got_no_place_is_counted() {
    let (program, address) = start(&["cap=1"]);
    // It keeps its place beyond the force.
    let _charged = ask(address, "/shield/500");
    let program = program.line("shield begins");
    let _waiting: Vec<_> = (0..5).map(|_| ask(address, "/")).collect();
    let program = program.signal(TERM).line("draining").after(Duration::from_millis(200));
    program.signal(TERM).exits(143).printed("waited for a place").printed("count=5");
}
