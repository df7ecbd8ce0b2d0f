//! Two tasks that do not end by themselves.
use std::future::pending;

use graceful::Shutdown;
use graceful_tests::say;

#[graceful::main(timeout = "20s")]
async fn main(shutdown: Shutdown) {
    shutdown.task("upload").spawn(pending::<()>());
    shutdown.task("mail").spawn(pending::<()>());
    say("ready");
    shutdown.requested().await;
}
