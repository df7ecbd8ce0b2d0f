//! Two tasks that do not end by themselves. Takes no words.
use std::future::pending;

use graceful::Shutdown;
use graceful_tests::say;

#[graceful::main(timeout = "20s")]
pub(crate) async fn main(shutdown: Shutdown) {
    shutdown.task("upload").spawn(pending::<()>());
    shutdown.task("mail").spawn(pending::<()>());
    say("ready");
    shutdown.requested().await;
}
