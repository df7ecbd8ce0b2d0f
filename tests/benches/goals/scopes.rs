//! Parts of a program that come and go, one for each session or tenant: each peer in a process of its own, as the crowds are.

use std::{process::ExitCode, thread, time::Duration, time::Instant};

use graceful::{Builder, Shutdown};
use graceful_tests::say;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    again,
    crowd::measured::{give_back, resident},
    rounds::{self, Entrant, Value},
};

const ROUNDS: usize = 5;

/// How many live at once.
const MANY: usize = 20_000;

/// How often they come and go.
const TIMES: usize = 10;

/// How many are timed.
const TIMED: u32 = 2_000;

/// How long after the last has gone its memory can be used again.
const SETTLED: Duration = Duration::from_millis(200);

const OURS: &str = "graceful";
const TRACKERS: &str = "TaskTracker + child token";

pub(crate) fn run() {
    let entrants = [OURS, TRACKERS].map(|peer| {
        Entrant::new(peer, move || {
            let mut child = again(&["scopes", peer]);
            let output = child.output().expect("it can be started");
            assert!(output.status.success(), "{child:?}: {output:?}");
            let lines = String::from_utf8(output.stdout).expect("it prints numbers");
            lines.lines().map(|line| Value::parse(line, "")).collect()
        })
    });
    rounds::run(ROUNDS, entrants.into()).print("scopes");
}

/// The child.
pub(crate) fn main(peer: &str) -> ExitCode {
    Builder::new().worker_threads(2).run(async |shutdown: Shutdown| match peer {
        OURS => measure(|| shutdown.scope("session"), |scope| drop(scope.try_guard())),
        _ => {
            let token = CancellationToken::new();
            let scope = || (TaskTracker::new(), token.child_token());
            measure(scope, |(tracker, _)| drop(tracker.token()));
        }
    })
}

/// Prints what scopes cost that `make` makes and `enter` enters and leaves, for the parent to read.
fn measure<S>(make: impl Fn() -> S, enter: impl Fn(&S)) {
    let make = || {
        let scope = make();
        enter(&scope);
        scope
    };
    let begin = Instant::now();
    (0..TIMED).for_each(|_| drop(make()));
    let each = begin.elapsed() / TIMED;
    let before = settled();
    let scopes: Vec<_> = (0..MANY).map(|_| make()).collect();
    let taken = settled() - before;
    drop(scopes);
    let first = settled();
    let mut grown = 0.0;
    for _ in 1..TIMES {
        drop((0..MANY).map(|_| make()).collect::<Vec<_>>());
        grown = settled() - first;
        // That says enough, and the machine may have no room for more.
        if grown > taken / 2.0 {
            break;
        }
    }
    say(format_args!("made, used once and dropped\t{}\tµs", each.as_secs_f64() * 1e6));
    say(format_args!("bytes a living scope\t{}\tB", taken * 1024.0 / MANY as f64));
    say(format_args!("memory grown, ten times 20,000\t{}\t%", grown / taken * 100.0));
}

/// The memory that the process has in use, in KiB.
fn settled() -> f64 {
    thread::sleep(SETTLED);
    give_back();
    resident()
}
