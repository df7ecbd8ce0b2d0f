//! A million tasks that wait to be told: each crowd in a process of its own, because memory that one has touched is there for the next.

mod crowds;
pub(crate) mod measured;

use std::process::ExitCode;

use graceful::{Builder, Flavor, Shutdown};
use tokio::runtime;

use self::{
    crowds::{
        Aborted, Children, Cloned, Delayed, Guarded, Notified, Ours, OursAborted, SetAborted,
        Subsystems, Watching,
    },
    measured::{Crowd, measure},
};
use crate::{
    again, printed_by,
    rounds::{self, Entrant, Value},
};

const ROUNDS: usize = 5;

struct Peer {
    name: &'static str,
    tasks: usize,
    live: fn(Flavor, usize) -> ExitCode,
}

const PEERS: [Peer; 11] = [
    million("graceful", |on, tasks| with_ours(on, tasks, Ours)),
    million("graceful, aborted", |on, tasks| with_ours(on, tasks, OursAborted::new)),
    million("bare tokio, aborted", |on, tasks| with_tokio(on, tasks, Aborted::default)),
    million("JoinSet, aborted", |on, tasks| with_tokio(on, tasks, SetAborted::default)),
    million("TaskTracker + child tokens", |on, tasks| with_tokio(on, tasks, Children::default)),
    million("TaskTracker + cloned token", |on, tasks| with_tokio(on, tasks, Cloned::default)),
    million("TaskTracker + watch", |on, tasks| with_tokio(on, tasks, Watching::default)),
    million("TaskTracker + Notify", |on, tasks| with_tokio(on, tasks, Notified::default)),
    million("tokio-graceful", |on, tasks| with_tokio(on, tasks, Guarded::new)),
    million("async-shutdown", |on, tasks| with_tokio(on, tasks, Delayed::new)),
    // So much heavier that a million would only take longer.
    Peer { tasks: 300_000, ..million("tokio-graceful-shutdown, 300,000", with_subsystems) },
];

const fn million(name: &'static str, live: fn(Flavor, usize) -> ExitCode) -> Peer {
    Peer { name, tasks: 1_000_000, live }
}

const FLAVORS: [(&str, Flavor); 2] =
    [("current-thread", Flavor::CurrentThread), ("two workers", Flavor::MultiThread)];

pub(crate) fn run() {
    for (flavor, _) in FLAVORS {
        let entrants = PEERS.iter().map(|peer| {
            Entrant::new(peer.name, move || {
                let lines = printed_by(again(&["crowd", peer.name, flavor]));
                lines.lines().map(|line| Value::parse(line, &format!(", {flavor}"))).collect()
            })
        });
        rounds::run(ROUNDS, entrants.collect()).print("crowd");
    }
}

/// The child.
pub(crate) fn main(peer: &str, flavor: &str) -> ExitCode {
    let peer = PEERS.iter().find(|known| known.name == peer).expect("a peer");
    let (_, flavor) = FLAVORS.iter().find(|(name, _)| *name == flavor).expect("a flavor");
    let status = (peer.live)(*flavor, peer.tasks);
    measured::measure_the_end();
    status
}

fn with_ours<C: Crowd>(on: Flavor, tasks: usize, crowd: fn(Shutdown) -> C) -> ExitCode {
    let builder = Builder::new().flavor(on);
    let builder = if on == Flavor::MultiThread { builder.worker_threads(2) } else { builder };
    // It says that tasks were aborted, if they were.
    let _status = builder.run(async |shutdown| measure(&mut crowd(shutdown), tasks).await);
    ExitCode::SUCCESS
}

fn with_tokio<C: Crowd>(on: Flavor, tasks: usize, crowd: fn() -> C) -> ExitCode {
    tokio(on).block_on(async { measure(&mut crowd(), tasks).await });
    ExitCode::SUCCESS
}

fn with_subsystems(on: Flavor, tasks: usize) -> ExitCode {
    tokio(on).block_on(Subsystems::measure(tasks));
    ExitCode::SUCCESS
}

fn tokio(on: Flavor) -> runtime::Runtime {
    let mut builder = match on {
        Flavor::CurrentThread => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    // Refused by the other flavor of ours only.
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}
