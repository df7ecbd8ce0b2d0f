//! Prints each step of its life; init takes as long as the file PHASES_HOLD is there, and finalizing 400 ms if asked.
use std::{path::Path, time::Duration};

use graceful::Shutdown;
use graceful_tests::{argument, log, say};
use tokio::time::sleep;

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
    if argument() == "slowly" {
        sleep(Duration::from_millis(400)).await;
    }
    say("finalize.end");
}

#[graceful::main(timeout = "10s", signals = [TERM, INT, HUP, QUIT], init = init, finalize = finalize)]
async fn main(_: &App, shutdown: Shutdown) {
    shutdown.finalizer("third", async || say("third"));
    say("run.begin");
    shutdown.requested().await;
    say("run.end");
}
