//! Durations in quotes: `"30s"`, `"1m 30s"`.

use std::{fmt::Write, time::Duration};

use syn::{Lit, parse::ParseStream};

use crate::value::{self, Spanned};

mod grammar;

/// Reads a duration that is longer than zero.
pub(crate) fn read(input: ParseStream<'_>) -> syn::Result<Spanned<Duration>> {
    let duration = read_or_zero(input)?;
    if duration.value.is_zero() {
        return Err(syn::Error::new(
            duration.span,
            "expected more than zero, only `lame_duck` can be zero",
        ));
    }
    Ok(duration)
}

/// Reads a duration that may be zero.
pub(crate) fn read_or_zero(input: ParseStream<'_>) -> syn::Result<Spanned<Duration>> {
    let literal: Lit = value::expect(input, grammar::EXPECTED)?;
    let span = literal.span();
    let parsed = match literal {
        Lit::Str(text) => grammar::parse(&text.value()),
        Lit::Int(number) if number.base10_digits().starts_with('-') => {
            Err(grammar::NEGATIVE.to_owned())
        }
        Lit::Int(number) if number.suffix().is_empty() => {
            Err(grammar::no_unit(number.base10_digits()))
        }
        Lit::Int(number) => Err(format!("expected a duration in quotes, write `\"{number}\"`")),
        _ => Err(grammar::EXPECTED.to_owned()),
    };
    parsed.map(|value| Spanned { value, span }).map_err(|message| syn::Error::new(span, message))
}

/// The shortest form that [`read`] accepts, `1m30s`.
pub(crate) fn display(duration: Duration) -> String {
    const UNITS: &[(&str, u128)] = &[
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut left = duration.as_nanos();
    let mut text = String::new();
    for (unit, nanos) in UNITS {
        let count = left / nanos;
        left %= nanos;
        if count > 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{
        grammar::{EXPECTED, NEGATIVE, TOO_FINE, TOO_LONG, parse},
        *,
    };
    use syn::parse::Parser;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("1h 30min", 5_400_000),
            (" 1s  1ms ", 1_001),
            ("1.5s", 1_500),
            ("0.25 hours", 900_000),
            ("1day", 86_400_000),
            ("1 000s", 1_000_000),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
        assert_eq!(parse("1.5us 10µs"), Ok(Duration::from_nanos(11_500)));
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("", EXPECTED),
            ("  ", EXPECTED),
            ("abc", EXPECTED),
            ("s", EXPECTED),
            ("30s,", EXPECTED),
            ("1,5s", EXPECTED),
            ("1.s", EXPECTED),
            (".5s", EXPECTED),
            ("1.5.5s", EXPECTED),
            ("-1s", NEGATIVE),
            ("1s -1s", NEGATIVE),
            ("0.5ns", TOO_FINE),
            ("0.0001h", TOO_FINE),
            ("0.00000000000000000001s", TOO_FINE),
            ("8760h1ms", TOO_LONG),
            ("1y", TOO_LONG),
            ("18446744073709551615h", TOO_LONG),
            ("99999999999999999999ms", TOO_LONG),
            ("30", "`30` has no unit, write `\"30s\"`"),
            ("1m 30 ", "`30` has no unit, write `\"30s\"`"),
            ("1.5", "`1.5` has no unit, write `\"1.5s\"`"),
            ("30Min", "unknown unit `Min`, expected one such as `ms`, `s`, `m` or `h`"),
            ("5S", "unknown unit `S`, expected one such as `ms`, `s`, `m` or `h`"),
            ("1m s", EXPECTED),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn likely_tokens_have_their_message() {
        for (tokens, message) in [
            ("30", "`30` has no unit, write `\"30s\"`"),
            ("30s", "expected a duration in quotes, write `\"30s\"`"),
            ("-5", NEGATIVE),
            ("1.5", EXPECTED),
            ("true", EXPECTED),
            ("Duration::from_secs(5)", EXPECTED),
            ("\"0s\"", "expected more than zero, only `lame_duck` can be zero"),
        ] {
            let error = read.parse_str(tokens).map(|duration| duration.value).unwrap_err();
            assert_eq!(error.to_string(), message, "{tokens}");
        }
        assert!(read_or_zero.parse_str("\"0s\"").is_ok());
    }

    #[test]
    fn a_duration_is_displayed_as_it_is_written() {
        for text in ["0s", "500ms", "30s", "1m30s", "2s500ms", "1h", "24h", "1ms250us", "1ns"] {
            assert_eq!(display(parse(text).unwrap()), text);
        }
    }
}
