//! Leaves something running that nothing tracks, in the way that its first argument says; the second is the flavor.
use std::{
    future::{pending, ready},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use graceful::{Builder, Flavor, Shutdown};
use graceful_tests::{argument, log, say};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, stdin, stdout},
    sync::mpsc,
    task::spawn_blocking,
};

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
    match argument().as_str() {
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
    if argument() != "pipe" {
        say("ready");
    }
    if argument().starts_with("requested") {
        shutdown.requested().await;
    }
    match argument().as_str() {
        "failed" => Err("main failed"),
        "panicked" => panic!("main panicked"),
        _ => Ok(()),
    }
}

fn main() -> ExitCode {
    let option = std::env::args().nth(2).unwrap_or_default();
    let flavor = if option == "one-thread" { Flavor::CurrentThread } else { Flavor::MultiThread };
    Builder::new().flavor(flavor).max_blocking_threads(4).run(async |shutdown: Shutdown| {
        if option != "no-log" {
            log();
        }
        shutdown.at_exit(|report| say(format_args!("report {}", report.exit_status)));
        run(shutdown).await
    })
}
