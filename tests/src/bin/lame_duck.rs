//! Serves on for half a second while not ready; with `manual`, it is ready when a line comes in.
use std::time::Duration;

use graceful::{Builder, Phase, Readiness, Shutdown, Signal};
use graceful_tests::{argument, log, say};

async fn run(shutdown: Shutdown) {
    if argument() == "ready" {
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
    match argument().as_str() {
        "returns" => return,
        "essential" => drop(shutdown.task("part").essential().spawn(async {})),
        "requests" => shutdown.request("no effect"),
        _ => {}
    }
    shutdown.requested().await;
}

fn main() -> std::process::ExitCode {
    log();
    let manual = matches!(argument().as_str(), "ready" | "never-ready");
    Builder::new()
        .timeout(Duration::from_secs(10))
        .lame_duck(Duration::from_millis(500))
        .readiness(if manual { Readiness::Manual } else { Readiness::Auto })
        .signals([Signal::TERM, Signal::INT])
        .run(async |shutdown| run(shutdown).await)
}
