//! What the programs under test are written with: how they are told what to do, and how they say what happens.

use std::{env, fmt::Display, io::Write, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Prints a line in one write, also while the other end is closing.
pub fn say(line: impl Display) {
    drop(std::io::stdout().write_all(format!("{line}\n").as_bytes()));
}

/// Prints a line with the [`uptime`] in microseconds in front of it, in one write.
pub fn step(line: impl Display) {
    say(format_args!("{} {line}", uptime().as_micros()));
}

/// The time since the machine was started: a clock that all its processes share, so that a program and its test read the same.
///
/// # Panics
///
/// If the machine has no such clock.
#[must_use]
pub fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock").into()
}

/// Lets a program log to standard error.
pub fn log() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time().init();
}

/// An argument of a program, counted from 1; empty if there is none.
#[must_use]
pub fn argument(number: usize) -> String {
    env::args().nth(number).unwrap_or_default()
}

/// Whether some argument of a program is this word.
#[must_use]
pub fn has_word(word: &str) -> bool {
    env::args().skip(1).any(|argument| argument == word)
}

/// The value of an argument `name=value` of a program.
#[must_use]
pub fn option(name: &str) -> Option<String> {
    let value = |argument: String| Some(argument.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    env::args().skip(1).find_map(value)
}
