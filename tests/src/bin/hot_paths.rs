//! Walks one of the hot paths so many times, for `scripts/instructions` to count.
use std::{
    hint::black_box,
    pin::pin,
    process::ExitCode,
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use graceful::{Builder, Flavor, Shutdown};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, path, turns] = arguments.as_slice() else { panic!("hot_paths PATH TURNS") };
    let turns = turns.parse().expect("a number");
    // One thread, so that the way through the scheduler is the same each time.
    Builder::new().flavor(Flavor::CurrentThread).run(async |shutdown| match path.as_str() {
        "try_guard" => {
            make_busy(&shutdown);
            try_guard(&shutdown, turns);
        }
        "guard" => {
            make_busy(&shutdown);
            guard(&shutdown, turns);
        }
        "is_requested" => is_requested(&shutdown, turns),
        "requested" => requested(&shutdown, turns),
        "spawn" => spawn(&shutdown, turns).await,
        other => panic!("no path {other}"),
    })
}

/// Takes guards until there have been many for a while: then the clock ticks for them.
fn make_busy(shutdown: &Shutdown) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        (0..1024).for_each(|_| drop(black_box(shutdown.guard())));
        // The tool runs one thread at a time, and the clock is another's.
        thread::yield_now();
    }
}

#[inline(never)]
fn try_guard(shutdown: &Shutdown, turns: u32) {
    (0..turns).for_each(|_| drop(black_box(shutdown.try_guard())));
}

#[inline(never)]
fn guard(shutdown: &Shutdown, turns: u32) {
    (0..turns).for_each(|_| drop(black_box(shutdown.guard())));
}

#[inline(never)]
fn is_requested(shutdown: &Shutdown, turns: u32) {
    for _ in 0..turns {
        black_box(shutdown.is_requested());
    }
}

/// Polled once and dropped, as when something else is ready first.
#[inline(never)]
fn requested(shutdown: &Shutdown, turns: u32) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..turns {
        assert!(black_box(pin!(shutdown.requested()).poll(&mut context)).is_pending());
    }
}

/// Tasks that are ready at once, and their ends: many at a time, or most of it would be the runtime falling asleep.
#[inline(never)]
async fn spawn(shutdown: &Shutdown, turns: u32) {
    for _ in 0..turns / BATCH {
        let tasks: Vec<_> = (0..BATCH).map(|_| shutdown.spawn(async {})).collect();
        for task in tasks {
            task.await.expect("it ends");
        }
    }
}

const BATCH: u32 = 100;
