//! The grammar of durations: `1m 30s`, `1.5h`, `2 days`.
//!
//! ```text
//! duration = "0" | term+
//! term     = digit+ [ "." digit+ ] unit
//! ```
//!
//! White space is allowed before and after each digit, point and unit. At runtime the crate humantime reads the environment
//! variables that override the attribute's durations. Both accept the same text: `tests/tests/durations.rs` includes this file and
//! compares the two, which is why this file uses nothing but the standard library.

use std::time::Duration;

/// Reads a duration. The error is the message for the user.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (term, after) = parse_term(rest)?;
        sum = sum.checked_add(term).filter(|sum| *sum <= LONGEST).ok_or(TOO_LONG)?;
        rest = after.trim_start();
    }
    Ok(sum)
}

/// Reads one number with its unit, and returns the text after it too.
fn parse_term(text: &str) -> Result<(Duration, &str), String> {
    if text.starts_with('-') {
        return Err(NEGATIVE.to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(EXPECTED.to_owned());
    }
    let (number, after) =
        split_while(text, |c| c.is_ascii_digit() || c == '.' || c.is_whitespace());
    let (name, rest) = split_while(after, |c| c.is_ascii_alphabetic() || c == 'µ');
    match (name, rest) {
        ("", "") => return Err(no_unit(number.trim_end())),
        ("", _) => return Err(EXPECTED.to_owned()),
        _ => {}
    }
    let Some(unit) = UNITS.iter().find(|unit| unit.names.contains(&name)) else {
        return Err(format!("unknown unit `{name}`, expected one such as `ms`, `s`, `m` or `h`"));
    };
    Ok((parse_number(number, unit)?, rest))
}

/// Reads `1` or `1.5` in `unit`.
fn parse_number(text: &str, unit: &Unit) -> Result<Duration, String> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let whole =
        parse_digits(whole).and_then(|whole| unit.length.times(whole, 1)).ok_or(TOO_LONG)?;
    let Some(fraction) = fraction else { return Ok(whole) };
    let count = fraction.chars().filter(char::is_ascii_digit).count();
    if count == 0 || fraction.contains('.') {
        return Err(EXPECTED.to_owned());
    }
    let denominator = u32::try_from(count).ok().and_then(|count| 10_u64.checked_pow(count));
    let fraction = parse_digits(fraction)
        .zip(denominator)
        .and_then(|(numerator, denominator)| unit.divisible?.times(numerator, denominator))
        .ok_or(TOO_FINE)?;
    whole.checked_add(fraction).ok_or_else(|| TOO_LONG.to_owned())
}

/// The number that the digits of `text` form, if it fits.
fn parse_digits(text: &str) -> Option<u64> {
    text.chars()
        .filter_map(|c| c.to_digit(10))
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(digit.into()))
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

pub(crate) fn no_unit(number: &str) -> String {
    format!("`{number}` has no unit, write `\"{number}s\"`")
}

struct Unit {
    names: &'static [&'static str],
    length: Length,
    /// The same length in the precision that a fraction may have.
    divisible: Option<Length>,
}

#[derive(Clone, Copy)]
enum Length {
    Nanos(u64),
    Seconds(u64),
}

use Length::{Nanos, Seconds};

impl Length {
    /// This length times a fraction, if the result is a whole number of nanoseconds or seconds.
    fn times(self, numerator: u64, denominator: u64) -> Option<Duration> {
        let times = |amount: u64| {
            let product = numerator.checked_mul(amount)?;
            (product % denominator == 0).then_some(product / denominator)
        };
        match self {
            Nanos(amount) => times(amount).map(Duration::from_nanos),
            Seconds(amount) => times(amount).map(Duration::from_secs),
        }
    }
}

const fn unit(names: &'static [&'static str], length: Length, divisible: Option<Length>) -> Unit {
    Unit { names, length, divisible }
}

/// A month is a twelfth of a year, rounded to 30.44 days, and a year 365.25 days.
const UNITS: &[Unit] = &[
    unit(&["nanos", "nsec", "ns"], Nanos(1), None),
    unit(&["usec", "us", "µs"], Nanos(1_000), Some(Nanos(1_000))),
    unit(&["millis", "msec", "ms"], Nanos(1_000_000), Some(Nanos(1_000_000))),
    unit(&["seconds", "second", "secs", "sec", "s"], Seconds(1), Some(Nanos(1_000_000_000))),
    unit(&["minutes", "minute", "mins", "min", "m"], Seconds(60), Some(Nanos(60_000_000_000))),
    unit(&["hours", "hour", "hrs", "hr", "h"], Seconds(3_600), Some(Seconds(3_600))),
    unit(&["days", "day", "d"], Seconds(86_400), Some(Seconds(86_400))),
    unit(&["weeks", "week", "wks", "wk", "w"], Seconds(604_800), Some(Seconds(604_800))),
    unit(&["months", "month", "M"], Seconds(2_630_016), Some(Seconds(2_630_016))),
    unit(&["years", "year", "yrs", "yr", "y"], Seconds(31_557_600), Some(Seconds(31_557_600))),
];

/// 365 days: a longer duration is a typing mistake.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) const EXPECTED: &str = r#"expected a duration such as `"30s"`, `"500ms"` or `"1m 30s"`"#;
pub(crate) const NEGATIVE: &str = "a duration cannot be negative";
pub(crate) const TOO_LONG: &str = "expected at most 365 days";
pub(crate) const TOO_FINE: &str = "the fraction is too fine, write it in a smaller unit";
