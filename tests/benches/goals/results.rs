//! What was measured, read back from the lines that were printed.

use std::io::{self, BufRead};

use crate::leaving::PATIENCE;

/// What a line has in the place of a number, before the reason.
pub(crate) const FAILED: &str = "failed: ";

/// The median of one thing, of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) section: String,
    pub(crate) what: String,
    pub(crate) peer: String,
    /// `NaN` where measuring failed.
    pub(crate) number: f64,
    /// Where it failed, the reason.
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

    /// The median; a failure where the rest of the section was measured, and `None` where nothing of it was.
    pub(crate) fn get(&self, section: &str, what: &str, peer: &str) -> Option<Measured> {
        if let Some(measured) = self.of(section, what).find(|it| it.peer == peer) {
            return Some(measured.clone());
        }
        let (what, peer) = (what.to_owned(), peer.to_owned());
        let mut section = self.0.iter().filter(|it| it.section == section);
        section.next().map(|it| Measured {
            what,
            peer,
            number: f64::NAN,
            unit: String::new(),
            ..it.clone()
        })
    }
}

fn parse(line: &str) -> Option<Measured> {
    let fields: Vec<_> = line.split('\t').collect();
    let [section, what, peer, number, unit] = *fields else { return None };
    let (number, unit) = match number.strip_prefix(FAILED) {
        Some(reason) => (f64::NAN, reason),
        None => (number.parse().ok()?, unit),
    };
    let [section, what, peer, unit] = [section, what, peer, unit].map(str::to_owned);
    Some(Measured { section, what, peer, number, unit })
}

impl Measured {
    /// The number with three digits that mean something, or whole, and the unit.
    pub(crate) fn text(&self) -> String {
        match self.number {
            number if number.is_infinite() => format!("> {} s", PATIENCE.as_secs()),
            number if !number.is_nan() => format!("{} {}", three_digits(number), self.unit),
            _ if self.unit.is_empty() => "–".to_owned(),
            _ => format!("{FAILED}{}", self.unit),
        }
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
