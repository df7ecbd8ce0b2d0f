//! Takes a lock in init and gives it back in a finalizer, whatever the system has left for it. Takes no words.
use std::time::Duration;

use graceful::Shutdown;
use graceful_tests::say;

async fn init(shutdown: Shutdown) {
    say("taken");
    shutdown.finalizer("lock", async || say("given back"));
}

#[graceful::main(timeout = "10s", init = init)]
pub(crate) async fn main() {
    // Long enough for whatever is started beside it.
    tokio::time::sleep(Duration::from_millis(30)).await;
}
