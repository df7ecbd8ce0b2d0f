//! The exit status by the table, and what is printed and logged with it.

use graceful_tests::{Ended, Program};

fn fails(how: &str) -> Ended {
    Program::life("fails").arg(how).start().ends()
}

#[track_caller]
fn check(how: &str, status: i32, log: &str) {
    let ended = fails(how);
    assert_eq!(ended.status, status, "{how}; printed:\n{}", ended.text());
    // Whatever happened, what was registered is finalized, once.
    let finalized = ended.out().iter().filter(|line| **line == "finalized").count();
    assert_eq!(finalized, 1, "{how}; printed:\n{}", ended.text());
    ended.printed(log);
}

/// P07 P08 W08 W19: the status is that of the failure, and nothing is finalized that was not there yet.
#[test]
fn init_failing_finalizes_what_it_had_registered() {
    check("init-error", 1, r#"Error: Oops("init")"#);
    check("init-panic", 101, "init panicked: init burst");
    check("init-slow", 1, "init did not end within its init_timeout of 300ms");
    for how in ["init-error", "init-panic", "init-slow"] {
        fails(how).never_printed("late finalized");
    }
}

/// A signal that came first does not make the time-out of init a force.
#[test]
fn init_timeout_is_1_also_after_a_signal() {
    let program = Program::life("fails")
        .arg("init-slow")
        .start()
        .line("init.begin")
        .signal(graceful_tests::TERM);
    program.exits(1).printed("init did not end within its init_timeout").printed("finalized");
}

/// P13 W19: by its value, its error or its panic.
#[test]
fn main_decides_the_status() {
    check("code", 7, "main returned");
    check("panic", 101, "main panicked: main burst");
    Program::life("fails_main").arg("error").start().exits(1).printed(r#"Error: "main\nfailed""#);
    Program::life("fails_main").start().exits(0).stdout(&[]);
}

/// W19: to standard error as std does it, with its lines and colors; where it is one of several, on one line and escaped.
#[test]
fn an_error_is_printed_as_std_prints_it() {
    let ended = Program::life("fails_main").arg("colors").start().exits(1);
    let ended = ended.printed("Error: \u{1b}[31mmain\u{1b}[0m").printed("\tcolors");
    ended.printed(r"main failed: \u{1b}[31mmain\u{1b}[0m");
}

#[test]
fn a_finalizer_that_fails_is_told_and_the_others_run() {
    check("finalize-error", 1, r#"Error: Oops("finalize")"#);
    check("finalize-panic", 101, "finalizer finalize: panicked: finalize burst");
}

/// G07: by its name, in the log.
#[test]
fn an_ordinary_task_is_reported_and_does_not_change_the_status() {
    check("task-error", 0, r#"work failed: Oops("task")"#);
    check("task-panic", 0, "work panicked: task burst");
    check("spawn-panic", 0, "panicked: spawn burst");
}

#[test]
fn an_essential_task_stops_the_program() {
    check("essential-error", 1, r#"Error: Oops("essential")"#);
    check("essential-panic", 101, "part panicked: essential burst");
    check("essential-end", 0, "the essential task part ended");
}

/// D03 D26: a failure and a force win over the exit code of `main`.
#[test]
fn a_force_without_a_signal_is_1_and_names_what_it_aborted() {
    check("request", 0, "stopped: enough");
    check("force", 1, "straggler: task hangs");
    check("forced-failure", 1, r#"Error: Oops("essential")"#);
    check("forced-code", 1, "straggler: task hangs");
}

#[test]
fn a_bad_environment_is_2_and_says_what_is_accepted() {
    let bad = [
        ("TIMEOUT", "abc", r#"GRACEFUL_TIMEOUT="abc""#),
        ("TIMEOUT", "30", r#"GRACEFUL_TIMEOUT="30""#),
        ("TIMEOUT", "-1s", r#"GRACEFUL_TIMEOUT="-1s""#),
        ("TIMEOUT", "", r#"GRACEFUL_TIMEOUT="""#),
        ("TIMEOUT", "0s", r#"GRACEFUL_TIMEOUT="0s" is zero"#),
        ("TIMEOUT", "9000 days", "at most 365 days"),
        (
            "FINALIZE_TIMEOUT",
            "6s",
            "finalize_timeout (6s) + lame_duck (0ns) must be less than timeout (5s)",
        ),
        ("LAME_DUCK", "4s", "lame_duck (4s)"),
        ("INIT_TIMEOUT", "x", "GRACEFUL_INIT_TIMEOUT"),
        ("RESTART_TIMEOUT", "x", "GRACEFUL_RESTART_TIMEOUT"),
    ];
    for (name, value, message) in bad {
        let ended = Program::life("fails").env(&format!("GRACEFUL_{name}"), value).start().exits(2);
        ended.stdout(&[]).printed(message);
    }
    Program::life("fails")
        .env("GRACEFUL_LAME_DUCK", "0s")
        .env("GRACEFUL_TIMEOUT", "1m 30s")
        .start()
        .exits(0);
}

/// User code that shows an error or drops a payload may panic as well; whatever was registered still runs.
#[test]
fn panics_in_unexpected_places_stop_nothing() {
    for (how, status) in [
        ("main-error", 101),
        ("main-payload", 101),
        ("finalizer-payload", 101),
        ("finalizer-error", 101),
        ("at-exit-payload", 0),
        ("essential-error", 101),
    ] {
        let ended = Program::life("bombs").arg(how).start().exits(status);
        ended.stdout(&["finalized", "at exit"]);
    }
}

#[test]
fn a_process_has_one_life() {
    Program::life("twice")
        .start()
        .exits(1)
        .printed("called twice")
        .printed("called on a runtime")
        .stdout(&["once"]);
}

/// Promises 3 and 7: a task that leaves its shield after a force is waited for until it ends or comes to its next await.
#[test]
fn what_leaves_its_shield_after_a_force_is_waited_for() {
    Program::life("shielded").start().exits(0).stdout(&["task ends", "finalizer"]);
}
