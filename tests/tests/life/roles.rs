//! What each signal asks for.

use std::time::Duration;

use graceful_tests::{CONT, HUP, INT, Program, QUIT, Running, STOP, TERM, USR1};

/// Longer than the time in which two signals are the same wish.
const LATER: Duration = Duration::from_millis(150);

fn running(how: &str) -> Running {
    Program::life("roles").arg(how).start().line("run.begin")
}

/// G09, and the peers' table: the second stop signal forces, whichever it is.
#[test]
fn the_second_stop_signal_forces() {
    for (first, second, status) in [(INT, INT, 130), (TERM, INT, 143), (INT, TERM, 130)] {
        let program =
            running("hangs").signal(first).line("drain.begin").after(LATER).signal(second);
        program
            .exits(status)
            .within(Duration::from_secs(5))
            .printed("finalized")
            .printed("straggler: task hangs");
    }
}

/// Sent to a stopped process they arrive together, in either order; the third, later one is what forces.
#[test]
fn two_signals_at_once_are_one_wish() {
    let program =
        running("hangs").signal(STOP).signal(INT).signal(TERM).signal(CONT).line("quick ended");
    let ended = program.after(LATER).signal(INT).ends();
    assert!(matches!(ended.status, 130 | 143), "{}", ended.text());
    assert_eq!(ended.text().matches("signal received").count(), 3, "{}", ended.text());
    ended.printed("straggler: task hangs").printed("finalized");
}

/// The drain begins, work gets a moment to end by itself, and what hangs is aborted.
#[test]
fn a_force_signal_is_a_request_and_a_force_in_one() {
    let ended = running("hangs").signal(QUIT).exits(131).within(Duration::from_secs(5));
    ended
        .printed("drain.begin")
        .printed("quick ended")
        .printed("straggler: task hangs")
        .printed("finalized");
    running("").signal(QUIT).exits(0).printed("finalized");
}

#[test]
fn a_force_signal_ends_a_drain_at_once() {
    let program = running("hangs").signal(TERM).line("drain.begin").signal(QUIT);
    program.exits(143).within(Duration::from_secs(5)).printed("finalized");
}

#[test]
fn a_force_signal_waits_for_init() {
    let program = Program::life("roles").start().line("init.begin").signal(QUIT);
    program.exits(0).stdout(&["init.begin", "finalized"]);
}

#[test]
fn an_exit_signal_ends_the_process_at_once_in_every_phase() {
    Program::life("roles")
        .start()
        .line("init.begin")
        .signal(USR1)
        .exits(138)
        .never_printed("finalized");
    running("").signal(USR1).exits(138).never_printed("finalized");
    running("hangs")
        .signal(TERM)
        .line("drain.begin")
        .signal(USR1)
        .exits(138)
        .never_printed("finalized");
}

#[test]
fn a_reload_signal_runs_the_hook_and_the_program_goes_on() {
    let program = running("").signal(HUP).line("reload state").signal(HUP).line("reload state");
    program.signal(TERM).exits(0).printed("finalized");
}

#[test]
fn reloads_that_fail_leave_the_program_as_it_was() {
    for (how, log) in [("reload-error", "bad configuration"), ("reload-panic", "reload burst")] {
        let program = running(how)
            .signal(HUP)
            .line("goes on as it was")
            .signal(HUP)
            .line("goes on as it was");
        program.signal(TERM).exits(0).printed(log);
    }
}

/// One at a time, coalesced: three signals during a reload are one more.
#[test]
fn reloads_are_coalesced() {
    let mut program = running("reload-slow").signal(HUP).line("reload state");
    for _ in 0..3 {
        program = program.signal(HUP).after(Duration::from_millis(20));
    }
    let ended = program
        .line("reloaded")
        .line("reload state")
        .line("reloaded")
        .after(LATER)
        .signal(TERM)
        .exits(0);
    assert_eq!(ended.out().iter().filter(|line| **line == "reloaded").count(), 2);
}

#[test]
fn a_reload_signal_during_init_runs_once_after_it() {
    let program =
        Program::life("roles").start().line("init.begin").signal(HUP).after(LATER).signal(HUP);
    let ended = program.line("reload state").after(LATER).signal(TERM).exits(0);
    assert_eq!(ended.out().iter().filter(|line| **line == "reload state").count(), 1);
}

#[test]
fn a_reload_that_runs_at_the_stop_may_finish() {
    running("reload-slow")
        .signal(HUP)
        .line("reload state")
        .signal(TERM)
        .exits(0)
        .printed("reloaded");
}
