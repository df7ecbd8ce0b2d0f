//! What the performance goals ask, of us and of others in the same run: `cargo bench -p graceful-tests --bench goals -- [SECTION…]`.
//! The sections are `in-flight`, `crowd`, `scopes`, `leaving`, `http`, `starting`, and `building`, which has to be asked for.
//! `table` and `keep` take the measurements on standard input; `scripts/bench` does all of it.
//!
//! Times drift on a machine where other things run, so only ratios of one run mean something. Everything is measured in rounds: each
//! measures every peer once, and begins with another one.
//!
//! Each line that is printed is `section<TAB>what<TAB>peer<TAB>value<TAB>unit`.

mod building;
mod crowd;
mod http;
mod in_flight;
mod leaving;
#[path = "../peers.rs"]
mod peers;
mod plot;
mod results;
mod rounds;
mod scopes;
mod starting;
mod table;
mod write;

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use graceful_tests::say;

use crate::{results::FAILED, rounds::attempt};

/// What is measured, in this order, and how.
const SECTIONS: [(&str, fn()); 6] = [
    ("in-flight", || of_a_child("in-flight")),
    ("crowd", crowd::run),
    ("scopes", scopes::run),
    ("leaving", leaving::run),
    ("http", http::run),
    ("starting", starting::run),
];

/// Takes a minute or two, and changes only with what is depended on: measured when it is asked for.
const BUILDING: &str = "building";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let given = arguments.len();
    arguments.retain(|argument| *argument != "--bench");
    // Without it, this is `cargo test --benches`.
    let is_bench = arguments.len() < given;
    match *arguments.as_slice() {
        ["child", "in-flight"] => return in_flight::main(),
        ["child", "crowd", peer, flavor] => return crowd::main(peer, flavor),
        ["child", "scopes", peer] => return scopes::main(peer),
        ["child", "leave", program] => return leaving::main(program),
        ["table"] => write::print(),
        ["keep", machine] => write::keep(machine),
        ref sections if is_bench => measure(sections),
        _ => {}
    }
    ExitCode::SUCCESS
}

fn measure(chosen: &[&str]) {
    let is_chosen = |name: &str| chosen.is_empty() || chosen.contains(&name);
    let mut sections: Vec<_> = SECTIONS.into_iter().filter(|(name, _)| is_chosen(name)).collect();
    if chosen.contains(&BUILDING) {
        sections.push((BUILDING, building::run));
    }
    for (name, measure) in sections {
        // One that fails as a whole has rows without numbers.
        if let Err(message) = attempt(measure) {
            let section = name.replace('-', " ");
            say(format_args!("{section}\tall\tall\t{FAILED}{message}\t"));
        }
    }
}

/// This program again, as one of its children.
fn again(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().expect("a program has a path"));
    command.arg("child").args(arguments);
    command
}

/// What a child that measures has printed.
fn printed_by(mut child: Command) -> String {
    let output = child.stderr(Stdio::inherit()).output().expect("it can be started");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("it prints numbers")
}

/// A section that a child measures and prints: a process can be a program of ours only once.
fn of_a_child(section: &str) {
    let status = again(&[section]).status().expect("it can be started");
    assert!(status.success(), "{section}: {status}");
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the workspace")
}
