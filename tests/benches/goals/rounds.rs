//! Measuring in rounds, so that whatever the machine does meanwhile meets all peers alike.

use graceful_tests::say;

/// Someone who is measured once in each round.
pub(crate) struct Entrant {
    peer: String,
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
        Self { peer: peer.into(), measure: Box::new(measure) }
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
pub(crate) struct Samples(Vec<Series>);

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
    for round in 0..rounds {
        for turn in 0..count {
            let Entrant { peer, measure } = &mut entrants[(round + turn) % count];
            measure().into_iter().for_each(|value| samples.add(peer, value));
        }
    }
    samples
}

impl Samples {
    fn add(&mut self, peer: &str, Value { what, number, unit }: Value) {
        match self.0.iter_mut().find(|series| series.what == what && series.peer == peer) {
            Some(series) => series.numbers.push(number),
            None => {
                let peer = peer.to_owned();
                self.0.push(Series { what, peer, unit, numbers: vec![number] });
            }
        }
    }

    /// Prints the median of each series.
    pub(crate) fn print(&self, section: &str) {
        for Series { what, peer, unit, numbers } in &self.0 {
            let number = percentile(numbers, 50);
            say(format_args!("{section}\t{what}\t{peer}\t{number:.4}\t{unit}"));
        }
    }

    /// Prints the median of each series, and what 99 in a hundred stay below.
    pub(crate) fn print_with_p99(&self, section: &str) {
        self.print(section);
        for Series { what, peer, unit, numbers } in &self.0 {
            let number = percentile(numbers, 99);
            say(format_args!("{section}\t{what} p99\t{peer}\t{number:.4}\t{unit}"));
        }
    }
}

fn percentile(numbers: &[f64], percent: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}
