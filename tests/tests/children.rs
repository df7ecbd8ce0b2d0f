//! Nothing of ours leaks into children.

use graceful_tests::{Program, TERM};
use nix::{sys::signal::kill, unistd::Pid};

/// C02: no blocked and no ignored signals beyond those of this test (std itself resets what it ignores), and it dies of TERM.
#[test]
fn a_child_is_born_with_clean_signals() {
    let mut program = Program::new("children").start();
    let child: i32 =
        program.wait_for("child ").trim_start_matches("child ").parse().expect("a pid");
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).expect("it lives");
    for line in
        ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"]
    {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    kill(Pid::from_raw(child), TERM).expect("it lives");
    program.signal(TERM).exits(0);
}
