//! A force comes while a task waits in a shield; out of it, the task works on for a while before it ends. Takes no words.
use std::{thread, time::Duration};

use graceful::Shutdown;
use graceful_tests::{log, say};
use tokio::{sync::oneshot, time::sleep};

#[graceful::main(timeout = "20s", flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn main(shutdown: Shutdown) {
    log();
    shutdown.finalizer("last", async || say("finalizer"));
    let (inside, is_inside) = oneshot::channel();
    let task = shutdown.clone();
    shutdown.spawn(async move {
        task.shield(async {
            inside.send(()).ok();
            sleep(Duration::from_millis(200)).await;
        })
        .await;
        thread::sleep(Duration::from_millis(100));
        say("task ends");
    });
    is_inside.await.ok();
    shutdown.force("now");
}
