//! The order in which everything goes.

use graceful_tests::{Program, TERM};

/// P14 P15 P17 P18 W05 W21 C09: no task is cancelled before its turn; what nothing tracks goes with the runtime, and that is logged; what was
/// registered first runs last, after the runtime, with the report.
#[test]
fn the_runtime_goes_after_the_finalizers_and_at_exit_after_the_runtime() {
    let ended = Program::life("teardown").start().line("ready").signal(TERM).exits(0).stdout(&[
        "ready",
        "main ended",
        "work ended",
        "finalized",
        "state dropped",
        "stray dropped",
        "at exit second",
        r#"at exit first, status 0, cause {"Signal":"TERM"}"#,
    ]);
    ended.printed("which nothing waits for");
}
