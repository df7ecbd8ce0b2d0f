//! What was measured, read back from the lines that were printed.

use std::io::{self, BufRead};

use crate::leaving::PATIENCE;

/// The median of one thing, of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) section: String,
    pub(crate) what: String,
    pub(crate) peer: String,
    pub(crate) number: f64,
    pub(crate) unit: String,
}

#[derive(Debug)]
pub(crate) struct Results(Vec<Measured>);

impl Results {
    /// Reads the lines on standard input; others are none of ours.
    pub(crate) fn read() -> Self {
        Self(
            io::stdin()
                .lock()
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| parse(&line))
                .collect(),
        )
    }

    pub(crate) fn of(&self, section: &str, what: &str) -> impl Iterator<Item = &Measured> {
        self.0.iter().filter(move |it| it.section == section && it.what == what)
    }

    pub(crate) fn get(&self, section: &str, what: &str, peer: &str) -> Option<&Measured> {
        self.of(section, what).find(|it| it.peer == peer)
    }
}

fn parse(line: &str) -> Option<Measured> {
    let mut fields = line.split('\t').map(str::to_owned);
    Some(Measured {
        section: fields.next()?,
        what: fields.next()?,
        peer: fields.next()?,
        number: fields.next()?.parse().ok()?,
        unit: fields.next()?,
    })
}

impl Measured {
    /// The number with three digits that mean something, or whole, and the unit.
    pub(crate) fn text(&self) -> String {
        if self.number.is_infinite() {
            return format!("> {} s", PATIENCE.as_secs());
        }
        format!("{} {}", three_digits(self.number), self.unit)
    }
}

pub(crate) fn three_digits(number: f64) -> String {
    let decimals = match number.abs() {
        size if size.fract() == 0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}
