//! Prints the order in which everything goes: work, finalizers, what nothing tracks, the runtime, what runs last. Takes no words.
use std::{future::pending, time::Duration};

use graceful::Shutdown;
use graceful_tests::{log, say};

struct SaysWhenDropped(&'static str);

impl Drop for SaysWhenDropped {
    fn drop(&mut self) {
        say(self.0);
    }
}

async fn init(shutdown: Shutdown) -> SaysWhenDropped {
    log();
    shutdown.at_exit(|report| {
        let json = serde_json::to_value(report).expect("a report is data");
        say(format_args!("at exit first, status {}, cause {}", json["exit_status"], json["cause"]));
    });
    shutdown.at_exit(|_| {
        say("at exit second");
        panic!("the other runs all the same");
    });
    SaysWhenDropped("state dropped")
}

#[graceful::main(init = init)]
pub(crate) async fn main(_: &SaysWhenDropped, shutdown: Shutdown) {
    let stray = SaysWhenDropped("stray dropped");
    tokio::spawn(async move {
        pending::<()>().await;
        drop(stray);
    });
    shutdown.spawn(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        say("work ended");
    });
    shutdown.finalizer("hook", async || say("finalized"));
    say("ready");
    shutdown.requested().await;
    say("main ended");
}
