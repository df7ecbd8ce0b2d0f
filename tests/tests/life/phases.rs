//! The life from outside: init and finalizers are shielded, one signal of any kind is enough, the order is fixed.

use std::time::Duration;

use graceful_tests::{HUP, INT, Program, QUIT, TERM, USR1};

const WHOLE: [&str; 9] = [
    "init.begin",
    "init.end",
    "run.begin",
    "run.end",
    "third",
    "finalize.begin",
    "finalize.end",
    "second",
    "first",
];
const SKIPPED: [&str; 6] =
    ["init.begin", "init.end", "finalize.begin", "finalize.end", "second", "first"];

/// P01 P02 P03 P10 P11 P19 G01 G02 G10 G11 G15 G17: each listed signal, at any instant of init, leads through the same drain.
#[test]
fn a_signal_during_init_waits_and_main_is_skipped() {
    for signal in [TERM, INT, HUP, QUIT] {
        let (program, hold) = held();
        let name = signal.as_str().trim_start_matches("SIG");
        let program =
            program.start().line("init.begin").signal(signal).line(&format!("signal={name}"));
        drop(hold);
        program.exits(0).stdout(&SKIPPED).printed(&format!("cause=signal {name}"));
    }
}

/// P12: all of them are recorded, the first one decides, and none cuts init, however many come.
#[test]
fn many_signals_during_init_do_not_force() {
    let (program, hold) = held();
    let mut program = program.start().line("init.begin");
    for signal in [INT, TERM, HUP, TERM] {
        // The last ones come later than a second wish would have to.
        program = program.signal(signal).line("signal received").after(Duration::from_millis(60));
    }
    drop(hold);
    let ended = program.exits(0).stdout(&SKIPPED).printed("cause=signal INT");
    ended.printed("signal=TERM").printed("signal=HUP");
}

/// A program whose init does not end before the file is dropped.
fn held() -> (Program, tempfile::NamedTempFile) {
    let hold = tempfile::NamedTempFile::new().expect("a file");
    (Program::life("phases").env("PHASES_HOLD", &hold.path().to_string_lossy()), hold)
}

/// P01 P09 G05 G06 G16 W20: exactly one signal is enough, and the last line is printed.
#[test]
fn one_signal_drains_and_finalizes_in_reverse() {
    for signal in [TERM, INT, HUP, QUIT] {
        Program::life("phases")
            .start()
            .line("run.begin")
            .signal(signal)
            .exits(0)
            .stdout(&WHOLE)
            .printed("stopped: signal")
            .never_printed("ERROR");
    }
}

/// P04 G08 D27: signals while finalizing change neither the finalizers nor the status.
#[test]
fn signals_while_finalizing_change_nothing() {
    let mut program = Program::life("phases")
        .arg("slowly")
        .start()
        .line("run.begin")
        .signal(TERM)
        .line("finalize.begin");
    for signal in [INT, TERM, HUP, QUIT, INT] {
        program = program.after(Duration::from_millis(40)).signal(signal);
    }
    program.exits(0).stdout(&WHOLE);
}

/// G02: a signal that is not listed keeps its default action.
#[test]
fn an_unlisted_signal_keeps_its_action() {
    Program::life("phases").start().line("run.begin").signal(USR1).exits(-(USR1 as i32));
}

/// A signal that was ignored when the program was started stays ignored.
#[test]
fn nohup_is_respected() {
    let program = Program::life("phases").through(&["nohup"]).start().line("run.begin");
    let program = program.signal(HUP).after(Duration::from_millis(200)).signal(TERM);
    program.exits(0).stdout(&WHOLE).printed("cause=signal TERM").never_printed("HUP");
}

/// U02: who sent it is told.
#[test]
fn the_sender_is_told() {
    let sender = format!("sender={}", std::process::id());
    Program::life("phases").start().line("run.begin").signal(TERM).exits(0).printed(&sender);
}

/// G18: both numbers are in the log at the start, to be held against the platform's grace period.
#[test]
fn the_budget_is_logged_at_the_start() {
    let program = Program::life("phases")
        .start()
        .line("running phase=Running timeout=10s finalize_timeout=2.5s");
    program.signal(TERM).exits(0);
}

/// P13 W18: a `main` that returns drains and finalizes.
#[test]
fn main_returning_ends_the_program() {
    Program::life("fails")
        .start()
        .exits(0)
        .stdout(&["late finalized", "finalized"])
        .printed("main returned");
}

/// As PID 1, where the system ignores signals without a handler.
#[test]
fn it_works_as_pid_1() {
    let program = Program::life("phases").through(&[
        "unshare",
        "--fork",
        "--pid",
        "--mount-proc",
        "--kill-child",
    ]);
    let mut program = program.start().line("run.begin");
    // The group holds `unshare`, which waits and would die of it: the program itself is its child.
    let children = format!("/proc/{0}/task/{0}/children", program.pid());
    let child = std::fs::read_to_string(children).expect("the children of unshare");
    let pid = nix::unistd::Pid::from_raw(child.trim().parse().expect("one child"));
    nix::sys::signal::kill(pid, TERM).expect("it lives");
    program.wait_for("stopped: signal TERM");
    program.exits(0).stdout(&WHOLE);
}
