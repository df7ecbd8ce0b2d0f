//! Nothing of ours leaks into children.

use graceful_tests::{Program, TERM, USR2};
use nix::{sys::signal::kill, unistd::Pid};

/// C02: it blocks nothing, ignores nothing that its parent handles, and dies of TERM.
#[test]
fn a_child_is_born_with_clean_signals() {
    let mut program = Program::life("children").start();
    assert_eq!(program.wait_for("early: "), "early: Some(15) requested: false");
    let child: i32 =
        program.wait_for("child ").trim_start_matches("child ").parse().expect("a pid");
    assert_eq!(mask(&child.to_string(), "SigBlk"), 0);
    assert_eq!(mask(&child.to_string(), "SigIgn") & OURS, 0);
    assert_eq!(mask(&child.to_string(), "SigCgt"), 0);
    kill(Pid::from_raw(child), TERM).expect("it lives");
    program.line("died of 15").signal(TERM).exits(0);
}

/// P01 C02: started with signals blocked, it hears those that have a role, and so do its children; what has none stays as it was.
#[test]
fn what_the_parent_had_blocked_is_not_blocked_in_children() {
    let mut program =
        Program::life("blocked").through(&["env", "--block-signal=TERM,INT,USR2"]).start();
    for who in ["itself", "std main", "std blocking", "std task", "std thread", "tokio main"] {
        let line = program.wait_for(who);
        let set = line.trim_start_matches(who).trim();
        assert_eq!(u64::from_str_radix(set, 16).expect("a set"), 1 << (USR2 as u8 - 1), "{who}");
    }
    program.line("ready").signal(TERM).exits(0);
}

/// A set of signals of a process, a bit each.
fn mask(pid: &str, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("the kernel tells");
    let mask = u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a mask");
    // The two signals after 31 are the C library's own, which it ignores in what it spawns.
    mask & 0x7fff_ffff
}

/// HUP, INT, QUIT and TERM, which the harness gives a program at their defaults, and PIPE, which every Rust program ignores and takes
/// back in its children.
const OURS: u64 = 0b111 | 1 << (15 - 1) | 1 << (13 - 1);
