//! What the torture needs of the harness: one clock for both sides, and steps that may find the program gone.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

use crate::{Running, say};

/// The monotonic clock of the machine, which the program and its test read alike.
///
/// # Panics
///
/// If the system has no such clock.
#[must_use]
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a monotonic clock").into()
}

/// Prints a step with its time in microseconds, in one write.
pub fn step(line: impl std::fmt::Display) {
    say(format_args!("{} {line}", now().as_micros()));
}

/// The value of an argument `name=value` of a program.
#[must_use]
pub fn argument(name: &str) -> Option<String> {
    let value = |argument: String| Some(argument.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    std::env::args().find_map(value)
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Saw {
    /// The line.
    Line,
    /// The end of all output.
    End,
    /// Neither.
    Nothing,
}

impl Running {
    /// Waits for a line that contains `text`, after the last one that was waited for, or for the end, for at most `time`.
    pub fn sees(&mut self, text: &str, time: Duration) -> Saw {
        let end = Instant::now() + time;
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut looked = self.seen;
        loop {
            if let Some(at) = lines.0[looked..].iter().position(|(_, line)| line.contains(text)) {
                self.seen = looked + at + 1;
                return Saw::Line;
            }
            looked = lines.0.len();
            let left = end.saturating_duration_since(Instant::now());
            if lines.1 == 2 {
                return Saw::End;
            } else if left.is_zero() {
                return Saw::Nothing;
            }
            let waited = self.output.more.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets `time` pass, or less if the program ends meanwhile.
    pub fn passes(&mut self, time: Duration) -> Saw {
        self.sees("\0", time)
    }
}
