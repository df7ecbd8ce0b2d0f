//! What the machine, or the shell of whoever runs the tests, has set does not reach the programs under test.

use std::{env, process::Command};

use graceful_tests::Program;

/// Runs the other test of this file again, where each variable has a value that a program would not start with, or would be slow with.
#[test]
fn settings_of_the_machine_do_not_reach_the_programs() {
    let mut again = Command::new(env::current_exe().expect("a test has a path"));
    again.args(["--exact", "machine::a_program_starts_without_settings"]);
    for name in ["TIMEOUT", "FINALIZE_TIMEOUT", "LAME_DUCK", "INIT_TIMEOUT", "RESTART_TIMEOUT"] {
        again.env(format!("GRACEFUL_{name}"), "bad");
    }
    let output = again.env("RUST_BACKTRACE", "1").env("RUST_LIB_BACKTRACE", "1").output();
    let output = output.expect("a test can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_program_starts_without_settings() {
    Program::life("fails").start().exits(0);
    Program::life("fails").arg("panic").start().exits(101).never_printed("stack backtrace");
}
