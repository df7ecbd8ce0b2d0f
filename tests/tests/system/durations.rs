//! The attribute and the environment accept the same durations, and have the same defaults.

use std::{process::ExitCode, time::Duration};

use graceful::Builder;

use self::{budget::Budget, grammar::parse};

#[path = "../../../graceful-macros/src/budget.rs"]
mod budget;
#[path = "../../../graceful-macros/src/duration/grammar.rs"]
mod grammar;

const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Parses a duration as the environment does: with humantime, up to 365 days.
fn of_the_environment(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST)
}

/// Compares the two for one text. Returns whether they accept it.
#[track_caller]
fn compare(text: &str) -> bool {
    let accepted = of_the_environment(text);
    assert_eq!(parse(text).ok(), accepted, "{text:?}");
    accepted.is_some()
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "07",
    "30",
    "365",
    "1 000",
    "31536000",
    "18446744073709551615",
    "18446744073709551616",
    "0.5",
    "1.50",
    "2 . 5",
    "0.0",
    "1.000000001",
    "1.0000000001",
    "0.1234567891234567891",
    "0.10000000000000000000",
    "1.",
    ".5",
    "1.5.5",
    "1,5",
    "-1",
    "+1",
    "",
    "x",
    "٣",
];

const UNITS: &[&str] = &[
    "nanos", "nsec", "ns", "usec", "us", "µs", "μs", "millis", "msec", "ms", "seconds", "second",
    "secs", "sec", "s", "minutes", "minute", "mins", "min", "m", "hours", "hour", "hrs", "hr", "h",
    "days", "day", "d", "weeks", "week", "wks", "wk", "w", "months", "month", "M", "years", "year",
    "yrs", "yr", "y", "", "S", "Min", "micros", "nano", "milli", "ä",
];

#[test]
fn each_number_with_each_unit_is_accepted_by_both_or_by_none() {
    let mut accepted = 0;
    for number in NUMBERS {
        for unit in UNITS {
            for text in [
                format!("{number}{unit}"),
                format!("{number} {unit}"),
                format!(" {number}\t{unit}\n"),
                format!("{number}{unit}30s"),
                format!("1h {number}{unit}"),
                format!("1h\u{2003}{number}\u{2003}{unit} 5 min"),
                format!("{number}{unit},"),
                format!("{number}{unit}.5s"),
            ] {
                accepted += usize::from(compare(&text));
            }
        }
    }
    assert!(accepted > 1000, "only {accepted} texts were accepted");
}

#[test]
fn random_text_is_accepted_by_both_or_by_none() {
    const PIECES: &[&str] = &[
        "0", "1", "9", "30", "120", ".", ".5", ".25", " ", " ", "\u{a0}", "s", "s", "ms", "m",
        "min", "h", "hr", "d", "us", "µs", "ns", "M", "y", "-", ",", "sec", "e",
    ];
    let (mut random, mut accepted) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let mut next = |below: usize| {
        // Xorshift: the same texts in each run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap() % below
    };
    for _ in 0..40_000 {
        let count = 1 + next(6);
        let text: String = (0..count).map(|_| PIECES[next(PIECES.len())]).collect();
        accepted += usize::from(compare(&text));
    }
    assert!(accepted > 1000, "only {accepted} texts were accepted");
}

/// Whether a program with these durations starts.
fn starts(
    timeout: Option<Duration>,
    finalize_timeout: Option<Duration>,
    lame_duck: Duration,
) -> bool {
    let mut builder = Builder::new().lame_duck(lame_duck);
    if let Some(timeout) = timeout {
        builder = builder.timeout(timeout);
    }
    if let Some(finalize_timeout) = finalize_timeout {
        builder = builder.finalize_timeout(finalize_timeout);
    }
    let status = builder.test(async |_| ());
    format!("{status:?}") == format!("{:?}", ExitCode::SUCCESS)
}

#[test]
fn the_macro_knows_the_defaults_of_the_builder() {
    for timeout in [None, Some(1), Some(10), Some(19), Some(20), Some(21), Some(3600)] {
        for finalize_timeout in [None, Some(Duration::from_millis(1))] {
            let timeout = timeout.map(Duration::from_secs);
            let Budget { timeout: whole, finalize_timeout: end, .. } =
                Budget::new(timeout, finalize_timeout, None);
            let edge = whole - end;
            for lame_duck in [edge, edge - Duration::from_nanos(1)] {
                let budget = Budget::new(timeout, finalize_timeout, Some(lame_duck));
                let is_accepted = budget.leaves_time_for_the_drain();
                assert_eq!(is_accepted, lame_duck < edge, "{budget:?}");
                assert_eq!(is_accepted, starts(timeout, finalize_timeout, lame_duck), "{budget:?}");
            }
        }
    }
}

#[test]
fn the_macro_knows_the_longest_duration_of_the_builder() {
    let moment = Duration::from_nanos(1);
    assert_eq!(parse("365 days"), Ok(LONGEST));
    assert!(parse("365 days 1ns").is_err());
    assert!(starts(Some(LONGEST), None, Duration::ZERO));
    assert!(!starts(Some(LONGEST + moment), None, Duration::ZERO));
}
