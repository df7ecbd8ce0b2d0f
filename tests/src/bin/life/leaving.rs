//! Leaves something running that nothing tracks. The second word is the flavor of its runtime, `multi-thread` or `one-thread`; `no-log` is
//! the first of these without a log. A first word `requested-…` returns from `main` only after the stop was asked for.
//!
//! | first word | what is left |
//! |---|---|
//! | `nothing` | nothing |
//! | `closure`, `failed`, `panicked` | a closure that ends after a second; `main` returns, fails or panics |
//! | `endless`, `input`, `pipe` | a closure that never ends; one that reads standard input; 1 MiB on its way to standard output |
//! | `channel` | a closure that ends with a task |
//! | `finalizer`, `cut-finalizer` | what a finalizer left: a closure that ends; one that never does, by a finalizer that is cut |
use std::{
    future::{pending, ready},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use graceful::{Builder, Flavor, Shutdown};
use graceful_tests::{log, say};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, stdin, stdout},
    sync::mpsc,
    task::spawn_blocking,
};

use crate::word;

fn for_ever() {
    loop {
        sleep(Duration::from_secs(1));
    }
}

fn for_a_second() {
    sleep(Duration::from_secs(1));
    say("written");
}

async fn run(shutdown: Shutdown) -> Result<(), &'static str> {
    match word(1).as_str() {
        "nothing" => {}
        "pipe" => stdout().write_all(&vec![b'.'; 1 << 20]).await.expect("a pipe"),
        "input" | "requested-input" => {
            let mut input = stdin();
            // The first poll begins to read.
            tokio::select! { biased; _ = input.read_u8() => {}, () = ready(()) => {} }
        }
        "channel" | "requested-channel" => {
            let (sender, mut receiver) = mpsc::channel::<()>(1);
            spawn_blocking(move || {
                while receiver.blocking_recv().is_some() {}
                say("channel closed");
            });
            tokio::spawn(async move {
                pending::<()>().await;
                drop(sender);
            });
        }
        "endless" | "requested-endless" => drop(spawn_blocking(for_ever)),
        "cut-finalizer" => {
            let hook = shutdown.finalizer("is cut", async || drop(spawn_blocking(for_ever).await));
            hook.timeout(Duration::from_millis(100));
        }
        "finalizer" => drop(shutdown.finalizer("leaves something", async || {
            drop(spawn_blocking(for_a_second));
        })),
        _ => drop(spawn_blocking(for_a_second)),
    }
    tokio::task::yield_now().await;
    // Whoever writes to a pipe that is full has the lock of standard output.
    if word(1) != "pipe" {
        say("ready");
    }
    if word(1).starts_with("requested") {
        shutdown.requested().await;
    }
    match word(1).as_str() {
        "failed" => Err("main failed"),
        "panicked" => panic!("main panicked"),
        _ => Ok(()),
    }
}

pub(crate) fn main() -> ExitCode {
    let option = word(2);
    let flavor = if option == "one-thread" { Flavor::CurrentThread } else { Flavor::MultiThread };
    Builder::new().flavor(flavor).max_blocking_threads(4).run(async |shutdown: Shutdown| {
        if option != "no-log" {
            log();
        }
        shutdown.at_exit(|report| say(format_args!("report {}", report.exit_status)));
        run(shutdown).await
    })
}
