//! Walks one of the hot paths so many times, for `./instructions` to count.
use std::{
    hint::black_box,
    pin::pin,
    process::ExitCode,
    task::{Context, Waker},
};

use graceful::{Builder, Flavor, Shutdown};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, path, turns] = arguments.as_slice() else { panic!("hot_paths PATH TURNS") };
    let turns = turns.parse().expect("a number");
    // One thread, so that the way through the scheduler is the same each time.
    Builder::new().flavor(Flavor::CurrentThread).run(async |shutdown| match path.as_str() {
        "try_guard" => try_guard(&shutdown, turns),
        "guard" => guard(&shutdown, turns),
        "is_requested" => is_requested(&shutdown, turns),
        "requested" => requested(&shutdown, turns),
        "spawn" => spawn(&shutdown, turns).await,
        other => panic!("no path {other}"),
    })
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

/// A task that is ready at once, and its end.
#[inline(never)]
async fn spawn(shutdown: &Shutdown, turns: u32) {
    for _ in 0..turns {
        shutdown.spawn(async {}).await.expect("it ends");
    }
}
