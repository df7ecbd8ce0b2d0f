//! Says what holds when it leaves `Running`, and serves on in its lame duck.
//!
//! | word | what is different |
//! |---|---|
//! | `ready`, `never-ready` | it says itself when it is ready: at once, or never |
//! | `returns`, `essential`, `requests` | in the lame duck `main` returns, an essential task ends, or the stop is asked for again |
use std::time::Duration;

use graceful::{Builder, Phase, Readiness, Shutdown, Signal};
use graceful_tests::{log, say};

use crate::word;

async fn run(shutdown: Shutdown) {
    if word(1) == "ready" {
        shutdown.ready();
    }
    let mut phases = shutdown.phases();
    say(format_args!("ready {}", shutdown.is_ready()));
    phases.wait_for(|&phase| phase > Phase::Running).await.expect("the program lives");
    say(format_args!(
        "{:?} ready {} requested {}",
        shutdown.phase(),
        shutdown.is_ready(),
        shutdown.is_requested()
    ));
    say(format_args!("takes {}", shutdown.try_guard().is_some()));
    match word(1).as_str() {
        "returns" => return,
        "essential" => drop(shutdown.task("part").essential().spawn(async {})),
        "requests" => shutdown.request("no effect"),
        _ => {}
    }
    shutdown.requested().await;
}

pub(crate) fn main() -> std::process::ExitCode {
    log();
    let manual = matches!(word(1).as_str(), "ready" | "never-ready");
    Builder::new()
        .timeout(Duration::from_secs(10))
        .lame_duck(Duration::from_millis(500))
        .readiness(if manual { Readiness::Manual } else { Readiness::Auto })
        .signals([Signal::TERM, Signal::INT])
        .run(async |shutdown| run(shutdown).await)
}
