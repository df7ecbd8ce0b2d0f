//! Panics where nobody expects it: in what shows an error, and in the drop of a panic's payload.
//!
//! | word | what panics |
//! |---|---|
//! | `main-error`, `finalizer-error`, none | what shows the error of `main`, of a finalizer, of an essential task |
//! | `main-payload`, `finalizer-payload`, `at-exit-payload` | the payload of a panic there, when it is dropped |
use std::{fmt, panic::panic_any};

use graceful::Shutdown;
use graceful_tests::{log, say};

use crate::word;

struct BadDebug;

impl fmt::Debug for BadDebug {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("the error burst")
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload burst")
    }
}

async fn init(shutdown: Shutdown) {
    log();
    shutdown.at_exit(|_| say("at exit"));
    shutdown.finalizer("registered", async || say("finalized"));
}

#[graceful::main(timeout = "5s", init = init)]
pub(crate) async fn main(shutdown: Shutdown) -> Result<(), BadDebug> {
    match word(1).as_str() {
        "main-error" => return Err(BadDebug),
        "main-payload" => panic_any(Bomb),
        "finalizer-payload" => drop(shutdown.finalizer("bomb", async || panic_any(Bomb))),
        "finalizer-error" => drop(shutdown.finalizer("bomb", async || Err::<(), _>(BadDebug))),
        "at-exit-payload" => shutdown.at_exit(|_| panic_any(Bomb)),
        _ => {
            shutdown.task("part").essential().spawn(async { Err::<(), _>(BadDebug) });
            shutdown.requested().await;
        }
    }
    Ok(())
}
