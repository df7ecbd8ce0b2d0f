//! Prints each step of its life. Init takes as long as the file PHASES_HOLD is there; finalizing takes 400 ms with the word `slowly`.
use std::{path::Path, time::Duration};

use graceful::Shutdown;
use graceful_tests::{log, say};
use tokio::time::sleep;

use crate::word;

struct App;

async fn init(shutdown: Shutdown) -> App {
    log();
    say("init.begin");
    shutdown.finalizer("first", async || say("first"));
    // For as long as the test holds it.
    while std::env::var_os("PHASES_HOLD").is_some_and(|file| Path::new(&file).exists()) {
        sleep(Duration::from_millis(5)).await;
    }
    shutdown.finalizer("second", async || say("second"));
    say("init.end");
    App
}

async fn finalize(_: App) {
    say("finalize.begin");
    if word(1) == "slowly" {
        sleep(Duration::from_millis(400)).await;
    }
    say("finalize.end");
}

#[graceful::main(timeout = "10s", signals = [TERM, INT, HUP, QUIT], init = init, finalize = finalize)]
pub(crate) async fn main(_: &App, shutdown: Shutdown) {
    shutdown.finalizer("third", async || say("third"));
    say("run.begin");
    shutdown.requested().await;
    say("run.end");
}
