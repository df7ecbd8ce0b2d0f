//! Prints each step of its life; init takes 400 ms, and finalizing as long if asked.
use std::time::Duration;

use graceful::Shutdown;
use graceful_tests::{argument, log, say};
use tokio::time::sleep;

struct App;

async fn init(shutdown: Shutdown) -> App {
    log();
    say("init.begin");
    shutdown.finalizer("first", async || say("first"));
    sleep(Duration::from_millis(400)).await;
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
