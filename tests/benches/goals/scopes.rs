//! Parts of a program that come and go, one for each session or tenant: each peer in a process of its own, as the crowds are.

use std::{process::ExitCode, thread, time::Duration, time::Instant};

use graceful::{Builder, Shutdown};
use graceful_tests::say;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    again,
    crowd::measured::{give_back, resident},
    printed_by,
    rounds::{self, Entrant, Value},
};

const ROUNDS: usize = 3;

/// How many live at once.
const MANY: u32 = 20_000;

/// How often they come and go.
const TIMES: usize = 10;

/// How many are timed.
const TIMED: u32 = 2_000;

/// More than this would be of no use to anybody.
const TOO_LONG: Duration = Duration::from_secs(20);

/// How long after the last has gone its memory can be used again.
const SETTLED: Duration = Duration::from_millis(200);

const OURS: &str = "graceful";
const TRACKERS: &str = "TaskTracker + child token";

pub(crate) fn run() {
    let entrants = [OURS, TRACKERS].map(|peer| {
        Entrant::new(peer, move || {
            let lines = printed_by(again(&["scopes", peer]));
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
    let make_many = || {
        let begin = Instant::now();
        let one = |count| {
            assert!(begin.elapsed() < TOO_LONG, "{count} scopes took {TOO_LONG:?}");
            make()
        };
        let scopes: Vec<_> = (0..MANY).map(one).collect();
        (scopes, begin.elapsed() / MANY)
    };
    let before = settled();
    let (scopes, beside_others) = make_many();
    let taken = settled() - before;
    drop(scopes);
    let first = settled();
    let mut grown = 0.0;
    for _ in 1..TIMES {
        drop(make_many());
        grown = settled() - first;
        // That says enough, and the machine may have no room for more.
        if grown > taken / 2.0 {
            break;
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    say(format_args!("made, used once and dropped\t{}\tµs", micros(each)));
    say(format_args!("made beside 20,000 others\t{}\tµs", micros(beside_others)));
    say(format_args!("bytes a living scope\t{}\tB", taken * 1024.0 / f64::from(MANY)));
    say(format_args!("memory grown, ten times 20,000\t{}\t%", grown / taken * 100.0));
}

/// The memory that the process has in use, in KiB.
fn settled() -> f64 {
    thread::sleep(SETTLED);
    give_back();
    resident()
}
