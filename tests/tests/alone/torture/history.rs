//! What was seen of one life from outside.

use std::{fmt, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

/// All that is known of a life that is over.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) sent: Vec<Sent>,
    /// What the program printed.
    pub(crate) steps: Vec<Step>,
    /// The exit status, or minus the number of the signal that ended it.
    pub(crate) status: i32,
    /// From the first signal to the end.
    pub(crate) took: Duration,
    /// The longest time that the machine let a thread wait for a processor meanwhile.
    pub(crate) lateness: Duration,
    /// The program's child lives.
    pub(crate) child_left: bool,
    /// Somebody still listens on its port.
    pub(crate) port_open: bool,
    /// All that was printed, for people.
    pub(crate) text: String,
}

/// A signal that was sent between two instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) signal: Signal,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// A line, with the time that the program gave it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) text: String,
}

impl Step {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (at, text) = line.split_once(' ')?;
        Some(Self { at: Duration::from_micros(at.parse().ok()?), text: text.to_owned() })
    }

    /// The second word.
    pub(crate) fn object(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    fn is(&self, word: &str) -> bool {
        self.text.split(' ').next() == Some(word)
    }
}

impl History {
    /// The steps with this first word, in their order.
    pub(crate) fn all<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a Step> + 'a {
        self.steps.iter().filter(move |step| step.is(word))
    }

    pub(crate) fn objects<'a>(&'a self, word: &'a str) -> Vec<&'a str> {
        self.all(word).map(Step::object).collect()
    }

    pub(crate) fn has(&self, word: &str, object: &str) -> bool {
        self.all(word).any(|step| step.object() == object)
    }

    /// The place of the first step with this first word.
    pub(crate) fn place(&self, word: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.is(word))
    }

    /// The time of the first step with this first word.
    pub(crate) fn time(&self, word: &str) -> Option<Duration> {
        self.all(word).next().map(|step| step.at)
    }

    /// The report, as the program gave it.
    pub(crate) fn report(&self) -> Option<Value> {
        let step = self.all("report").next()?;
        serde_json::from_str(step.text.strip_prefix("report ")?).ok()
    }

    /// Ended by the default action of a signal, before anything had begun.
    pub(crate) fn died_early(&self) -> bool {
        let sent = |sent: &Sent| self.status == -(sent.signal as i32);
        self.steps.is_empty() && self.sent.iter().any(sent)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, took, lateness, text, .. } = self;
        for Sent { signal, from, to } in &self.sent {
            writeln!(f, "  {} {signal} took {:?}", from.as_micros(), *to - *from)?;
        }
        write!(f, "status {status} after {took:?}, machine late by {lateness:?}; printed:\n{text}")
    }
}
