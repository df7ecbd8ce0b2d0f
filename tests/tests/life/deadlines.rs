//! Promise 6: gone in time, whatever user code does, with the finalizers run and what was stuck reported.

use std::time::Duration;

use graceful_tests::{CONT, INT, Program, STOP, TERM};

/// The force comes after three quarters of it: what is left is the slack that a busy machine has.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Does what the word says, and checks that the program is gone within its timeout, and what it printed.
#[track_caller]
fn gone_in_time(how: &str, status: i32, lines: &[&str]) {
    let ended = Program::life("stuck")
        .arg(how)
        .start()
        .line("ready")
        .signal(TERM)
        .exits(status)
        .within(TIMEOUT);
    lines.iter().fold(ended, |ended, line| ended.printed(line));
}

/// G13 B06: the clock starts when the signal comes, and no loop stops it.
#[test]
fn every_worker_in_an_endless_loop() {
    gone_in_time("workers", 143, &["finalizer ran", "straggler: task spins", "report 143"]);
    gone_in_time("untracked-workers", 0, &["finalizer ran", "report 0"]);
}

/// B01 B02 B03 B04 B05: finalizers need no place in the pool of the user's code, and what is in there does not hold the exit.
#[test]
fn a_full_blocking_pool_starves_no_finalizer() {
    gone_in_time("pool", 143, &["finalizer ran", "straggler: blocking", "report 143"]);
    gone_in_time("untracked-pool", 0, &["finalizer ran", "report 0"]);
}

/// P16 W16 W17 D12: what does not end is named, and the program leaves without it.
#[test]
fn a_thread_or_a_guard_that_never_ends() {
    gone_in_time("thread", 143, &["finalizer ran", "straggler: thread sleeps"]);
    gone_in_time("guard", 143, &["finalizer ran", "straggler: guard"]);
}

/// P05: each finalizer has a time of its own.
#[test]
fn a_finalizer_that_never_ends_does_not_stop_the_next() {
    gone_in_time(
        "finalizer",
        143,
        &["finalizer ran", "finalizer never ends: it did not end in its time"],
    );
    gone_in_time(
        "blocking-finalizer",
        143,
        &["finalizer ran", "finalizer blocks: it blocked its thread"],
    );
}

/// `timeout` is a maximum: where the main thread does not come back and all else is done, the end of the budget is not waited for.
#[test]
fn a_blocked_main_thread_does_not_use_up_the_budget() {
    let program =
        Program::life("stuck").env("GRACEFUL_TIMEOUT", "60s").arg("main").start().line("ready");
    let ended = program.signal(INT).after(Duration::from_millis(200)).signal(INT).exits(130);
    ended.within(Duration::from_secs(20)).printed("finalizer ran").printed("report 130");
}

/// A main thread that comes back drops the state after the last finalizer, whoever runs that, and is waited for.
#[test]
fn a_main_thread_that_comes_back_waits_for_the_finalizers() {
    let program = Program::life("late_main").start().line("ready");
    let program = program.signal(TERM).after(Duration::from_millis(200)).signal(TERM);
    let order = ["finalizer begins", "main is back", "finalizer ends", "state dropped", "at exit"];
    order.into_iter().fold(program, |program, line| program.line(line)).exits(143);
}

#[test]
fn a_blocked_main_thread() {
    gone_in_time(
        "main",
        143,
        &["finalizer ran", "straggler: main", "finalizer finalize: the main thread"],
    );
    // P06: that a signal waits for init is told.
    gone_in_time("init", 143, &["finalizer ran", "report 143", "waiting for init"]);
    gone_in_time("one-thread", 143, &["finalizer ran", "straggler: task spins"]);
}

/// The main thread comes back in the middle of `at_exit`, which another thread runs in its place: it does not cut it.
#[test]
fn at_exit_is_not_cut_by_a_late_main_thread() {
    let program =
        Program::life("stuck").env("GRACEFUL_TIMEOUT", "10s").arg("late").start().line("ready");
    program.signal(TERM).exits(143).printed("flush.begin").printed("flush.end");
}

/// The status that the report has is the last word on it.
#[test]
fn a_signal_after_the_report_changes_nothing() {
    let program = Program::life("stuck").arg("at-exit").start().line("ready").signal(TERM);
    program.line("at exit").after(Duration::from_millis(200)).signal(TERM).exits(0);
}

/// Nobody reads standard error, and everything is logged to it: the finalizers run all the same.
#[test]
fn a_log_that_blocks() {
    let limit = Duration::from_secs(6);
    let start = |how| {
        let (program, unread) =
            Program::life("stuck").env("GRACEFUL_TIMEOUT", "6s").arg(how).full_stderr();
        (program.start().line("started"), unread)
    };
    for (program, _unread) in ["", "pool"].map(start) {
        // By now it waits for the log, or will in a moment: it has to end either way.
        let program = program.after(Duration::from_millis(200)).signal(TERM);
        program.ends().within(limit).printed("finalizer ran").printed("report ");
    }
}

/// The peers' table: a second Ctrl+C ends the drain in milliseconds, also where nothing can be aborted.
#[test]
fn a_second_signal_does_not_wait_for_what_cannot_be_aborted() {
    let program =
        Program::life("stuck").env("GRACEFUL_TIMEOUT", "60s").arg("pool").start().line("ready");
    let ended = program.signal(INT).after(Duration::from_millis(200)).signal(INT).exits(130);
    ended.within(Duration::from_secs(5)).printed("finalizer ran").printed("straggler: blocking");
}

/// G03 D07: the clock goes on while the process is stopped.
#[test]
fn time_stopped_counts() {
    let program =
        Program::life("stuck").arg("pool").start().line("ready").signal(TERM).line("draining");
    program
        .signal(STOP)
        .after(Duration::from_millis(2500))
        .signal(CONT)
        .exits(143)
        .within(TIMEOUT + Duration::from_secs(1));
}

#[test]
fn a_stop_in_the_drain_does_no_harm() {
    let program = Program::life("phases")
        .arg("slowly")
        .start()
        .line("run.begin")
        .signal(TERM)
        .line("finalize.begin");
    program.signal(STOP).after(Duration::from_millis(300)).signal(CONT).exits(0).printed("first");
}
