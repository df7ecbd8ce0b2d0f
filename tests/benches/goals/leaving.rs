//! From `TERM`, or from the last piece of work, until the parent has seen the program go.

mod client;
mod pages;
mod programs;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use graceful_tests::TERM;
use nix::{sys::signal::kill, unistd::Pid};

use self::{client::Connection, programs::PROGRAMS};
use crate::{
    again,
    rounds::{self, Entrant, Value},
};

/// How long until a program has read what it was sent, and does nothing.
const SETTLED: Duration = Duration::from_millis(10);

/// How long until a program has told all of its connections.
const TOLD: Duration = Duration::from_millis(500);

pub(crate) fn run() {
    let all = PROGRAMS.map(|(name, _)| name);
    let servers: Vec<_> = all.into_iter().filter(|name| Leaver::start(name).port != 0).collect();
    rounds::run(200, entrants(&all, "idle", idle)).print_with_p99("leaving");
    rounds::run(200, entrants(&servers, "after the last request", after_the_last))
        .print_with_p99("leaving");
    rounds::run(15, entrants(&servers, "1,000 idle connections", with_idle_connections))
        .print("leaving");
    rounds::run(9, entrants(&servers, "10,000 in flight", with_requests_in_flight))
        .print("leaving");
}

/// The child.
pub(crate) fn main(program: &str) -> ExitCode {
    let (_, live) = PROGRAMS.iter().find(|(name, _)| *name == program).expect("a program");
    live()
}

fn entrants(
    programs: &[&'static str],
    what: &'static str,
    measure: fn(Leaver) -> Duration,
) -> Vec<Entrant> {
    let entrant = |&program: &&'static str| {
        Entrant::new(program, move || {
            let took = measure(Leaver::start(program));
            vec![Value::new(what, took.as_secs_f64() * 1e3, "ms")]
        })
    };
    programs.iter().map(entrant).collect()
}

fn idle(mut leaver: Leaver) -> Duration {
    thread::sleep(SETTLED);
    let begin = Instant::now();
    leaver.tell();
    leaver.gone() - begin
}

/// One request is in flight; its answer is the last thing that happens.
fn after_the_last(mut leaver: Leaver) -> Duration {
    let mut last = leaver.connect();
    last.ask_but_for_the_last_byte("/release");
    thread::sleep(SETTLED);
    leaver.tell();
    thread::sleep(SETTLED);
    last.send_the_last_byte();
    assert_eq!(last.answer(), "released");
    let begin = Instant::now();
    leaver.gone() - begin
}

/// Each connection has been used, and might be again.
fn with_idle_connections(mut leaver: Leaver) -> Duration {
    let connections: Vec<_> = (0..1000).map(|_| leaver.used_connection()).collect();
    thread::sleep(SETTLED);
    let begin = Instant::now();
    leaver.tell();
    let took = leaver.gone() - begin;
    drop(connections);
    took
}

/// From the byte that lets all of them be answered. The client reads afterwards, so that it takes no core from the program.
fn with_requests_in_flight(mut leaver: Leaver) -> Duration {
    const REQUESTS: usize = 10_000;
    let mut release = leaver.used_connection();
    let mut waiting: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let mut connection = leaver.used_connection();
            connection.ask("/wait");
            connection
        })
        .collect();
    while release.get("/waiting") != REQUESTS.to_string() {
        thread::sleep(SETTLED);
    }
    release.ask_but_for_the_last_byte("/release");
    thread::sleep(SETTLED);
    leaver.tell();
    thread::sleep(TOLD);
    let begin = Instant::now();
    release.send_the_last_byte();
    let took = leaver.gone() - begin;
    waiting.iter_mut().for_each(|connection| assert_eq!(connection.answer(), "waited"));
    took
}

/// A program that is about to leave. Dropped before, it is killed.
struct Leaver {
    child: Child,
    port: u16,
}

impl Leaver {
    fn start(program: &str) -> Self {
        let mut command = again(&["leave", program]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it can be started");
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
        read.expect("it prints its port");
        Self { child, port: line.trim().parse().expect("a port") }
    }

    fn tell(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, TERM).expect("it runs");
    }

    /// Waits for the end, without a pause in which it would go unseen.
    fn gone(&mut self) -> Instant {
        let status = self.child.wait().expect("it is a child");
        let gone = Instant::now();
        assert!(status.success(), "{status}");
        gone
    }

    fn connect(&self) -> Connection {
        Connection::new(self.port)
    }

    fn used_connection(&self) -> Connection {
        let mut connection = self.connect();
        assert_eq!(connection.get("/"), "hello");
        connection
    }
}

impl Drop for Leaver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
