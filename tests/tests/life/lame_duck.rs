//! Already out of the load balancer, still serving.

use std::time::Duration;

use graceful_tests::{Ended, INT, Program, Running, TERM};

const LAME_DUCK: Duration = Duration::from_millis(500);

/// Longer than anything else takes: what ends before it has passed did not wait for it.
const LONG: Duration = Duration::from_secs(5);

fn program(how: &str, lame_duck: Duration) -> Running {
    let lame_duck = format!("{}ms", lame_duck.as_millis());
    Program::life("lame_duck").env("GRACEFUL_LAME_DUCK", &lame_duck).arg(how).start().line("ready ")
}

fn stopped(how: &str, lame_duck: Duration) -> Ended {
    program(how, lame_duck).signal(TERM).exits(0)
}

/// D18: it takes work while not ready, for the whole time, also when idle.
#[test]
fn it_is_waited_out_while_work_is_taken() {
    for how in ["", "ready", "requests"] {
        let ended = stopped(how, LAME_DUCK)
            .printed("LameDuck ready false requested false")
            .printed("takes true");
        assert!(ended.took >= LAME_DUCK, "{how}: it left after {:?}", ended.took);
    }
}

#[test]
fn it_ends_when_there_is_nothing_left_to_serve_with() {
    for how in ["returns", "essential"] {
        let ended = stopped(how, LONG).printed("LameDuck ready false");
        assert!(ended.took < LONG, "{how}: it left after {:?}", ended.took);
    }
}

#[test]
fn it_is_skipped_for_int_and_when_never_ready() {
    let ended = stopped("never-ready", LONG)
        .printed("ready false")
        .printed("Draining ready false requested true");
    assert!(ended.took < LONG, "it left after {:?}", ended.took);
    let ended = program("", LONG).signal(INT).exits(0);
    assert!(ended.took < LONG, "it left after {:?}", ended.took);
}

/// The second signal begins the drain and ends it.
#[test]
fn a_second_signal_ends_it() {
    let program = program("", LONG).signal(TERM).line("LameDuck");
    let ended = program.after(Duration::from_millis(150)).signal(TERM).exits(0);
    assert!(ended.took < LONG, "it left after {:?}", ended.took);
}
