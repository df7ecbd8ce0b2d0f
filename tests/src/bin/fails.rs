//! Ends in the way that its argument says, so that its exit status can be looked at.
use std::{process::ExitCode, time::Duration};

use graceful::Shutdown;
use graceful_tests::{argument, log, say};

#[derive(Debug)]
struct Oops(#[expect(dead_code, reason = "shown by its Debug")] &'static str);

async fn init(shutdown: Shutdown) -> Result<(), Oops> {
    log();
    shutdown.finalizer("registered", async || say("finalized"));
    tracing::info!("init.begin");
    match argument().as_str() {
        "init-error" => return Err(Oops("init")),
        "init-panic" => panic!("init burst"),
        "init-slow" => std::future::pending().await,
        _ => {}
    }
    shutdown.finalizer("late", async || say("late finalized"));
    Ok(())
}

async fn finalize(_: ()) -> Result<(), Oops> {
    match argument().as_str() {
        "finalize-error" => Err(Oops("finalize")),
        "finalize-panic" => panic!("finalize burst"),
        _ => Ok(()),
    }
}

#[graceful::main(timeout = "5s", init_timeout = "300ms", init = init, finalize = finalize)]
async fn main(_: &(), shutdown: Shutdown) -> ExitCode {
    match argument().as_str() {
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
