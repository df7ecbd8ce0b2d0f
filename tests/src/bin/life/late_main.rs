//! Blocks its main thread over the force, so that its finalizers are taken over, and comes back while one of them runs. Takes no words.
use std::{process::ExitCode, thread, time::Duration};

use graceful::{Builder, Shutdown};
use graceful_tests::say;
use tokio::time::sleep;

struct Store;

impl Drop for Store {
    fn drop(&mut self) {
        thread::sleep(Duration::from_millis(500));
        say("state dropped");
    }
}

async fn init(shutdown: Shutdown) -> Store {
    shutdown.at_exit(|_| say("at exit"));
    shutdown.finalizer("store", async || {
        say("finalizer begins");
        sleep(Duration::from_secs(2)).await;
        say("finalizer ends");
    });
    Store
}

pub(crate) fn main() -> ExitCode {
    Builder::new().timeout(Duration::from_secs(30)).init(init).run(async |_: &Store, _| {
        say("ready");
        thread::sleep(Duration::from_secs(2));
        say("main is back");
    })
}
