//! A program that has ended: its status, its time, and all that it printed.

use std::time::Duration;

use crate::output::{Line, Stream, shown};

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status, or minus the number of the signal that ended it.
    pub status: i32,
    /// The time from the first signal to the end.
    pub took: Duration,
    lines: Vec<Line>,
}

impl Ended {
    pub(crate) fn new(status: i32, took: Duration, lines: Vec<Line>) -> Self {
        Self { status, took, lines }
    }

    /// Checks that some line contains `text`.
    ///
    /// # Panics
    ///
    /// If none does.
    #[track_caller]
    pub fn printed(self, text: &str) -> Self {
        assert!(self.has(text), "no line {text:?} in:\n{}", self.text());
        self
    }

    /// Checks that no line contains `text`.
    ///
    /// # Panics
    ///
    /// If one does.
    #[track_caller]
    pub fn never_printed(self, text: &str) -> Self {
        assert!(!self.has(text), "a line {text:?} in:\n{}", self.text());
        self
    }

    fn has(&self, text: &str) -> bool {
        self.lines.iter().any(|(_, line)| line.contains(text))
    }

    /// Checks the whole of standard output.
    ///
    /// # Panics
    ///
    /// If it differs.
    #[track_caller]
    pub fn stdout(self, lines: &[&str]) -> Self {
        assert_eq!(self.out(), lines, "printed:\n{}", self.text());
        self
    }

    /// Checks that it was gone within `limit` of the first signal: a promise of the program, not a guess about the machine.
    ///
    /// # Panics
    ///
    /// If it was not.
    #[track_caller]
    pub fn within(self, limit: Duration) -> Self {
        let took = self.took;
        assert!(took < limit, "gone after {took:?}, promised {limit:?}; printed:\n{}", self.text());
        self
    }

    /// The lines on standard output.
    #[must_use]
    pub fn out(&self) -> Vec<&str> {
        let out = self.lines.iter().filter(|(stream, _)| *stream == Stream::Out);
        out.map(|(_, line)| line.as_str()).collect()
    }

    /// All that was printed.
    #[must_use]
    pub fn text(&self) -> String {
        shown(&self.lines)
    }
}
