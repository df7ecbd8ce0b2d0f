//! Entering and leaving, on one thread, on many, and with the end on another.

use std::{
    hint::black_box,
    process::ExitCode,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use graceful::{Builder, Shutdown};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    peers::{
        AnyGuard, ArcClone, AsyncShutdown, ChildToken, HyperUtil, IsCancelled, IsRequested,
        Nothing, Peer, SenderClone, TokenClone, TokioGraceful, TrackerToken, TryGuard,
    },
    rounds::{self, Entrant, Value},
};

const ROUNDS: usize = 15;

/// Long enough for threads that share a core to take turns.
const MEASUREMENT: Duration = Duration::from_millis(20);

/// How many are held at once before the other thread drops them.
const BATCH: usize = 1000;

pub(crate) fn main() -> ExitCode {
    Builder::new().run(async |shutdown| {
        let asked = vec![asked::<IsRequested>(&shutdown), asked::<IsCancelled>(&shutdown)];
        rounds::run(ROUNDS, asked).print("asking");
        let entrants = vec![
            entrant::<TryGuard>(&shutdown),
            entrant::<AnyGuard>(&shutdown),
            entrant::<TrackerToken>(&shutdown),
            entrant::<HyperUtil>(&shutdown),
            entrant::<ArcClone>(&shutdown),
            entrant::<SenderClone>(&shutdown),
            entrant::<TokioGraceful>(&shutdown),
            entrant::<AsyncShutdown>(&shutdown),
            entrant::<TokenClone>(&shutdown),
            entrant::<ChildToken>(&shutdown),
            entrant::<Nothing>(&shutdown),
        ];
        rounds::run(ROUNDS, entrants).print("in flight");
    })
}

fn asked<P: Peer>(shutdown: &Shutdown) -> Entrant {
    let peer = P::new(shutdown);
    Entrant::new(P::NAME, move || [1, 2, 8].map(|threads| on_threads(&peer, threads)).to_vec())
}

fn entrant<P: Peer>(shutdown: &Shutdown) -> Entrant {
    let peer = Arc::new(P::new(shutdown));
    Entrant::new(P::NAME, move || {
        let mut values = [1, 2, 8].map(|threads| on_threads(&*peer, threads)).to_vec();
        values.push(Value::new("enter here, leave there", across(&*peer), "ns"));
        values
    })
}

/// How long a thread that has a core takes to enter and leave, while so many do.
fn on_threads<P: Peer>(peer: &P, threads: usize) -> Value {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(threads);
    let time = MEASUREMENT * u32::try_from(threads / cores).expect("few threads");
    let start = Barrier::new(threads);
    let one = |core| {
        if threads > 1 {
            stay_on(core);
        }
        start.wait();
        let (begin, mut count) = (Instant::now(), 0);
        while begin.elapsed() < time {
            (0..BATCH).for_each(|_| drop(black_box(peer.enter())));
            count += BATCH;
        }
        (begin, Instant::now(), count)
    };
    let all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || one(thread % cores))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it only counts")).collect()
    });
    let begin = all.iter().map(|(begin, ..)| *begin).min().expect("at least one");
    let end = all.iter().map(|(_, end, _)| *end).max().expect("at least one");
    let count: usize = all.iter().map(|(.., count)| count).sum();
    let what = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    Value::new(what, nanoseconds(end - begin) * cores as f64 / count as f64, "ns")
}

/// Threads that begin at the same time tend to be put on one core, where they would not meet.
fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core).expect("few cores");
    // Without it the numbers of many threads are too good, for all peers alike.
    let _refused = sched_setaffinity(Pid::from_raw(0), &cores);
}

/// How long it takes to enter on one thread and to leave on another, without the way between them.
fn across<P: Peer>(peer: &P) -> f64 {
    let (give, take) = mpsc::sync_channel::<Vec<P::Inside>>(0);
    let (give_back, take_back) = mpsc::sync_channel(0);
    let leave = move || {
        let mut spent = Duration::ZERO;
        for mut batch in take {
            let begin = Instant::now();
            batch.drain(..).for_each(drop);
            spent += begin.elapsed();
            give_back.send(batch).expect("the other thread waits for it");
        }
        spent
    };
    let (mut spent, mut count) = (Duration::ZERO, 0);
    let left = thread::scope(|scope| {
        let leaving = scope.spawn(leave);
        let mut batch = Vec::with_capacity(BATCH);
        let start = Instant::now();
        while start.elapsed() < MEASUREMENT {
            let begin = Instant::now();
            (0..BATCH).for_each(|_| batch.push(black_box(peer.enter())));
            spent += begin.elapsed();
            count += BATCH;
            give.send(batch).expect("the other thread waits for it");
            batch = take_back.recv().expect("the other thread gives it back");
        }
        drop(give);
        leaving.join().expect("it only drops")
    });
    nanoseconds(spent + left) / count as f64
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
