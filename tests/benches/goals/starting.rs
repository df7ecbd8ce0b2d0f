//! From just before a program is started to the first statement of its `main`.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use graceful_tests::uptime;

use crate::rounds::{self, Entrant, Value};

const PROGRAMS: [(&str, &str); 3] = [
    ("#[graceful::main]", env!("CARGO_BIN_EXE_start_graceful_main")),
    ("#[tokio::main]", env!("CARGO_BIN_EXE_start_tokio_main")),
    ("tokio by hand", env!("CARGO_BIN_EXE_start_tokio_by_hand")),
];

pub(crate) fn run() {
    let entrants = PROGRAMS.map(|(name, path)| {
        Entrant::new(name, move || {
            let begin = uptime();
            let took = main_begins(path) - begin;
            vec![Value::new("start to main", took.as_secs_f64() * 1e6, "µs")]
        })
    });
    rounds::run(200, entrants.into()).print("starting");
}

fn main_begins(path: &str) -> Duration {
    let child = Command::new(path).stdout(Stdio::piped()).spawn().expect("it can be started");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    Duration::from_nanos(text.trim().parse().expect("a time"))
}
