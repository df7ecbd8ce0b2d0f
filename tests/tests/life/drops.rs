//! Promise 6: the state that `init` gave, and what `main` held, are dropped where blocking is allowed; so are hooks and what they hold.

use std::time::Duration;

use graceful_tests::{Ended, HUP, Program, Running, TERM};

use crate::on_both_flavors;

fn start(how: &str, flavor: &str) -> Running {
    Program::life("holds").arg(how).arg(flavor).start()
}

/// The drop of a client with a runtime came to its end.
fn dropped_well(ended: Ended) -> Ended {
    ended.never_printed("panicked").printed("client dropped")
}

#[test]
fn the_state_may_hold_a_runtime() {
    on_both_flavors(|flavor| {
        dropped_well(start("state", flavor).line("ready").signal(TERM).exits(0));
        let ended = start("finalize", flavor).line("ready").signal(TERM).exits(0);
        dropped_well(ended).stdout(&["ready", "client dropped", "finalized", "report 0"]);
    });
}

#[test]
fn main_may_hold_a_runtime_when_it_is_cut() {
    on_both_flavors(|flavor| {
        let program = start("main", flavor).line("ready").signal(TERM);
        dropped_well(program.after(Duration::from_millis(200)).signal(TERM).exits(143));

        let program = Program::life("holds").env("GRACEFUL_TIMEOUT", "2s").arg("main").arg(flavor);
        dropped_well(program.start().line("ready").signal(TERM).exits(143));
    });
}

#[test]
fn init_and_reload_may_hold_a_runtime_when_they_are_cut() {
    on_both_flavors(|flavor| {
        dropped_well(start("init", flavor).line("ready").exits(1));
        let program = start("reload", flavor).line("ready").signal(HUP).line("reloading");
        let program = program.signal(TERM).after(Duration::from_millis(200)).signal(TERM);
        dropped_well(program.exits(143));
    });
}

#[test]
fn a_finalizer_may_hold_a_runtime() {
    on_both_flavors(|flavor| {
        dropped_well(start("finalizer", flavor).line("ready").signal(TERM).exits(0));
        dropped_well(start("finalizer-cut", flavor).line("ready").signal(TERM).exits(143));
    });
}

#[test]
fn a_finalizer_may_block_in_place_and_on_another_runtime() {
    on_both_flavors(|flavor| {
        let ended = start("finalizer-blocks", flavor).line("ready").signal(TERM).exits(0);
        let lines = ["ready", "blocked in place", "blocked on another runtime", "report 0"];
        ended.stdout(&lines);
    });
}

/// The program's runtime goes on also while a finalizer does nothing but yield.
#[test]
fn a_finalizer_that_yields_lets_tasks_run() {
    on_both_flavors(|flavor| {
        let ended = start("finalizer-spins", flavor).line("ready").signal(TERM).exits(0);
        ended.stdout(&["ready", "heard", "report 0"]);
    });
}

#[test]
fn what_runs_at_the_exit_may_hold_a_runtime() {
    on_both_flavors(|flavor| {
        let ended = start("at-exit", flavor).line("ready").signal(TERM).exits(0);
        ended.never_printed("panicked").stdout(&["ready", "runtime dropped", "report 0"]);
    });
}

#[test]
fn a_panic_of_the_states_drop_is_reported_and_counts() {
    on_both_flavors(|flavor| {
        let ended = start("drop-panics", flavor).line("ready").signal(TERM).exits(101);
        ended.stdout(&[
            "ready",
            "client dropped",
            "report: state panicked: the client burst",
            "report 101",
        ]);
        start("finalize-panics", flavor)
            .line("ready")
            .signal(TERM)
            .exits(101)
            .printed("report 101");
    });
}

/// What `main` held belongs to it, also when it was cut.
#[test]
fn a_panic_of_what_main_held_is_one_of_main() {
    on_both_flavors(|flavor| {
        let program = start("main-panics", flavor).line("ready").signal(TERM);
        let ended = program.after(Duration::from_millis(200)).signal(TERM).exits(101);
        ended.printed("report: main panicked: the client burst");
    });
}
