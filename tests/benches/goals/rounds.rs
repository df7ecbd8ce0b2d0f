//! Measuring in rounds, so that whatever the machine does meanwhile meets all peers alike.
//!
//! A round in which a peer fails has no number of that peer. A peer that fails in more than half of the rounds has none at all; the others
//! have theirs.

use std::{
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
};

use graceful_tests::say;

use crate::results::FAILED;

/// A peer that is measured once in each round, or in each tenth.
pub(crate) struct Entrant {
    peer: String,
    /// In how many rounds it has one turn.
    period: usize,
    measure: Box<dyn FnMut() -> Vec<Value>>,
}

/// One of the values that a measurement gives.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) what: String,
    pub(crate) number: f64,
    pub(crate) unit: String,
}

impl Entrant {
    pub(crate) fn new(
        peer: impl Into<String>,
        measure: impl FnMut() -> Vec<Value> + 'static,
    ) -> Self {
        Self { peer: peer.into(), period: 1, measure: Box::new(measure) }
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Takes part in each tenth round only: it takes so long that the others would wait for nothing else.
    pub(crate) fn rarely(self) -> Self {
        Self { period: 10, ..self }
    }
}

impl Value {
    pub(crate) fn new(what: impl Into<String>, number: f64, unit: impl Into<String>) -> Self {
        Self { what: what.into(), number, unit: unit.into() }
    }

    /// Reads what a child has printed: `what<TAB>number<TAB>unit`. `of` is put behind `what`.
    pub(crate) fn parse(line: &str, of: &str) -> Self {
        let fields: Vec<_> = line.split('\t').collect();
        let [what, number, unit] = *fields else { panic!("not a measurement: {line}") };
        Self::new(format!("{what}{of}"), number.parse().expect("a number"), unit)
    }
}

/// What all rounds gave, one series for each thing and peer.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    series: Vec<Series>,
    /// Peers that failed too often, and the first message of each.
    failures: Vec<(String, String)>,
}

#[derive(Debug)]
struct Series {
    what: String,
    peer: String,
    unit: String,
    numbers: Vec<f64>,
}

/// Lets each entrant have its turn in each round; the one that begins changes.
pub(crate) fn run(rounds: usize, mut entrants: Vec<Entrant>) -> Samples {
    let mut samples = Samples::default();
    let count = entrants.len();
    let mut failures = vec![Vec::new(); count];
    for round in 0..rounds {
        for turn in 0..count {
            let at = (round + turn) % count;
            let Entrant { peer, period, measure } = &mut entrants[at];
            if round % *period > 0 || failed_too_often(&failures[at], rounds.div_ceil(*period)) {
                continue;
            }
            match attempt(measure) {
                Ok(values) => values.into_iter().for_each(|value| samples.add(peer, value)),
                Err(message) => failures[at].push(message),
            }
        }
    }
    for (Entrant { peer, period, .. }, mut messages) in entrants.into_iter().zip(failures) {
        let turns = rounds.div_ceil(period);
        if !messages.is_empty() {
            eprintln!("{peer} failed in {} of {turns} rounds: {}", messages.len(), messages[0]);
        }
        if failed_too_often(&messages, turns) {
            samples.failures.push((peer, messages.swap_remove(0)));
        }
    }
    samples
}

fn failed_too_often(messages: &[String], turns: usize) -> bool {
    messages.len() > turns / 2
}

/// What `measure` gives, or the first line of what it panics with.
pub(crate) fn attempt<T>(measure: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(measure)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let line = text.and_then(|text| text.lines().next()).unwrap_or("a panic without a message");
        // What separates fields and columns would be taken for that.
        line.replace(['\t', '|'], " ").chars().take(80).collect()
    })
}

impl Samples {
    fn add(&mut self, peer: &str, Value { what, number, unit }: Value) {
        match self.series.iter_mut().find(|series| series.what == what && series.peer == peer) {
            Some(series) => series.numbers.push(number),
            None => {
                let peer = peer.to_owned();
                self.series.push(Series { what, peer, unit, numbers: vec![number] });
            }
        }
    }

    /// Prints the median of each series.
    pub(crate) fn print(&self, section: &str) {
        self.print_percentile(section, "", 50);
    }

    /// Prints the median of each series, and what 99 in a hundred stay below.
    pub(crate) fn print_with_p99(&self, section: &str) {
        self.print_percentile(section, "", 50);
        self.print_percentile(section, " p99", 99);
    }

    fn print_percentile(&self, section: &str, suffix: &str, percent: usize) {
        let failure_of = |name: &str| self.failures.iter().find(|(peer, _)| peer == name);
        for Series { what, peer, unit, numbers } in &self.series {
            if failure_of(peer).is_none() {
                let number = percentile(numbers, percent);
                say(format_args!("{section}\t{what}{suffix}\t{peer}\t{number:.4}\t{unit}"));
            }
        }
        // What it would have measured is what the others have.
        let things: BTreeSet<_> = self.series.iter().map(|series| &series.what).collect();
        for (peer, message) in &self.failures {
            for what in &things {
                say(format_args!("{section}\t{what}{suffix}\t{peer}\t{FAILED}{message}\t"));
            }
        }
    }
}

fn percentile(numbers: &[f64], percent: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}
