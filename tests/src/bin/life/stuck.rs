//! Does what nobody should, under a timeout of three seconds.
//!
//! | word | what is stuck |
//! |---|---|
//! | `workers`, `untracked-workers`, `one-thread` | endless loops on all workers; of tasks that nothing tracks; on the only thread there is |
//! | `pool`, `untracked-pool` | the blocking pool is full of closures that never end; that nothing tracks |
//! | `thread`, `guard` | a thread that never ends; a guard that is never dropped |
//! | `init`, `main` | `init` or `main` blocks the main thread |
//! | `finalizer`, `blocking-finalizer` | a finalizer that never ends; one that blocks its thread |
//! | `drop`, `at-exit`, `late` | the drop of the state; a hook at the exit; one that is there when the main thread comes back late |
//! | none | nothing |
use std::{future::pending, process::ExitCode, thread::sleep, time::Duration};

use graceful::{Builder, Flavor, Shutdown, Signal};
use graceful_tests::{log, say};

use crate::word;

struct BlocksInDrop;

impl Drop for BlocksInDrop {
    fn drop(&mut self) {
        say("dropping");
        for_ever();
    }
}

fn for_ever() {
    loop {
        sleep(Duration::from_secs(1));
    }
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

async fn init(shutdown: Shutdown) -> BlocksInDrop {
    log();
    say("started");
    shutdown.at_exit(|report| say(format_args!("report {}", report.exit_status)));
    shutdown.finalizer("last", async || {
        let result = tokio::task::spawn_blocking(|| "ran").await;
        say(format_args!("finalizer {}", result.unwrap_or("failed")));
    });
    if word(1) == "init" {
        say("ready");
        for_ever();
    }
    BlocksInDrop
}

async fn run(shutdown: Shutdown) {
    match word(1).as_str() {
        "workers" | "one-thread" => {
            (0..8).for_each(|_| drop(shutdown.task("spins").spawn(async { spin() })))
        }
        "untracked-workers" => (0..8).for_each(|_| drop(tokio::spawn(async { spin() }))),
        "pool" => (0..8).for_each(|_| drop(shutdown.spawn_blocking(for_ever))),
        "untracked-pool" => (0..8).for_each(|_| drop(tokio::task::spawn_blocking(for_ever))),
        "thread" => drop(shutdown.task("sleeps").spawn_thread(for_ever)),
        "finalizer" => drop(shutdown.finalizer("never ends", pending::<()>)),
        "blocking-finalizer" => drop(shutdown.finalizer("blocks", async || for_ever())),
        "guard" => std::mem::forget(shutdown.guard()),
        "main" => {
            say("ready");
            for_ever();
        }
        "late" => {
            shutdown
                .finalizer("blocks", async || sleep(Duration::from_millis(1600)))
                .timeout(Duration::from_millis(300));
            shutdown.at_exit(|_| {
                say("flush.begin");
                sleep(Duration::from_millis(2500));
                say("flush.end");
            });
        }
        "at-exit" => shutdown.at_exit(|_| {
            say("at exit");
            for_ever();
        }),
        _ => {}
    }
    if word(1) == "one-thread" {
        // The spinning task takes the one thread there is at the next await.
        say("ready");
        tokio::task::yield_now().await;
    }
    say("ready");
    shutdown.requested().await;
}

async fn finalize(state: BlocksInDrop) {
    if word(1) != "drop" {
        std::mem::forget(state);
    }
}

pub(crate) fn main() -> ExitCode {
    let flavor = if word(1) == "one-thread" { Flavor::CurrentThread } else { Flavor::MultiThread };
    Builder::new()
        .timeout(Duration::from_secs(3))
        .signals([Signal::TERM, Signal::INT])
        .flavor(flavor)
        .max_blocking_threads(4)
        .init(init)
        .finalize(finalize)
        .run(async |_: &BlocksInDrop, shutdown| run(shutdown).await)
}
