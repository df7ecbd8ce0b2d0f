//! Has a signal in each role.
//!
//! | word | what happens |
//! |---|---|
//! | `hangs` | a task never ends, so that the drain does not end by itself |
//! | `reload-error`, `reload-panic`, `reload-slow` | the reload hook fails, panics or takes 400 ms |
use std::{future::pending, time::Duration};

use graceful::Shutdown;
use graceful_tests::{log, say};
use tokio::time::sleep;

use crate::word;

async fn init() -> &'static str {
    log();
    say("init.begin");
    sleep(Duration::from_millis(300)).await;
    "state"
}

async fn reload(state: &&'static str) -> Result<(), String> {
    say(format_args!("reload {state}"));
    match word(1).as_str() {
        "reload-error" => Err("bad configuration".to_owned()),
        "reload-panic" => panic!("reload burst"),
        "reload-slow" => {
            sleep(Duration::from_millis(400)).await;
            say("reloaded");
            Ok(())
        }
        _ => Ok(()),
    }
}

#[graceful::main(
    timeout = "20s",
    signals(stop = [TERM, INT], force = [QUIT], exit = [USR1], reload = [HUP]),
    init = init,
    reload = reload,
    finalize = finalize,
)]
pub(crate) async fn main(shutdown: Shutdown) {
    if word(1) == "hangs" {
        shutdown.task("hangs").spawn(pending::<()>());
        shutdown.task("quick").spawn({
            let shutdown = shutdown.clone();
            async move {
                shutdown.requested().await;
                sleep(Duration::from_millis(20)).await;
                say("quick ended");
            }
        });
    }
    say("run.begin");
    shutdown.requested().await;
    say("drain.begin");
}

async fn finalize(_: &'static str) {
    say("finalized");
}
