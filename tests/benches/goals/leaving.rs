//! From `TERM`, or from the last piece of work, until the parent has seen the program go. A program is told only when it is known to listen.

pub(crate) mod client;
pub(crate) mod pages;
mod programs;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ExitCode, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use graceful_tests::{KILL, TERM};
use nix::{sys::signal::kill, unistd::Pid};

use self::{
    client::Connection,
    pages::{HELLO, UPLOADED},
    programs::{IDLERS, SERVERS},
};
use crate::{
    again,
    rounds::{self, Entrant, Value},
};

/// How long until a program has read what it was sent, and does nothing.
const SETTLED: Duration = Duration::from_millis(10);

/// It takes a hundred times as long as the others.
const SLOW: &str = "actix-web";

/// A program that has not left by then is killed: some wait for ever for a connection that does nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn run() {
    let servers = SERVERS.map(|(name, _)| name);
    let all = [&IDLERS.map(|(name, _)| name)[..], &servers].concat();
    let leave = |entrants: Vec<Entrant>| {
        let in_time = |it: Entrant| if it.peer() == SLOW { it.rarely() } else { it };
        rounds::run(200, entrants.into_iter().map(in_time).collect()).print_with_p99("leaving");
    };
    leave(entrants(&all, "idle", idle));
    leave(entrants(&servers, "after the last request", after_the_last));
}

/// The child.
pub(crate) fn main(program: &str) -> ExitCode {
    let mut programs = IDLERS.into_iter().chain(SERVERS);
    let (_, live) = programs.find(|(name, _)| *name == program).expect("a program");
    live()
}

/// Those of `programs`, each of which takes as many milliseconds as `measure` says.
pub(crate) fn entrants(
    programs: &[&'static str],
    what: &'static str,
    measure: fn(Leaver) -> f64,
) -> Vec<Entrant> {
    let entrant = |&program: &&'static str| {
        Entrant::new(program, move || vec![Value::new(what, measure(Leaver::start(program)), "ms")])
    };
    programs.iter().map(entrant).collect()
}

fn idle(mut leaver: Leaver) -> f64 {
    thread::sleep(SETTLED);
    let begin = Instant::now();
    leaver.tell();
    leaver.gone_after(begin)
}

/// One request is in flight; its answer is the last thing that happens.
fn after_the_last(mut leaver: Leaver) -> f64 {
    let mut last = leaver.connect();
    last.ask_but_for_the_last_byte("/upload");
    thread::sleep(SETTLED);
    leaver.tell();
    thread::sleep(SETTLED);
    last.send_the_last_byte();
    assert_eq!(last.answer().as_deref(), Some(UPLOADED));
    leaver.gone_after(Instant::now())
}

/// A program that is about to leave. Dropped before, it is killed.
pub(crate) struct Leaver {
    child: Child,
    pub(crate) port: u16,
}

impl Leaver {
    pub(crate) fn start(program: &str) -> Self {
        let mut command = again(&["leave", program]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it can be started");
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
        let mut leaver = Self { child, port: 0 };
        read.expect("it prints its port");
        leaver.port = line.trim().parse().expect("a port");
        leaver.wait_for_its_handler();
        leaver
    }

    /// Some have their handler in place only after they listen; told before, they would die of it.
    fn wait_for_its_handler(&self) {
        let end = Instant::now() + PATIENCE;
        while !catches_term(self.pid()) {
            assert!(Instant::now() < end, "it has no handler for TERM");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn tell(&self) {
        kill(self.pid(), TERM).expect("it runs");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a pid"))
    }

    /// Waits for the end, without a pause in which it would go unseen. Returns after how many milliseconds it came; infinitely many if
    /// it does not come in time.
    pub(crate) fn gone_after(&mut self, begin: Instant) -> f64 {
        let pid = self.pid();
        let (over, is_over) = channel::<()>();
        let watch = thread::spawn(move || {
            let is_late = is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            is_late && kill(pid, KILL).is_ok()
        });
        let status = self.child.wait().expect("it is a child");
        let gone = Instant::now();
        drop(over);
        if watch.join().expect("it only waits") {
            return f64::INFINITY;
        }
        assert!(status.success(), "{status}");
        (gone - begin).as_secs_f64() * 1e3
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.port)
    }

    pub(crate) fn used_connection(&self) -> Connection {
        let mut connection = self.connect();
        assert_eq!(connection.get("/"), HELLO);
        connection
    }
}

fn catches_term(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a line");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a set of signals");
    caught >> (TERM as u32 - 1) & 1 == 1
}

impl Drop for Leaver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
