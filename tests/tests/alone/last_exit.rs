//! Promise 6 at its edge: the last exit is taken, and it is as exact for long budgets as for short ones.
//!
//! Apart from the other tests, because there is nothing between the exit and the end of the budget but the margin that is promised.

use std::time::Duration;

use graceful_tests::{Ended, Program, TERM};

fn stuck(how: &str, timeout: u64) -> Ended {
    let program =
        Program::life("stuck").env("GRACEFUL_TIMEOUT", &format!("{timeout}ms")).arg(how).start();
    program
        .line("ready")
        .signal(TERM)
        .ends()
        .within(Duration::from_millis(timeout))
        .printed("finalizer ran")
}

#[test]
fn a_drop_that_blocks() {
    assert_eq!(stuck("drop", 10_000).printed("dropping").printed("report 143").status, 143);
}

/// A system timer that is late by an eighth of its length would miss this by half a second.
#[test]
fn an_at_exit_hook_that_never_ends() {
    assert_eq!(stuck("at-exit", 8000).status, 0);
}

/// The report is out in time, also from a hook that blocks: another thread than the main one runs it.
#[test]
fn a_state_whose_drop_blocks_holds_nothing() {
    let start = |flavor| {
        let program = Program::life("holds").arg("drop-blocks").arg(flavor).start();
        program.line("ready").signal(TERM)
    };
    // Side by side: each takes its whole budget.
    for program in ["multi-thread", "one-thread"].map(start) {
        let ended = program.exits(0).within(Duration::from_secs(10)).never_printed("panicked");
        ended.stdout(&["ready", "client dropped", "dropping", "runtime dropped", "report 0"]);
    }
}
