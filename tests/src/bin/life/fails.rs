//! Ends in the way that its word says, so that its exit status can be looked at: `WHERE-error` and `WHERE-panic` fail in `init`,
//! `finalize`, an ordinary `task`, an `essential` one, and these:
//!
//! | word | what happens |
//! |---|---|
//! | `init-slow` | `init` never ends |
//! | `panic`, `code` | `main` panics, or returns the exit code 7 |
//! | `spawn-panic`, `essential-end` | an unnamed task panics; an essential one ends by itself |
//! | `request`, `force` | `main` asks for the stop; ends the drain while a task hangs |
//! | `forced-failure`, `forced-code` | the same as `force` after an essential task failed; with an exit code of `main` |
//! | none | `main` returns |
use std::{process::ExitCode, time::Duration};

use graceful::Shutdown;
use graceful_tests::{log, say};

use crate::word;

#[derive(Debug)]
struct Oops(#[expect(dead_code, reason = "shown by its Debug")] &'static str);

async fn init(shutdown: Shutdown) -> Result<(), Oops> {
    log();
    shutdown.finalizer("registered", async || say("finalized"));
    tracing::info!("init.begin");
    match word(1).as_str() {
        "init-error" => return Err(Oops("init")),
        "init-panic" => panic!("init burst"),
        "init-slow" => std::future::pending().await,
        _ => {}
    }
    shutdown.finalizer("late", async || say("late finalized"));
    Ok(())
}

async fn finalize(_: ()) -> Result<(), Oops> {
    match word(1).as_str() {
        "finalize-error" => Err(Oops("finalize")),
        "finalize-panic" => panic!("finalize burst"),
        _ => Ok(()),
    }
}

#[graceful::main(timeout = "5s", init_timeout = "300ms", init = init, finalize = finalize)]
pub(crate) async fn main(_: &(), shutdown: Shutdown) -> ExitCode {
    match word(1).as_str() {
        "panic" => panic!("main burst"),
        "code" => return ExitCode::from(7),
        "task-error" => {
            drop(shutdown.task("work").spawn(async { Err::<(), _>(Oops("task")) }).await)
        }
        "task-panic" => drop(shutdown.task("work").spawn(async { panic!("task burst") }).await),
        "spawn-panic" => drop(shutdown.spawn(async { panic!("spawn burst") }).await),
        "essential-error" => {
            shutdown.task("part").essential().spawn(async { Err::<(), _>(Oops("essential")) });
            shutdown.requested().await;
        }
        "essential-panic" => {
            shutdown
                .task("part")
                .essential()
                .spawn_blocking(|| -> () { panic!("essential burst") });
            shutdown.requested().await;
        }
        "essential-end" => {
            shutdown.task("part").essential().spawn_thread(|| {});
            shutdown.requested().await;
        }
        "request" => shutdown.request("enough"),
        "force" => {
            shutdown.task("hangs").spawn(std::future::pending::<()>());
            shutdown.force("now");
        }
        "forced-failure" => {
            shutdown.task("hangs").spawn(std::future::pending::<()>());
            shutdown.task("part").essential().spawn(async { Err::<(), _>(Oops("essential")) });
            shutdown.requested().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            shutdown.force("now");
        }
        "forced-code" => {
            shutdown.task("hangs").spawn(std::future::pending::<()>());
            shutdown.force("now");
            return ExitCode::from(7);
        }
        _ => {}
    }
    ExitCode::SUCCESS
}
